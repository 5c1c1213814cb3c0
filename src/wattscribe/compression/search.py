"""Beyond the study: Optuna over recipes, energy against harm, cheap questions first.

Cascade: modelled energy (no decode) → divergence on unlabelled audio → WER on the small set → WER on the full set. The journal
file holds every trial: a run that was killed goes on where it stopped, and several processes may work on one file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wattscribe import as_file
from wattscribe.as_found import as_found
from wattscribe.compression import sets
from wattscribe.compression.elsewhere import Elsewhere, Material, Question, Weighed
from wattscribe.compression.judgement import Judgement, judge, reverted
from wattscribe.compression.moves import Move, steps_of
from wattscribe.compression.recipe import Done
from wattscribe.compression.step import Step, Value
from wattscribe.compression.strategies import Outcome, kept
from wattscribe.compression.workbench import Tried, Workbench
from wattscribe.errors import InputError, MissingExtraError
from wattscribe.text_files import parse_json

NONE = "none"
SIZE = "size_bytes"
"""What a trial keeps of its candidate."""
LONGEST_LINE = 1 << 16
FULL_DECODES = 8
"""Recipes of the front that are decoded in full, from the least energy up."""


@dataclass(slots=True)
class Search:
    """A strategy: multi-objective search over one choice per slot."""

    storage: Path | None = None
    trials: int = 60
    name: str = "search"
    elsewhere: Elsewhere | None = None
    """Who weighs the recipes; None: this process."""
    material: Callable[[Workbench], Material] | None = None
    """What is sent there."""

    def run(self, bench: Workbench, lossless: Sequence[Done]) -> Outcome:
        base = kept(lossless)
        slots = by_slot(bench.family.moves(bench, base))
        optuna = _optuna()
        with as_found():  # Optuna is here now, and would tell of every trial
            study = self._study(optuna, bench, base, slots)
            with bench.budget.searching(bench.say):
                self._walk(study, bench, base, slots)
            self._note_all(study, bench, base, slots)
            return Outcome(strategy=self.name, done=(*lossless, *self._choose(study, bench, base, slots)))

    # --- the search -------------------------------------------------------------------------------------------------
    def _study(self, optuna: Any, bench: Workbench, base: Sequence[Step], slots: Mapping[str, Sequence[Move]]) -> Any:
        return optuna.create_study(
            storage=None if self.storage is None else open_journal(self.storage),
            study_name=_question(bench, base, slots),
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
        if done < self.trials and self.elsewhere is not None:
            self._walk_elsewhere(self.elsewhere, study, bench, base, slots, left=self.trials - done)
        elif done < self.trials:
            study.optimize(
                lambda trial: self._answered(trial, weigh(bench, base, _picked(trial, base, slots)), bench.say),
                callbacks=[MaxTrialsCallback(self.trials, states=finished)],
            )

    def _answered(self, trial: Any, weighed: Weighed, say: Callable[[str], None]) -> tuple[float, float]:
        """(energy, divergence) of one recipe; pruned where it is not worth more."""
        import optuna

        if weighed.pruned is not None:
            raise optuna.TrialPruned(weighed.pruned)
        trial.set_user_attr(SIZE, weighed.size_bytes)
        say(f"  recipe {trial.number}: {weighed.energy_mj:.4f} mJ/s, divergence {weighed.kl:.2e}")
        return weighed.energy_mj, weighed.kl

    def _walk_elsewhere(
        self, elsewhere: Elsewhere, study: Any, bench: Workbench, base: Sequence[Step], slots: Mapping[str, Sequence[Move]],
        *, left: int,
    ) -> None:  # fmt: skip
        """The same on several machines. The study is asked and told here alone; what they had in hand when the search is cut
        short is lost."""
        from optuna import TrialPruned
        from optuna.trial import TrialState

        if self.material is None:
            raise ValueError("workers need to be told what to work on")
        material = self.material(bench)
        trials: dict[int, Any] = {}

        def ask() -> Question | None:
            if len(trials) == left:
                return None
            trial = study.ask()
            trials[trial.number] = trial
            steps = _picked(trial, base, slots)
            return Question(material=material, base=tuple(base), steps=steps, number=trial.number)

        def told(question: Question, weighed: Weighed | None, where: str) -> None:
            if weighed is not None and weighed.refused is not None:
                fix = "Models and speech are read on the workers: put the same there, under the same paths"
                raise InputError(f"it cannot work on this search: {weighed.refused}", where=where, fix=fix)
            trial = trials[question.number]
            try:
                values = self._answered(
                    trial,
                    weighed or Weighed(pruned="it takes its worker down"),
                    lambda text: bench.say(f"{text} ({where})"),
                )
            except TrialPruned:
                study.tell(trial, state=TrialState.PRUNED)
            else:
                study.tell(trial, values)

        elsewhere.workers.answer(elsewhere.weigh, ask, told, bench.budget.check)

    def _note_all(
        self, study: Any, bench: Workbench, base: Sequence[Step], slots: Mapping[str, Sequence[Move]]
    ) -> None:
        """Every recipe that the journal knows, whichever process asked for it and before whichever interruption."""
        from optuna.trial import TrialState

        for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
            energy, kl = trial.values
            steps = (*base, *steps_of(_chosen(slots, trial.params)))
            size = trial.user_attrs[SIZE]
            bench.tried.append(Tried(strategy=self.name, steps=steps, energy_mj=energy, size_bytes=size, kl=kl))

    # --- the choice -------------------------------------------------------------------------------------------------
    def _choose(
        self, study: Any, bench: Workbench, base: Sequence[Step], slots: Mapping[str, Sequence[Move]]
    ) -> list[Done]:
        """The recipe of the front with the least energy whose text holds, and those that did not."""
        before = bench.build(base)
        front = sorted(
            (trial for trial in study.best_trials if trial.values[1] <= bench.family.most_kl),
            key=lambda trial: trial.values[0],
        )
        decodes = 0
        seen: set[str] = set()
        gone: list[Done] = []
        for trial in front:
            choices = _chosen(slots, trial.params)
            steps = (*base, *steps_of(choices))
            candidate = bench.build(steps)
            if decodes >= FULL_DECODES or candidate.digest in seen:
                continue
            seen.add(candidate.digest)
            small = bench.measure(candidate, small=True).wer
            bench.note(self.name, steps, candidate, kl=trial.values[1], wer=small, on="small")
            change = sets.change(bench, candidate, small=True)
            if not change.holds:
                reason = f"recipe {trial.number}, reverted: {change.summary}"
                bench.say(f"  {reason}")
                numbers: dict[str, Value] = {"wer": small, "wer_increase": change.increase}
                gone += Judgement(kept=False, reason=reason, numbers=numbers).of(steps_of(choices))
                continue
            decodes += 1
            judged = judge(bench, self.name, before, candidate, steps)
            there = sets.confirmed(bench, candidate) if judged.kept else None
            if there is not None and not there.holds:
                judged = reverted(f"on the held-back part {there.summary}", judged.numbers)
            bench.say(f"  recipe {trial.number}: {judged.reason}")
            now = judged.of(steps_of(choices), reason=f"recipe {trial.number}, {judged.reason}")
            if judged.kept:
                return [*now, *gone]
            gone += now
        return gone


def weigh(bench: Workbench, base: Sequence[Step], steps: Sequence[Step]) -> Weighed:
    """Energy and divergence of a recipe; none where it costs more than `base` or cannot be built."""
    try:
        candidate = bench.build(steps)
    except InputError as error:
        return Weighed(pruned=error.what)
    energy = bench.energy_mj(candidate)
    if energy > bench.energy_mj(bench.build(base)) * 1.02:
        return Weighed(pruned="costs more than no lossy step at all")
    return Weighed(energy_mj=energy, kl=bench.kl(candidate).kl, size_bytes=candidate.size_bytes)


def _picked(trial: Any, base: Sequence[Step], slots: Mapping[str, Sequence[Move]]) -> tuple[Step, ...]:
    """The steps that the sampler suggests."""
    picked = {slot: trial.suggest_categorical(slot, [NONE, *(move.key for move in choices)])
              for slot, choices in slots.items()}  # fmt: skip
    return (*base, *steps_of(_chosen(slots, picked)))


def open_journal(path: Path) -> Any:
    """The journal's storage. Raises InputError for a place where none can be and for a file that is none."""
    _optuna()
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    if not path.absolute().parent.is_dir():
        raise InputError("its parent directory does not exist", where=path, fix="Create it first")
    try:
        with as_file.open_bytes(path) as file:
            first = file.readline(LONGEST_LINE)
        if first and "op_code" not in parse_json(first):
            raise ValueError("its first line is no entry of a journal")
    except FileNotFoundError:
        pass
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=path, fix="Give `storage` another file") from error
    except (ValueError, TypeError) as error:
        raise InputError("is no journal of a search", where=path, fix="Give `storage` another file") from error
    try:
        return JournalStorage(JournalFileBackend(str(path)))
    except OSError as error:
        raise InputError(
            f"cannot be written: {error.strerror}", where=path, fix="Give `storage` another file"
        ) from error
    except (ValueError, KeyError, TypeError, AssertionError) as error:  # what Optuna says to lines that are not its own
        raise InputError("holds lines that no search wrote", where=path, fix="Give `storage` another file") from error


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise MissingExtraError("optuna", "compress", needed_for="`strategy` search") from error
    return optuna


def _question(bench: Workbench, base: Sequence[Step], slots: Mapping[str, Sequence[Move]]) -> str:
    """A study's name: model, device, seed, and a digest of all else that an answer depends on. The WER limit is not of it: it
    chooses among the answers."""
    asked = (
        repr(bench.measurer.device), bench.dev.digest, bench.probe.speech.digest, bench.calibration.speech.digest,
        *(step.key for step in base), *(move.key for choices in slots.values() for move in choices),
    )  # fmt: skip
    digest = hashlib.sha256("\n".join(asked).encode()).hexdigest()[:12]
    return f"{bench.original.digest}-{bench.measurer.device.name}-{bench.seed}-{digest}"


def by_slot(offered: Sequence[Move]) -> dict[str, list[Move]]:
    slots: dict[str, list[Move]] = {}
    for move in offered:
        slots.setdefault(move.slot, []).append(move)
    return slots


def _chosen(slots: Mapping[str, Sequence[Move]], picked: Mapping[str, str]) -> dict[str, Move]:
    return {
        slot: move
        for slot, choices in slots.items()
        for move in choices
        if picked.get(slot, NONE) != NONE and move.key == picked[slot]
    }


def _starts(slots: Mapping[str, Sequence[Move]]) -> list[dict[str, str]]:
    """Nothing, the mildest choice of every slot, and each slot's mildest by itself: what a sampler would look for long."""
    nothing = dict.fromkeys(slots, NONE)
    mild = {slot: choices[0].key for slot, choices in slots.items()}
    formed = {slot: key if slot.split(":")[0] in ("form", "convolution", "activation") else NONE
              for slot, key in mild.items()}  # fmt: skip
    return [nothing, formed, *({**nothing, slot: key} for slot, key in mild.items())]
