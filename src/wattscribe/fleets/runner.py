"""The process on a board that measures: `runs.runner` for one job, told on a pipe and telling on another.

Dask's worker only waits for it, so what is measured and what distributes never share an interpreter. It ends with its parent.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from wattscribe.errors import WattscribeError
from wattscribe.fleets.identity import board_of
from wattscribe.fleets.jobs import Job
from wattscribe.journal import holds_run
from wattscribe.records import Trial, from_json
from wattscribe.runs.experiment import Experiment, check
from wattscribe.runs.process import die_with
from wattscribe.runs.progress import Silent, title
from wattscribe.runs.runner import run


class Told(Silent):
    """Each step as one line of JSON."""

    def __init__(self, sink: int) -> None:
        self._sink = sink

    def say(self, **event: Any) -> None:
        os.write(self._sink, json.dumps(event).encode("ascii") + b"\n")

    def noted(self, note: str) -> None:
        self.say(event="noted", text=note)

    def planned(self, audio_s: float, trials: int) -> None:
        self.say(event="planned", audio_s=audio_s, trials=trials)

    def started(self, trial: Trial) -> None:
        self.say(event="started", trial=trial.id, title=_title(trial))

    def ended(self, trial: Trial, status: str, reason: str | None, left_out_s: float) -> None:
        self.say(event="ended", trial=trial.id, title=_title(trial), status=status, reason=reason)


def _title(trial: Trial) -> str:
    return title(trial) if trial.part is None else f"{title(trial)} · {trial.part.name}"


def measure(job: Job, label: str, run_dir: Path, bystanders: list[int], watcher: Told) -> None:
    """Begin the board's run, or go on with it."""
    experiment = check(job.experiment)
    simulated = job.simulated.get(label)
    options: dict[str, Any] = {
        "resume": holds_run(run_dir),
        "retry_failed": job.retry_failed and holds_run(run_dir),
        "only": job.only,
        "bystanders": bystanders,
        "board": board_of(label, job.salt, simulated=simulated),
    }
    if simulated is None:
        run(experiment, run_dir, watcher=watcher, **options)
    else:
        _play(simulated, experiment, run_dir, watcher, options)


def _play(name: str, experiment: Experiment, run_dir: Path, watcher: Told, options: dict[str, Any]) -> None:
    from wattscribe.runs.plan import plan
    from wattscribe.testing.board import kind_of, played
    from wattscribe.testing.simulated_bench import Relay
    from wattscribe.testing.work import costs_of

    with played(name, costs_of(plan(experiment), kind_of(name).constants)) as board:
        run(experiment, run_dir, watcher=Relay(board, watcher), host=board.host(), **options)


def main(source: int, sink: int, parent: int) -> int:
    """Read the job, do it; the last line says how it ended."""
    die_with(parent)
    with open(source, encoding="utf-8") as file:
        asked = json.load(file)
    watcher = Told(sink)
    try:
        job = from_json(Job, asked["job"])
        if asked["folder"] is not None:
            os.chdir(Path(asked["folder"]).expanduser())
        measure(job, asked["label"], Path(asked["run_dir"]), asked["bystanders"], watcher)
    except WattscribeError as error:
        watcher.say(event="error", what=str(error))
        return error.exit_code
    except OSError as error:
        watcher.say(event="error", what=f"{error.filename or 'the board'}: {error.strerror or error}")
        return 1
    watcher.say(event="over")
    return 0


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        sys.exit(main(*map(int, sys.argv[1:4])))
