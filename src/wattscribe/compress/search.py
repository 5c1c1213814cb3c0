"""Beyond the study: Optuna over recipes, energy against harm, cheap questions first.

Cascade: modelled energy (no decode) → divergence on unlabelled audio → WER on the small set → WER on the full set. The journal
file holds every trial: a run that was killed goes on where it stopped, and several processes may work on one file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wattscribe.compress.moves import Move, moves, steps_of
from wattscribe.compress.recipe import Done, Step
from wattscribe.compress.strategies import MOST_KL, SMALL_SLACK, Outcome, judge, kept
from wattscribe.compress.workbench import Workbench
from wattscribe.errors import InputError, MissingExtraError

NONE = "none"
FULL_DECODES = 8
"""Recipes of the front that are decoded in full, from the least energy up."""


@dataclass(slots=True)
class Search:
    """A strategy: multi-objective search over one choice per slot."""

    storage: Path | None = None
    trials: int = 60
    name: str = "search"

    def run(self, bench: Workbench, lossless: Sequence[Done]) -> Outcome:
        base = kept(lossless)
        slots = by_slot(moves(bench.original))
        study = self._study(bench)
        self._walk(study, bench, base, slots)
        return Outcome(strategy=self.name, done=(*lossless, *self._choose(study, bench, base, slots)))

    # --- the search -------------------------------------------------------------------------------------------------
    def _study(self, bench: Workbench) -> Any:
        try:
            import optuna
            from optuna.storages import JournalStorage
            from optuna.storages.journal import JournalFileBackend
        except ImportError as error:
            raise MissingExtraError("optuna", "compress", needed_for="--strategy search") from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        storage = None
        if self.storage is not None:
            if not self.storage.absolute().parent.is_dir():
                raise InputError("its parent directory does not exist", where=self.storage, fix="Create it first")
            storage = JournalStorage(JournalFileBackend(str(self.storage)))
        return optuna.create_study(
            storage=storage,
            study_name=f"{bench.original.digest}-{bench.measurer.device.name}-{bench.seed}",
            directions=["minimize", "minimize"],
            sampler=optuna.samplers.NSGAIISampler(seed=None if self.storage else bench.seed, population_size=20),
            load_if_exists=True,
        )

    def _walk(self, study: Any, bench: Workbench, base: Sequence[Step], slots: Mapping[str, Sequence[Move]]) -> None:
        from optuna.study import MaxTrialsCallback
        from optuna.trial import TrialState

        finished = (TrialState.COMPLETE, TrialState.PRUNED)
        if not study.trials:
            for start in _starts(slots):
                study.enqueue_trial(start, skip_if_exists=True)
        done = len(study.get_trials(deepcopy=False, states=finished))
        bench.say(f"search: {done} of {self.trials} recipes are known already")
        if done < self.trials:
            study.optimize(
                lambda trial: self._ask(trial, bench, base, slots),
                callbacks=[MaxTrialsCallback(self.trials, states=finished)],
            )

    def _ask(
        self, trial: Any, bench: Workbench, base: Sequence[Step], slots: Mapping[str, Sequence[Move]]
    ) -> tuple[float, float]:
        """(energy, divergence) of one recipe; pruned where it costs more than none or cannot be built."""
        import optuna

        picked = {slot: trial.suggest_categorical(slot, [NONE, *(_key(each) for each in choices)])
                  for slot, choices in slots.items()}  # fmt: skip
        steps = (*base, *steps_of(_chosen(slots, picked)))
        try:
            candidate = bench.build(steps)
        except InputError as error:
            raise optuna.TrialPruned(error.what) from error
        energy = bench.energy_mj(candidate)
        if energy > bench.energy_mj(bench.build(base)) * 1.02:
            raise optuna.TrialPruned("costs more than no lossy step at all")
        kl = bench.kl(candidate).kl
        bench.note(self.name, steps, candidate, kl=kl)
        bench.say(f"  recipe {trial.number}: {energy:.4f} mJ/s, divergence {kl:.2e}")
        return energy, kl

    # --- the choice -------------------------------------------------------------------------------------------------
    def _choose(
        self, study: Any, bench: Workbench, base: Sequence[Step], slots: Mapping[str, Sequence[Move]]
    ) -> list[Done]:
        """The recipe of the front with the least energy whose text holds."""
        reference = bench.measure(bench.reference, small=True).wer
        before = bench.build(base)
        front = sorted(
            (each for each in study.best_trials if each.values[1] <= MOST_KL), key=lambda each: each.values[0]
        )
        decodes = 0
        seen: set[str] = set()
        for trial in front:
            choices = _chosen(slots, trial.params)
            steps = (*base, *steps_of(choices))
            candidate = bench.build(steps)
            if decodes >= FULL_DECODES or candidate.digest in seen:
                continue
            seen.add(candidate.digest)
            small = bench.measure(candidate, small=True).wer
            bench.note(self.name, steps, candidate, kl=trial.values[1], wer=small, on="small")
            if small - reference > bench.limit + SMALL_SLACK:
                bench.say(
                    f"  recipe {trial.number}: WER {100 * (small - reference):+.2f} points on the small set, left"
                )
                continue
            decodes += 1
            reason, numbers = judge(bench, self.name, before, candidate, steps)
            bench.say(f"  recipe {trial.number}: {reason}")
            if not reason.startswith("reverted"):
                return [Done(step=step, kept=True, reason=reason, numbers=numbers) for step in steps_of(choices)]
        return []


def by_slot(offered: Sequence[Move]) -> dict[str, list[Move]]:
    found: dict[str, list[Move]] = {}
    for each in offered:
        found.setdefault(each.slot, []).append(each)
    return found


def _key(move: Move) -> str:
    return json.dumps([step.key for step in move.steps])


def _chosen(slots: Mapping[str, Sequence[Move]], picked: Mapping[str, str]) -> dict[str, Move]:
    return {
        slot: move
        for slot, choices in slots.items()
        for move in choices
        if picked.get(slot, NONE) != NONE and _key(move) == picked[slot]
    }


def _starts(slots: Mapping[str, Sequence[Move]]) -> list[dict[str, str]]:
    """Nothing, the mildest choice of every slot, and each slot's mildest by itself: what a sampler would look for long."""
    nothing = dict.fromkeys(slots, NONE)
    mild = {slot: _key(choices[0]) for slot, choices in slots.items()}
    formed = {slot: key if slot.split(":")[0] in ("form", "convolution", "activation", "rest") else NONE
              for slot, key in mild.items()}  # fmt: skip
    return [nothing, formed, *({**nothing, slot: key} for slot, key in mild.items())]
