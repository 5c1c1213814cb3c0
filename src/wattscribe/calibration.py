"""Join measured runs with the energy model: `wattscribe.calibrate` and `wattscribe calibrate` are this."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from wattscribe.energy.calibrate import Calibration, Observation, calibrate, observe
from wattscribe.energy.workload import as_workload
from wattscribe.errors import InputError
from wattscribe.journal import read_run
from wattscribe.records import Counts, RecognizerSpec, RunFacts, TrialFacts
from wattscribe.student import Z95

_CI_TO_SD = 2 * Z95


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A trial that says nothing about energy per byte, with the reason."""

    run: str
    recognizer: str
    reason: str


def calibrate_runs(runs: Sequence[Path | str], *, seed: int = 0) -> tuple[Calibration, list[Skipped]]:
    """Fit the constants to every measured trial of a transducer in `runs`. Raises InputError when too few are left."""
    if not runs:
        raise InputError("no run was given", fix="wattscribe calibrate runs/NAME …")
    observations: list[Observation] = []
    skipped: list[Skipped] = []
    played: dict[bool, Path | str] = {}
    for run in runs:
        facts = read_run(Path(run))
        played[facts.machine.get("simulated_board") is not None] = run
        usable, left = observations_of(facts)
        observations += usable
        skipped += left
    if len(played) > 1:
        raise InputError(
            "this run is of a simulated board, others are of a real one", where=played[True], fix="Leave one kind out"
        )
    try:
        fitted = calibrate(observations, seed=seed)
        return (replace(fitted, evidence="simulated") if True in played else fitted), skipped
    except InputError as error:
        why = "; ".join(sorted({skip.reason for skip in skipped}))
        raise InputError(
            error.what + (f" (left out: {why})" if why else ""), where=error.where, fix=error.fix
        ) from error


def observations_of(facts: RunFacts) -> tuple[list[Observation], list[Skipped]]:
    """One observation per finished trial that has a measured energy and counted invocations."""
    from wattscribe.results.cost import energy_of, energy_rule

    rule = energy_rule(facts)
    observations: list[Observation] = []
    skipped: list[Skipped] = []
    for trial in facts.trials:
        reason = _unusable(trial)
        energy = None if reason else energy_of([trial], rule)
        if energy is not None and (energy.energy_j is None or energy.evidence not in ("measured", "simulated")):
            reason = f"its energy is {energy.evidence}"
        if reason or energy is None or energy.energy_j is None or trial.workload is None or trial.window is None:
            skipped.append(
                Skipped(run=facts.name, recognizer=trial.trial.recognizer.name, reason=reason or "no energy")
            )
            continue
        counts = sum((utterance.counts for utterance in trial.utterances if utterance.counts is not None), Counts())
        low, high = energy.ci95_j or (energy.energy_j, energy.energy_j)
        observations.append(
            observe(
                as_workload(trial.workload),
                counts,
                precision=trial.trial.recognizer.precision,
                window_s=trial.window.duration_s,
                energy_j=energy.energy_j,
                sd_j=(high - low) / _CI_TO_SD,
                model=trial.trial.recognizer.model,
                setting=_setting(trial.trial.recognizer),
            )
        )
    return observations, skipped


def _setting(spec: RecognizerSpec) -> str:
    return json.dumps([spec.device, spec.threads, spec.batch_size, sorted(spec.options.items())])


def _unusable(trial: TrialFacts) -> str | None:
    if trial.status != "done":
        return "the trial did not finish"
    if trial.workload is None or all(utterance.counts is None for utterance in trial.utterances):
        return "its invocations were not counted (only onnx: transducers are)"
    return None
