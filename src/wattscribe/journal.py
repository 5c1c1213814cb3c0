"""The run on disk: one SQLite file, one writer; bench writes it, report, compare and calibrate read it.

Raw text, raw times and raw power samples are kept; word errors and joules are derived later, so that a better rule can be
applied to an old run. Every row is keyed and every change is one transaction: a writer killed at any moment leaves a
journal that says which trials are finished and which are not. What an interrupted attempt had written stays under its own
attempt number and is never counted, because the timings of half a trial cannot be compared with those of a whole one.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from wattscribe.errors import InputError
from wattscribe.journal_file import (
    DRAFT_NAME,
    FILE_NAME,
    LOCK_NAME,
    SCHEMA,
    SCHEMA_VERSION,
    add_missing_columns,
    check_version,
    connect,
    connect_to_read,
    existing_file,
    fold_log,
    make_directory,
    readable_errors,
    remove_file,
    run_exists,
    take_lock,
)
from wattscribe.lock import Lock
from wattscribe.records import (
    AttachedRecording,
    Heard,
    Marks,
    PowerTrace,
    Rejected,
    RunFacts,
    Trial,
    TrialFacts,
    TrialStatus,
    UtteranceResult,
    from_json,
    to_json,
)

__all__ = ["FILE_NAME", "LOCK_NAME", "Heard", "Journal", "claim", "holds_run", "read_run"]


class Journal:
    """The one writer of a run. Open it with `create` or `resume`; close it, or use it as a context manager."""

    def __init__(self, run_dir: Path, lock: Lock, connection: sqlite3.Connection) -> None:
        self.run_dir = run_dir
        self._lock = lock
        self._db = connection

    @classmethod
    def create(
        cls,
        run_dir: Path,
        *,
        name: str,
        created: str,
        seed: int,
        machine: Mapping[str, Any],
        experiment: Mapping[str, Any],
        meters: Mapping[str, Any],
        trials: Sequence[Trial],
        lock: Lock | None = None,
        replace_old: bool = False,
    ) -> Journal:
        """A new journal that holds the whole plan, every trial pending; it appears as a whole or not at all.

        `lock`: from `claim`, by whoever had something to prepare first. `replace_old`: the run that lies there is gone once
        the new one is written; without it, it is an InputError.
        """
        lock = lock or claim(run_dir)
        try:
            path = run_dir / FILE_NAME
            if path.exists() and not replace_old:
                raise run_exists(run_dir)
            facts = {"name": name, "created": created, "seed": seed, "machine": machine}
            with readable_errors(run_dir):
                draft = _write_plan(run_dir, {**facts, "experiment": experiment, "meters": meters}, trials)
                fold_log(path)
                draft.replace(path)
                return cls(run_dir, lock, connect(path))
        except BaseException:
            lock.release()
            raise

    @classmethod
    def resume(cls, run_dir: Path) -> Journal:
        """The journal of an unfinished run; attempts that a dead writer left running become `interrupted`."""
        path = existing_file(run_dir)
        lock = take_lock(run_dir)
        try:
            with readable_errors(run_dir):
                connection = connect(path)
                check_version(connection, path)
                journal = cls(run_dir, lock, connection)
                with journal._transaction():
                    add_missing_columns(connection)
                    connection.execute("UPDATE attempt SET status = 'interrupted' WHERE status = 'running'")
                return journal
        except BaseException:
            lock.release()
            raise

    def unfinished(self) -> list[Trial]:
        """Trials without a verdict, in the order of the plan."""
        query = """SELECT trial FROM trial WHERE id NOT IN
                   (SELECT trial_id FROM attempt WHERE status IN ('done', 'failed')) ORDER BY ordinal"""
        return [from_json(Trial, json.loads(row[0])) for row in self._db.execute(query)]

    def set_aside_failed(self) -> list[Trial]:
        """Make failed trials unfinished again and return them; their attempts stay, with verdict and reason, and never count."""
        failed = "id IN (SELECT trial_id FROM attempt WHERE status = 'failed')"
        with self._transaction():
            rows = self._db.execute(f"SELECT trial FROM trial WHERE {failed} ORDER BY ordinal").fetchall()
            self._db.execute("UPDATE attempt SET status = 'interrupted' WHERE status = 'failed'")
        return [from_json(Trial, json.loads(row[0])) for row in rows]

    def earlier_failures(self, trial_id: str) -> list[Mapping[str, Any]]:
        """Attempts at a trial that had failed before it was tried again: number and reason."""
        query = "SELECT attempt, facts FROM attempt WHERE trial_id = ? AND status = 'interrupted' AND facts IS NOT NULL"
        found: list[Mapping[str, Any]] = []
        for attempt, text in self._db.execute(f"{query} ORDER BY attempt", (trial_id,)):
            facts = json.loads(text)
            if facts["status"] == "failed":
                found.append({"attempt": attempt, "reason": facts["reason"]})
        return found

    def begin(self, trial_id: str) -> int:
        """Open the next attempt at a trial and return its number, from 1."""
        with self._transaction():
            last = self._db.execute("SELECT max(attempt) FROM attempt WHERE trial_id = ?", (trial_id,)).fetchone()[0]
            attempt = (last or 0) + 1
            self._db.execute("INSERT INTO attempt VALUES (?, ?, 'running', NULL)", (trial_id, attempt))
        return attempt

    def append(
        self,
        trial_id: str,
        attempt: int,
        *,
        first_ordinal: int = 0,
        utterances: Sequence[UtteranceResult] = (),
        traces: Sequence[PowerTrace] = (),
    ) -> None:
        """Add utterances (numbered from `first_ordinal`) and power samples of a running attempt, in one transaction."""
        rows = [(trial_id, attempt, first_ordinal + at, each.id, _dump(each)) for at, each in enumerate(utterances)]
        with self._transaction():
            self._require_running(trial_id, attempt)
            self._db.executemany("INSERT INTO utterance VALUES (?, ?, ?, ?, ?)", rows)
            for trace in traces:
                self._add_trace(trial_id, attempt, trace)

    def finish(self, attempt: int, facts: TrialFacts) -> None:
        """Close an attempt with its verdict, `done` or `failed`; its utterances and traces were appended before."""
        if facts.status not in ("done", "failed"):
            raise ValueError(f"a verdict is done or failed, not {facts.status}")
        with self._transaction():
            self._require_running(facts.trial.id, attempt)
            self._close_attempt(facts, attempt, facts.status)

    def interrupt(self, attempt: int, facts: TrialFacts) -> None:
        """Close an attempt that does not count; the trial stays unfinished."""
        with self._transaction():
            self._close_attempt(facts, attempt, "interrupted")

    def reject(self, corpus: str, condition: str, rejected: Sequence[Rejected]) -> None:
        """Record the inputs that a corpus lost under a condition; said twice, it counts once."""
        rows = [(corpus, condition, ordinal, _dump(each)) for ordinal, each in enumerate(rejected)]
        with self._transaction():
            self._db.execute("DELETE FROM rejected WHERE corpus = ? AND condition = ?", (corpus, condition))
            self._db.executemany("INSERT INTO rejected VALUES (?, ?, ?, ?)", rows)

    def hear(self, heard: Heard) -> None:
        """Record what was prepared; InputError when an earlier part of the run heard something else."""
        query = "SELECT digest FROM heard WHERE corpus = ? AND condition = ?"
        row = self._db.execute(query, (heard.corpus, heard.condition)).fetchone()
        if row is not None and row[0] != heard.digest:
            raise InputError(
                f"the audio or the texts of {heard.corpus!r} ({heard.condition}) changed since this run began",
                where=self.run_dir,
                fix="Restore them, or start again with --overwrite",
            )
        columns = ", ".join(to_json(heard))
        with self._transaction():
            self._db.execute(
                f"INSERT OR REPLACE INTO heard ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)", tuple(to_json(heard).values())
            )

    def mark(self, marks: Marks) -> None:
        """Keep the load pulses of one stretch of the run; said again under the same id, they replace what was said before."""
        others = [each for each in _get(self._db, "note:marks") or () if each["id"] != marks.id]
        self.note("marks", [*others, to_json(marks)])

    def attach(self, recording: AttachedRecording, traces: Mapping[str, Sequence[PowerTrace]]) -> None:
        """Put a recording made elsewhere beside the finished trials (by id), in place of what its name held before.

        One transaction: a reader sees the old samples or the new ones. Raises ValueError for a trial without a verdict.
        """
        query = "SELECT attempt FROM attempt WHERE trial_id = ? AND status IN ('done', 'failed')"
        with self._transaction():
            kept = []
            for each in _get(self._db, "note:recordings") or ():
                if each["name"] == recording.name:
                    gone = [(channel,) for channel in each["channels"]]
                    self._db.executemany("DELETE FROM trace WHERE channel = ?", gone)
                else:
                    kept.append(each)
            for trial_id, pieces in traces.items():
                verdict = self._db.execute(query, (trial_id,)).fetchone()
                if verdict is None:
                    raise ValueError(f"trial {trial_id} has no verdict")
                for trace in pieces:
                    self._add_trace(trial_id, verdict[0], trace)
            self._put({"note:recordings": [*kept, to_json(recording)]})

    def note(self, key: str, value: Any) -> None:
        """Keep a small fact about the run under a key; the last one said stands."""
        with self._transaction():
            self._put({f"note:{key}": value})

    def noted(self, key: str) -> Any:
        """The fact kept under a key, or None."""
        return _get(self._db, f"note:{key}")

    def experiment(self) -> Mapping[str, Any]:
        """The experiment as it was recorded when the run began."""
        return cast(Mapping[str, Any], _get(self._db, "experiment"))

    def close(self) -> None:
        """Fold the write-ahead log into the file and let the next writer in; idempotent."""
        with contextlib.suppress(sqlite3.Error):
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._db.close()
        self._lock.release()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with readable_errors(self.run_dir):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _put(self, values: Mapping[str, Any]) -> None:
        rows = [(key, json.dumps(to_json(value))) for key, value in values.items()]
        self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", rows)

    def _require_running(self, trial_id: str, attempt: int) -> None:
        query = "SELECT status FROM attempt WHERE trial_id = ? AND attempt = ?"
        row = self._db.execute(query, (trial_id, attempt)).fetchone()
        if row is None or row[0] != "running":
            raise ValueError(f"attempt {attempt} at trial {trial_id} is {row[0] if row else 'not there'}, not running")

    def _close_attempt(self, facts: TrialFacts, attempt: int, status: str) -> None:
        bare = replace(facts, utterances=(), traces=())
        values = (status, _dump(bare), facts.trial.id, attempt)
        self._db.execute("UPDATE attempt SET status = ?, facts = ? WHERE trial_id = ? AND attempt = ?", values)

    def _add_trace(self, trial_id: str, attempt: int, trace: PowerTrace) -> None:
        query = "SELECT coalesce(max(part), -1) FROM trace WHERE trial_id = ? AND attempt = ? AND channel = ?"
        part = self._db.execute(query, (trial_id, attempt, trace.channel)).fetchone()[0] + 1
        about = _dump(replace(trace, t_s=(), power_w=()))
        samples = (array("d", trace.t_s).tobytes(), array("d", trace.power_w).tobytes())
        row = (trial_id, attempt, trace.channel, part, about, *samples)
        self._db.execute("INSERT INTO trace VALUES (?, ?, ?, ?, ?, ?, ?)", row)


def read_run(run_dir: Path) -> RunFacts:
    """Everything a run holds, also while it is being written; of each trial the one attempt that has a verdict.

    A trial without a verdict comes as `pending` or `running`, without utterances. Raises InputError when there is no run.
    """
    path = existing_file(Path(run_dir))
    with readable_errors(Path(run_dir)), contextlib.closing(connect_to_read(path)) as db:
        check_version(db, path)
        db.execute("BEGIN")  # one snapshot, whatever the writer does meanwhile
        trials = [
            from_json(Trial, json.loads(row[0])) for row in db.execute("SELECT trial FROM trial ORDER BY ordinal")
        ]
        rejected = [
            from_json(Rejected, json.loads(row[0]))
            for row in db.execute("SELECT rejected FROM rejected ORDER BY corpus, condition, ordinal")
        ]
        return RunFacts(
            name=_get(db, "name"),
            created=_get(db, "created"),
            seed=_get(db, "seed"),
            machine=_get(db, "machine"),
            experiment=_get(db, "experiment"),
            meters=_get(db, "meters"),
            trials=tuple(_read_trial(db, trial) for trial in trials),
            rejected=tuple(dict.fromkeys(rejected)),
            heard=_read_heard(db),
            marks=tuple(from_json(Marks, each) for each in _get(db, "note:marks") or ()),
            recordings=tuple(from_json(AttachedRecording, each) for each in _get(db, "note:recordings") or ()),
        )


def _read_heard(db: sqlite3.Connection) -> tuple[Heard, ...]:
    rows = db.execute("SELECT * FROM heard ORDER BY corpus, condition")
    names = [column[0] for column in rows.description]
    return tuple(from_json(Heard, dict(zip(names, row, strict=True))) for row in rows)


def _read_trial(db: sqlite3.Connection, trial: Trial) -> TrialFacts:
    query = "SELECT attempt, facts FROM attempt WHERE trial_id = ? AND status IN ('done', 'failed')"
    verdict = db.execute(query, (trial.id,)).fetchone()
    if verdict is None:
        running = db.execute("SELECT 1 FROM attempt WHERE trial_id = ? AND status = 'running'", (trial.id,)).fetchone()
        status: TrialStatus = "running" if running else "pending"
        return TrialFacts(trial=trial, status=status)
    attempt, facts = verdict
    key = (trial.id, attempt)
    results = db.execute("SELECT result FROM utterance WHERE trial_id = ? AND attempt = ? ORDER BY ordinal", key)
    utterances = tuple(from_json(UtteranceResult, json.loads(row[0])) for row in results)
    return replace(from_json(TrialFacts, json.loads(facts)), utterances=utterances, traces=_read_traces(db, key))


def _read_traces(db: sqlite3.Connection, key: tuple[str, int]) -> tuple[PowerTrace, ...]:
    query = "SELECT channel, about, t_s, power_w FROM trace WHERE trial_id = ? AND attempt = ? ORDER BY channel, part"
    parts: dict[str, list[tuple[PowerTrace, bytes, bytes]]] = {}
    for channel, about, times, powers in db.execute(query, key):
        parts.setdefault(channel, []).append((from_json(PowerTrace, json.loads(about)), times, powers))
    return tuple(_joined(each) for each in parts.values())


def _joined(parts: Sequence[tuple[PowerTrace, bytes, bytes]]) -> PowerTrace:
    """The pieces of one channel, in the order in which they were written."""
    t_s, power_w = array("d"), array("d")
    for _, times, powers in parts:
        t_s.frombytes(times)
        power_w.frombytes(powers)
    return replace(
        parts[0][0],
        t_s=tuple(t_s),
        power_w=tuple(power_w),
        failed_t_s=tuple(t for about, _, _ in parts for t in about.failed_t_s),
        update_interval_s=max(about.update_interval_s for about, _, _ in parts),
        clock_error_s=max(about.clock_error_s for about, _, _ in parts),
    )


def claim(run_dir: Path) -> Lock:
    """Make the directory and keep every other writer out. Raises InputError that names the one who is there."""
    make_directory(run_dir)
    return take_lock(run_dir)


def _write_plan(run_dir: Path, facts: Mapping[str, Any], trials: Sequence[Trial]) -> Path:
    """A whole journal beside its place, closed."""
    draft = run_dir / DRAFT_NAME
    remove_file(draft)
    with contextlib.closing(connect(draft)) as db:
        db.execute("BEGIN")
        for statement in SCHEMA.split(";\n"):
            db.execute(statement)
        db.executemany("INSERT INTO meta VALUES (?, ?)", [(k, json.dumps(to_json(v))) for k, v in facts.items()])
        rows = [(trial.id, ordinal, _dump(trial)) for ordinal, trial in enumerate(trials)]
        db.executemany("INSERT INTO trial VALUES (?, ?, ?)", rows)
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        db.execute("COMMIT")
    return draft


def holds_run(run_dir: Path) -> bool:
    """Whether a journal lies there."""
    return (run_dir / FILE_NAME).exists()


def _dump(record: Any) -> str:
    return json.dumps(to_json(record), allow_nan=False)


def _get(db: sqlite3.Connection, key: str) -> Any:
    row = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return None if row is None else json.loads(row[0])
