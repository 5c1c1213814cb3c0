"""A fleet's run: the experiment on every board, or its shards over all of them, and the journals that come of it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wattscribe import whole_file
from wattscribe.errors import InputError, WattscribeError
from wattscribe.fleets import on_board
from wattscribe.fleets.cluster import Cluster
from wattscribe.fleets.dispatch import Dispatch
from wattscribe.fleets.jobs import Job
from wattscribe.fleets.quiet import ANY, resource
from wattscribe.journal import read_run
from wattscribe.journal_file import FILE_NAME, fold_log, holds_run, make_directory, run_folders
from wattscribe.lock import Lock
from wattscribe.runs.experiment import Experiment, check, differences
from wattscribe.runs.plan import plan
from wattscribe.text_files import read_json

RECORD_NAME, LOCK_NAME = "fleet.json", "fleet.lock"
SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What is kept of a fleet's run beside the boards' own journals; the salt is in no journal."""

    fleet: str
    salt: str
    experiment: Mapping[str, Any]
    boards: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """How a fleet's run is to go."""

    resume: bool = False
    overwrite: bool = False
    retry_failed: bool = False
    patience_s: float = 600.0
    together: bool = False
    """All trials of a shard on one board, which compare then, in place of each wherever one is free."""


@contextlib.contextmanager
def opened(experiment: Experiment | None, out: Path, asked: Asked) -> Iterator[Record]:
    """The run's record, a new one or the one that is there, while nobody else writes this run.

    Raises InputError for a run that is there (unless `resume` or `overwrite`), and for another experiment than it began with.
    """
    if asked.resume and asked.overwrite:
        raise InputError("`resume` and `overwrite` exclude each other", where=out, fix="Choose one")
    if asked.retry_failed and not asked.resume:
        raise InputError("`retry_failed` is only for resuming a run", where=out, fix="Add `resume`")
    path = out / RECORD_NAME
    if not path.exists() and (out / FILE_NAME).exists():
        raise InputError("there is the run of one machine here", where=out, fix="Choose another `out`")
    if path.exists() and not (asked.resume or asked.overwrite):
        fix = "Go on with it (`resume`), replace it (`overwrite`) or choose another `out`"
        raise InputError("there is a fleet's run already", where=out, fix=fix)
    record = _read(path, experiment) if asked.resume else _new(experiment)
    was_there = out.is_dir()
    make_directory(out)
    lock = Lock.take(out / LOCK_NAME)
    try:
        yield record
    finally:
        lock.release()
        if not was_there and not path.exists():  # nothing came of it
            shutil.rmtree(out, ignore_errors=True)


def _new(experiment: Experiment | None) -> Record:
    """Raises InputError for an experiment that cannot be planned."""
    if experiment is None:
        raise InputError("there is nothing to measure", fix="Name an experiment, or resume a run")
    plan(experiment)
    return Record(fleet=secrets.token_hex(8), salt=secrets.token_hex(16), experiment=experiment.model_dump(), boards=())


def _read(path: Path, experiment: Experiment | None) -> Record:
    values = read_json(path, what="the fleet's record", fix="Name a directory that `wattscribe fleet run` wrote")
    if not isinstance(values, dict) or values.get("schema") != SCHEMA:
        raise InputError("this is no record of a fleet's run that this version reads", where=path)
    recorded = check(values["experiment"], where=path)
    if experiment is not None and (changed := differences(recorded.model_dump(), experiment)):
        raise InputError(
            f"the experiment is not the one that this run began with: {'; '.join(changed)}",
            where=path.parent,
            fix="Continue with `resume` alone, or start again with `overwrite`",
        )
    return Record(
        fleet=values["fleet"], salt=values["salt"], experiment=recorded.model_dump(), boards=tuple(values["boards"])
    )


def shards_of(out: Path) -> int:
    """Into how many the run that is there cut its speech."""
    return check(_read(out / RECORD_NAME, None).experiment).shards


def keep(record: Record, out: Path) -> None:
    """Write the record, for its owner alone: whoever has the salt can tell which board an id is."""
    values = {"schema": SCHEMA, "fleet": record.fleet, "salt": record.salt, "boards": record.boards}
    with whole_file.beside(out / RECORD_NAME) as draft:
        draft.chmod(0o600)
        draft.write_text(json.dumps({**values, "experiment": record.experiment}, indent=1) + "\n", encoding="utf-8")


def clear(out: Path) -> None:
    """Take away the runs of the boards of the fleet's run that is replaced."""
    path = out / RECORD_NAME
    for label in read_json(path, what="the fleet's record")["boards"] if path.exists() else ():
        if (out / label / FILE_NAME).exists():
            shutil.rmtree(out / label)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a fleet's run ended."""

    errors: tuple[str, ...]
    """What no board did, and why, one line each."""


def measure(record: Record, cluster: Cluster, out: Path, asked: Asked, say: Callable[[str], None]) -> Ended:
    """Every trial on every board, or, where the experiment has shards, each on one of them; then the boards' journals."""
    for label in cluster.labels:
        make_directory(out / label)
    dispatch = Dispatch(cluster=cluster, say=say, patience_s=asked.patience_s)
    errors: list[str] = []
    finished: dict[str, str] = {}
    for job, outcome in dispatch.outcomes(_jobs(record, cluster, out, asked)):
        if outcome is None:
            errors.append(f"{job.label or 'a shard'}: no board for {asked.patience_s:g} s; continue with `resume`")
        elif outcome.error is not None:
            errors.append(f"{outcome.label}: {outcome.error}")
        else:
            finished[outcome.label] = outcome.run_dir
    for label, run_dir in finished.items():
        if not cluster.is_here(label):
            try:
                collect(cluster, label, run_dir, out / label, timeout_s=asked.patience_s)
            except (OSError, TimeoutError, WattscribeError) as error:
                errors.append(f"{label}: its journal was not handed over ({error}); continue with `resume`")
    return Ended(errors=tuple(dict.fromkeys(errors)))


def _jobs(record: Record, cluster: Cluster, out: Path, asked: Asked) -> list[Job]:
    boards = cluster.boards
    shared: dict[str, Any] = {
        "fleet": record.fleet,
        "salt": record.salt,
        "experiment": record.experiment,
        "retry_failed": asked.retry_failed,
        "folders": {label: board.folder for label, board in boards.items() if board.folder is not None},
        "journals": {label: str((out / label).resolve()) for label in cluster.labels if cluster.is_here(label)},
        "simulated": {label: b.simulated_board for label, b in boards.items() if b.simulated_board is not None},
    }
    experiment = check(record.experiment)
    if experiment.shards > 1:
        through = _through(out, again=asked.retry_failed)
        left = [trial for trial in plan(experiment) if trial.id not in through]
        if not asked.together:
            return [Job(only=(trial.id,), **shared) for trial in left]
        parts = dict.fromkeys(trial.part for trial in left)
        return [Job(only=tuple(t.id for t in left if t.part == part), **shared) for part in parts]
    return [Job(label=label, **shared) for label in cluster.labels]


def _through(out: Path, *, again: bool) -> set[str]:
    """Shards that a board has done, in journals that are here, so that no other does them once more; `again`: not failed ones."""
    verdicts = {"done"} if again else {"done", "failed"}
    runs = [read_run(folder) for folder in run_folders(out) if holds_run(folder)]
    return {trial.trial.id for run in runs for trial in run.trials if trial.status in verdicts}


def collect(cluster: Cluster, label: str, run_dir: str, target: Path, *, timeout_s: float) -> None:
    """The board's journal as it is, beside the other boards'. Raises TimeoutError, and WattscribeError for bytes that changed."""

    def asked(function: Callable[..., Any], *arguments: Any) -> Any:
        wanted = {ANY: 1, resource(label): 1}
        return cluster.client.submit(function, *arguments, resources=wanted, pure=False).result(timeout=timeout_s)

    copied = asked(on_board.copy_journal, run_dir)
    if copied is None:
        raise WattscribeError("the board has no journal", where=run_dir)
    size, digest = copied
    path, got = target / FILE_NAME, hashlib.sha256()
    make_directory(target)
    with whole_file.beside(path) as draft:
        with draft.open("wb") as file:
            while file.tell() < size:
                data = asked(on_board.chunk, run_dir, file.tell())
                got.update(data)
                file.write(data)
        if got.hexdigest() != digest:
            raise WattscribeError("the journal changed on its way", where=label)
        fold_log(path)
