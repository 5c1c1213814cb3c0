"""Trials in isolated workers, one journal, one writer: the main path.

Read `experiment → plan → spool → runner → attempt → worker`. This file stays light because every worker imports it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wattscribe.runs.experiment import Experiment

__all__ = ["load_experiment", "run"]


def run(experiment: Experiment, out_dir: Path, *, resume: bool = False, overwrite: bool = False, **seams: Any) -> Path:
    """Measure an experiment into the run directory `out_dir`; see `runs.runner.run` for further options and the errors."""
    from wattscribe.runs.runner import run as run_experiment

    return run_experiment(experiment, out_dir, resume=resume, overwrite=overwrite, **seams)


def load_experiment(path: Path, overrides: dict[str, Any] | None = None) -> Experiment:
    """Read an experiment's TOML file; keys in `overrides` win. Raises InputError that names the key."""
    from wattscribe.runs.experiment import load

    return load(path, overrides)
