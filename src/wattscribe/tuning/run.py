"""A tuning from its question to what it leaves in its directory: stages that are ordinary benches, figures, a page."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wattscribe import __version__
from wattscribe.errors import InputError
from wattscribe.journal import claim, holds_run, read_run
from wattscribe.journal_file import run_exists
from wattscribe.pages import tune_page
from wattscribe.records import RunFacts, json_text, to_json
from wattscribe.results.cost import energy_rule
from wattscribe.results.tuned import Stage, Tuned, TuningLimits, to_plain
from wattscribe.runs.beginning import GO_ON
from wattscribe.runs.experiment import Experiment, differences
from wattscribe.runs.part import PartEntry
from wattscribe.text_files import read_json
from wattscribe.tuning import race as racing
from wattscribe.tuning.objective import INSTEAD, NO_SENSOR, Objective
from wattscribe.tuning.observed import Observed, observe
from wattscribe.tuning.partition import of_experiment
from wattscribe.tuning.proof import chosen_toml
from wattscribe.tuning.race import Race
from wattscribe.tuning.sampling import OptunaSampler
from wattscribe.tuning.space import Configuration, Space
from wattscribe.tuning.standings import standings
from wattscribe.whole_file import write_text

if TYPE_CHECKING:
    from wattscribe.energy.devices import Device

QUESTION, RESULT, CHOSEN, PAGE = "question.json", "tuned.json", "chosen.toml", "tuned.html"
OWN = (QUESTION, RESULT, CHOSEN, PAGE)
STAGES = ("stage-*", "proof-*")
"""Directories of a tuning: each is a run that every verb reads."""

Bench = Callable[[Experiment, Path], RunFacts]
"""Runs all trials of an experiment into a directory, goes on where one was broken off, and returns the facts with every trial's
verdict: on this machine, a simulated board, or a fleet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a tuning was asked, beside its space."""

    objective: Objective
    limits: TuningLimits
    budget: float
    """Share of the audio that trying every configuration would transcribe."""
    device: Device | None = None

    def to_json(self, space: Space) -> dict[str, Any]:
        """What must be the same when it goes on."""
        keys = [each.key for each in space.configurations]
        return {
            "version": __version__,
            "minimise": self.objective.name,
            "limits": to_json(self.limits),
            "budget": self.budget,
            "device": None if self.device is None else self.device.name,
            "configurations": hashlib.sha256("".join(keys).encode("ascii")).hexdigest()[:12],
            "experiment": to_json(
                {k: v for k, v in space.experiment.model_dump().items() if k not in ("models", "modes")}
            ),
        }


def finished(experiment: Experiment, out_dir: Path) -> RunFacts | None:
    """The facts of a stage in which every trial has its verdict; None where there is still something to run. Raises InputError
    where another stage lies there."""
    if not holds_run(out_dir):
        return None
    facts = read_run(out_dir)
    if changed := differences(facts.experiment, experiment):
        raise InputError(
            f"this stage is not the one that the search would take now: {'; '.join(changed)[:300]}",
            where=out_dir,
            fix="Start again with `overwrite`",
        )
    return facts if all(trial.status in ("done", "failed") for trial in facts.trials) else None


def tune(
    space: Space,
    question: Question,
    out: Path,
    bench: Bench,
    *,
    resume: bool = False,
    overwrite: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Tuned:
    """Race the configurations of `space` and prove the best; what is left in `out` goes on from any kill with `resume`.

    Raises InputError for an `out` that holds a tuning (unless `resume` or `overwrite`), for a question that is not the one that
    it began with, and for speech or measurements that cannot answer it.
    """
    partition = of_experiment(space.experiment)
    lock = claim(out)
    try:
        _begin(out, question.to_json(space), resume=resume, overwrite=overwrite)
        stages = _Stages(space=space, question=question, out=out, bench=bench)
        by_key = {each.key: each for each in space.configurations}
        race = racing.run(
            space.configurations,
            partition,
            stages,
            question.limits,
            budget=question.budget,
            seed=space.experiment.seed,
            repeats=space.proof_repeats,
            sampler=_sampler(space, question),
            after=lambda race: say(_progress(race, by_key)),
        )
        tuned = _result(out, space, question, race, stages.done)
        if race.chosen is not None:
            write_text(out / CHOSEN, chosen_toml(by_key[race.chosen], space.experiment.data))
        write_text(out / RESULT, json_text(to_plain(tuned), indent=1) + "\n")
        write_text(out / PAGE, tune_page.html(tuned))
        return tuned
    except KeyboardInterrupt:
        raise KeyboardInterrupt(GO_ON) from None
    finally:
        lock.release()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stages:
    """Measures configurations as benches below `out`, each power mode as one of its own."""

    space: Space
    question: Question
    out: Path
    bench: Bench
    done: list[Stage] = field(default_factory=list)

    def __call__(
        self, stage: str, configurations: Sequence[Configuration], part: PartEntry, repeats: int
    ) -> Mapping[str, Observed | str]:
        runs = []
        modes = [entry.called for entry in self.space.experiment.modes]
        for experiment in self.space.stage(configurations, part, repeats=repeats):
            mode = f"-mode-{modes.index(experiment.modes[0].called) + 1}" if experiment.modes else ""
            facts = self.bench(experiment, self.out / f"{stage}{mode}")
            runs.append((facts, energy_rule(facts, self.question.device)))
        found = observe(runs, self.question.objective, self.space.experiment.normaliser)
        seen = [one for one in found.values() if isinstance(one, Observed)]
        if seen and all(one.reason == NO_SENSOR for one in seen):
            raise no_sensor()
        heard_s = max((float(one.audio_s.sum()) for one in seen), default=0.0)
        self.done.append(Stage(name=stage, configurations=len(found), audio_s=heard_s * repeats * len(found)))
        return found


def no_sensor() -> InputError:
    """What to say where energy is asked for and no meter is there."""
    return InputError(f"energy cannot be minimised: {NO_SENSOR}", fix=INSTEAD)


def _sampler(space: Space, question: Question) -> OptunaSampler | None:
    """None where all enter."""
    count = len(space.configurations)
    if racing.entrants(count, question.budget) >= count:
        return None
    return OptunaSampler(space.configurations, question.limits, seed=space.experiment.seed)


def _begin(out: Path, question: Mapping[str, Any], *, resume: bool, overwrite: bool) -> None:
    """Raises InputError where what lies there may not be gone on with, or replaced."""
    path = out / QUESTION
    if resume and overwrite:
        raise InputError("`resume` and `overwrite` exclude each other", where=out, fix="Choose one")
    if resume:
        if not path.exists():
            raise InputError("there is no tuning to go on with", where=out, fix="Leave `resume` out")
        before = read_json(path, what="the question of this tuning", fix="Start again with `overwrite`")
        if changed := [key for key in question if not isinstance(before, dict) or before.get(key) != question[key]]:
            raise InputError(
                f"this tuning began with another question: {', '.join(changed)} differ",
                where=out,
                fix="Ask as it began, or start again with `overwrite`",
            )
        return
    if path.exists() and not overwrite:
        raise run_exists(out)
    if path.exists():
        for folder in (folder for pattern in STAGES for folder in out.glob(pattern)):
            shutil.rmtree(folder)
        for name in OWN:
            (out / name).unlink(missing_ok=True)
    write_text(path, json_text(question, indent=1) + "\n")


def _progress(race: Race, by_key: Mapping[str, Configuration]) -> str:
    first = race.order[0]
    return (
        f"stage {len(race.sizes)}: {race.sizes[-1]} configurations; the most likely is {by_key[first].label} "
        f"({100 * race.found[first].best:.0f} %)"
    )


def _result(out: Path, space: Space, question: Question, race: Race, stages: Sequence[Stage]) -> Tuned:
    return Tuned(
        name=out.resolve().name,
        minimise=question.objective.name,
        title=question.objective.title,
        unit=question.objective.unit,
        limits=question.limits,
        seed=space.experiment.seed,
        budget=question.budget,
        configurations=len(space.configurations),
        chosen=None if race.chosen is None else race.proofs[race.chosen],
        proofs=tuple(race.proofs.values()),
        standings=standings(space.configurations, race),
        stages=tuple(stages),
        audio_s=sum(stage.audio_s for stage in stages),
        exhaustive_audio_s=len(space.configurations) * race.searched_s,
        cost_noise=race.noise,
    )
