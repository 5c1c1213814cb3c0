"""How a run begins or is resumed, and how the directory is left where nothing came of it."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from wattscribe.errors import InputError
from wattscribe.journal import Journal, claim, holds_run, read_run
from wattscribe.journal_file import run_exists
from wattscribe.lock import Lock
from wattscribe.metering import Host, probe
from wattscribe.metering import machine as machines
from wattscribe.records import Heard, Trial, to_json
from wattscribe.runs.experiment import BUILT_IN_CORPORA, BUILT_IN_NOISE, Experiment, differences
from wattscribe.runs.plan import notes_of, plan
from wattscribe.runs.previous import Previous
from wattscribe.runs.progress import Watcher
from wattscribe.runs.spool import Key, Spool, discard, spool_all

SPOOL_DIRECTORY = "spool"


LOG_NAME = "worker.log"


REPORT_NAME = "report.html"


GO_ON = "What is finished is kept; continue with `resume`"
"""Said where a run that can be resumed is interrupted, and nowhere else."""


DIRECTORY_NOTE = "directory"
"""Where the run began: there its relative paths start."""


def among(trials: Sequence[Trial], only: Collection[str] | None) -> list[Trial]:
    """Those of the given ids, in the order of the plan; None: all."""
    return [trial for trial in trials if only is None or trial.id in only]


def begin(
    experiment: Experiment,
    out_dir: Path,
    host: Host,
    watcher: Watcher,
    *,
    overwrite: bool,
    only: Collection[str] | None = None,
) -> tuple[Journal, Mapping[Key, Spool]]:
    """A new run. All its speech is prepared first, so that what cannot be measured replaces no run that was measured.

    `only`: the trials that are measured now, by id; the speech of others is not prepared.
    """
    trials = plan(experiment)
    for note in notes_of(experiment):
        watcher.noted(note)
    was_there = out_dir.is_dir()
    lock = claim(out_dir)
    try:
        if holds_run(out_dir) and not overwrite:
            raise run_exists(out_dir)
        spools = _prepare(among(trials, only), experiment, out_dir, watcher)
        if holds_run(out_dir):
            _previous(out_dir).keep()
        journal = Journal.create(
            out_dir,
            name=out_dir.resolve().name,
            created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            seed=experiment.seed,
            machine=machines.describe(host=host),
            experiment=experiment.model_dump(),
            meters={"probes": to_json(probe(host=host))},
            trials=trials,
            lock=lock,
            replace_old=overwrite,
        )
    except BaseException as error:
        if (previous := _previous(out_dir)).kept:
            previous.restore()
        _leave(out_dir, lock, was_there=was_there)
        if isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt("Nothing was measured yet; begin again with the same command") from None
        raise
    with contextlib.suppress(OSError):  # it may have been removed under us
        journal.note(DIRECTORY_NOTE, str(Path.cwd()))
    return journal, spools


def _previous(out_dir: Path) -> Previous:
    return Previous(out_dir, (LOG_NAME, REPORT_NAME))


@contextlib.contextmanager
def or_put_back(out_dir: Path, spools: Mapping[Key, Spool]) -> Iterator[Previous]:
    """Where the new run ends without a transcript, the old one stands. Raises InputError that says why."""
    previous = _previous(out_dir)
    try:
        yield previous
    except BaseException as error:
        if not previous.kept:
            if isinstance(error, KeyboardInterrupt):
                raise KeyboardInterrupt(GO_ON) from None
            raise
        _put_back(out_dir, previous)
        if isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt("Nothing was measured yet: the run that was there is kept") from None
        raise
    if previous.kept:
        failed = [trial.reason for trial in read_run(out_dir).trials if trial.status == "failed" and trial.reason]
        lost = [f"{entry.id}: {entry.reason}" for spool in spools.values() for entry in spool.rejected]
        _put_back(out_dir, previous)
        raise InputError(
            f"nothing was transcribed, so the run that was there is kept: {'; '.join(dict.fromkeys([*failed, *lost[:3]]))}",
            where=out_dir,
            fix="Fix that, or choose another `out` to keep the record of it",
        )


def _put_back(out_dir: Path, previous: Previous) -> None:
    lock = claim(out_dir)
    try:
        previous.restore()
    finally:
        lock.release()


def _leave(out_dir: Path, lock: Lock, *, was_there: bool) -> None:
    """Nothing came of it: the directory is as it was."""
    discard(out_dir / SPOOL_DIRECTORY)
    if not was_there:
        lock.path.unlink(missing_ok=True)
    lock.release()
    if not was_there:
        with contextlib.suppress(OSError):
            out_dir.rmdir()


def go_on(
    experiment: Experiment,
    out_dir: Path,
    host: Host,
    watcher: Watcher,
    *,
    retry_failed: bool,
    only: Collection[str] | None = None,
) -> tuple[Journal, Mapping[Key, Spool]]:
    """A run that was broken off, with the speech of the trials that have no verdict yet, or a failed one to be tried again."""
    journal = Journal.resume(out_dir)
    try:
        changed = differences(journal.experiment(), experiment)
        if changed:
            raise InputError(
                f"the experiment is not the one that this run began with: {'; '.join(changed)}",
                where=out_dir,
                fix="Continue with `resume` alone, or start again with `overwrite`",
            )
        _check_board(read_run(out_dir).machine.get("simulated_board"), host, out_dir)
        trials = journal.unfinished()
        if retry_failed:
            trials += [facts.trial for facts in read_run(out_dir).trials if facts.status == "failed"]
        trials = among(trials, only)
        _check_place(trials, journal.noted(DIRECTORY_NOTE))
        plan(experiment)
        return journal, _prepare(trials, experiment, out_dir, watcher)
    except BaseException as error:
        discard(out_dir / SPOOL_DIRECTORY)
        journal.close()
        if isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt(GO_ON) from None
        raise


def _check_board(began: Any, host: Host, out_dir: Path) -> None:
    """Raises InputError where a run of a played board would go on with a real one's sensors, or the other way round."""
    if began != host.simulated:
        words = {True: "this run began on no simulated board", False: f"this run began on a simulated board, {began}"}
        raise InputError(
            words[began is None], where=out_dir, fix="Start again with `overwrite`, or choose another `out`"
        )


def _check_place(trials: Sequence[Trial], began: str | None) -> None:
    """Raises InputError where a path of the run leads somewhere only from the directory `began`."""
    if began is None:
        return
    built_in = (None, *BUILT_IN_CORPORA, *BUILT_IN_NOISE)
    for trial in trials:
        for path in (trial.recognizer.model, trial.corpus, trial.condition.noise, trial.condition.rir):
            if path not in built_in and not Path(path).exists() and Path(began, path).exists():
                raise InputError(
                    "this path is relative to where the run began", where=path, fix=f"Continue from there: cd {began}"
                )


def _prepare(trials: Sequence[Trial], experiment: Experiment, out_dir: Path, watcher: Watcher) -> Mapping[Key, Spool]:
    """Read and mix all speech that these trials will transcribe."""
    return spool_all(trials, out_dir / SPOOL_DIRECTORY, strict=experiment.strict, prepared=watcher.prepared)


def record(journal: Journal, spool: Spool) -> None:
    name = spool.name
    journal.record_speech(
        Heard(
            corpus=spool.corpus,
            condition=name,
            digest=spool.digest,
            utterances=len(spool.pieces),
            audio_s=spool.audio_s,
            scaled_utterances=sum(piece.scale < 1 for piece in spool.pieces),
            scale_min=min((piece.scale for piece in spool.pieces), default=None),
        )
    )
    journal.reject(spool.corpus, name, spool.rejected)
