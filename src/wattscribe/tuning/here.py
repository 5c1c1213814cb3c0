"""Stages on this machine."""

from __future__ import annotations

from pathlib import Path

from wattscribe.journal import holds_run, read_run
from wattscribe.metering import open_meters
from wattscribe.records import RunFacts
from wattscribe.runs.experiment import Experiment
from wattscribe.runs.runner import run
from wattscribe.tuning.objective import Objective
from wattscribe.tuning.run import finished, no_sensor


def stage_here(experiment: Experiment, out_dir: Path) -> RunFacts:
    """A stage as a bench on this machine, gone on with where it was broken off."""
    facts = finished(experiment, out_dir)
    if facts is None:
        run(experiment, out_dir, resume=holds_run(out_dir))
        facts = read_run(out_dir)
    return facts


def require_sensor(objective: Objective, experiment: Experiment) -> None:
    """Before anything is measured. Raises InputError where energy is asked for and no meter can be read here."""
    if objective.name != "energy":
        return
    opened = open_meters(stated=experiment.meters)
    for meter in opened:
        meter.close()
    if not opened:
        raise no_sensor()
