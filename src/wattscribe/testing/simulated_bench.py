"""A bench on a board that is played: real trials, simulated sensors, and a recorder's file with the truth beside the run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from wattscribe.errors import InputError
from wattscribe.journal import holds_run, read_run
from wattscribe.journal_file import run_exists
from wattscribe.records import RunFacts, Trial
from wattscribe.runs.experiment import Experiment
from wattscribe.runs.plan import plan
from wattscribe.runs.progress import Silent, Watcher
from wattscribe.runs.runner import run
from wattscribe.testing.board import Board, kind_of, leave, played
from wattscribe.testing.work import costs_of
from wattscribe.tuning.run import finished


def run_on_board(
    name: str, experiment: Experiment, out_dir: Path, *, resume: bool, overwrite: bool, watcher: Watcher
) -> None:
    """As `runs.runner.run`, on the board of that name. Raises InputError for a name that there is not, and to resume: the load
    of what was played before is gone."""
    kind = kind_of(name)
    if resume:
        raise InputError(
            "a run on a simulated board cannot be resumed", where=out_dir, fix="Start again with `overwrite`"
        )
    if holds_run(out_dir) and not overwrite:
        raise run_exists(out_dir)
    with played(name, costs_of(plan(experiment), kind.constants)) as board:
        run(experiment, out_dir, overwrite=overwrite, watcher=Relay(board, watcher), host=board.host())
        leave(board, read_run(out_dir), out_dir)


def stage_on_board(name: str) -> Callable[[Experiment, Path], RunFacts]:
    """Stages of a tuning on the board of that name; one that was broken off begins anew. Raises InputError for a name that
    there is not."""
    kind_of(name)

    def stage(experiment: Experiment, out_dir: Path) -> RunFacts:
        facts = finished(experiment, out_dir)
        if facts is None:
            run_on_board(name, experiment, out_dir, resume=False, overwrite=True, watcher=Silent())
            facts = read_run(out_dir)
        return facts

    return stage


class Relay:
    """Tells the board what the watcher is told."""

    def __init__(self, board: Board, watcher: Watcher) -> None:
        self._board, self._watcher = board, watcher

    def noted(self, note: str) -> None:
        self._watcher.noted(note)

    def prepared(self, label: str, audio_s: float) -> None:
        self._watcher.prepared(label, audio_s)

    def planned(self, audio_s: float, trials: int) -> None:
        self._watcher.planned(audio_s, trials)

    def started(self, trial: Trial) -> None:
        self._board.began(trial)
        self._watcher.started(trial)

    def transcribed(self, audio_s: float) -> None:
        self._board.transcribed(audio_s)
        self._watcher.transcribed(audio_s)

    def ended(self, trial: Trial, status: str, reason: str | None, left_out_s: float) -> None:
        self._board.ended()
        self._watcher.ended(trial, status, reason, left_out_s)
