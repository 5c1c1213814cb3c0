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

from wattscribe import journal_old, journal_rows
from wattscribe.errors import InputError
from wattscribe.journal_file import (
    DRAFT_NAME,
    FILE_NAME,
    LOCK_NAME,
    SCHEMA,
    SCHEMA_VERSION,
    check_version,
    connect,
    existing_file,
    fold_log,
    holds_run,
    make_directory,
    readable_errors,
    remove_file,
    run_exists,
    take_lock,
)
from wattscribe.journal_read import facts_of, read_run
from wattscribe.lock import Lock
from wattscribe.records import (
    AttachedRecording,
    Heard,
    Marks,
    PowerTrace,
    Rejected,
    Trial,
    TrialFacts,
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
                journal = cls(run_dir, lock, connect(path))
        except BaseException:
            lock.release()
            raise
        try:
            with journal._transaction():
                facts_of(journal._db, path)  # nothing is written into a damaged one
                _whole(journal._db)
                _renew(journal._db, path)
                journal_rows.change(journal._db, "attempt", {"status": "interrupted"}, "status = 'running'")
        except BaseException:
            journal.close()
            raise
        return journal

    def unfinished(self) -> list[Trial]:
        """Trials without a verdict, in the order of the plan."""
        query = """SELECT trial FROM trial WHERE id NOT IN
                   (SELECT trial_id FROM attempt WHERE status IN ('done', 'failed')) ORDER BY ordinal"""
        return [_trial(row[0]) for row in self._db.execute(query)]

    def set_aside_failed(self) -> list[Trial]:
        """Make failed trials unfinished again and return them; their attempts stay, with verdict and reason, and never count."""
        failed = "id IN (SELECT trial_id FROM attempt WHERE status = 'failed')"
        with self._transaction():
            rows = self._db.execute(f"SELECT trial FROM trial WHERE {failed} ORDER BY ordinal").fetchall()
            journal_rows.change(self._db, "attempt", {"status": "interrupted"}, "status = 'failed'")
        return [_trial(row[0]) for row in rows]

    def earlier_failures(self, trial_id: str) -> list[Mapping[str, Any]]:
        """Attempts at a trial that had failed before it was tried again: number and reason."""
        query = "SELECT attempt, facts FROM attempt WHERE trial_id = ? AND status = 'interrupted' AND facts IS NOT NULL"
        failures: list[Mapping[str, Any]] = []
        for attempt, text in self._db.execute(f"{query} ORDER BY attempt", (trial_id,)):
            facts = json.loads(text)
            if facts["status"] == "failed":
                failures.append({"attempt": attempt, "reason": facts["reason"]})
        return failures

    def begin(self, trial_id: str) -> int:
        """Open the next attempt at a trial and return its number, from 1."""
        with self._transaction():
            last = self._db.execute("SELECT max(attempt) FROM attempt WHERE trial_id = ?", (trial_id,)).fetchone()[0]
            attempt = (last or 0) + 1
            self._insert("attempt", [(trial_id, attempt, "running", None)])
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
        rows = [
            (trial_id, attempt, first_ordinal + at, utterance.id, _dump(utterance))
            for at, utterance in enumerate(utterances)
        ]
        with self._transaction():
            self._require_running(trial_id, attempt)
            self._insert("utterance", rows)
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
        rows = [(corpus, condition, ordinal, _dump(entry)) for ordinal, entry in enumerate(rejected)]
        with self._transaction():
            self._delete("rejected", "corpus = ? AND condition = ?", (corpus, condition))
            self._insert("rejected", rows)

    def record_speech(self, speech: Heard) -> None:
        """Record what was prepared; InputError when an earlier part of the run had other speech."""
        query = "SELECT digest FROM heard WHERE corpus = ? AND condition = ?"
        row = self._db.execute(query, (speech.corpus, speech.condition)).fetchone()
        if row is not None and row[0] != speech.digest:
            raise InputError(
                f"the audio or the texts of {speech.corpus!r} ({speech.condition}) changed since this run began",
                where=self.run_dir,
                fix="Restore them, or start again with `overwrite`",
            )
        with self._transaction():
            self._delete("heard", "corpus = ? AND condition = ?", (speech.corpus, speech.condition))
            self._insert("heard", [tuple(to_json(speech).values())])

    def mark(self, marks: Marks) -> None:
        """Keep the load pulses of one stretch of the run; said again under the same id, they replace what was said before."""
        others = [other for other in _get(self._db, "note:marks") or () if other["id"] != marks.id]
        self.note("marks", [*others, to_json(marks)])

    def attach(self, recording: AttachedRecording, traces: Mapping[str, Sequence[PowerTrace]]) -> None:
        """Put a recording made elsewhere beside the finished trials (by id), in place of what its name held before.

        One transaction: a reader sees the old samples or the new ones. Raises ValueError for a trial without a verdict.
        """
        query = "SELECT attempt FROM attempt WHERE trial_id = ? AND status IN ('done', 'failed')"
        with self._transaction():
            kept = []
            for attached in _get(self._db, "note:recordings") or ():
                if attached["name"] == recording.name:
                    for channel in attached["channels"]:
                        self._delete("trace", "channel = ?", (channel,))
                else:
                    kept.append(attached)
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
        for key in values:
            self._delete("meta", "key = ?", (key,))
        self._insert("meta", [(key, json.dumps(to_json(value))) for key, value in values.items()])

    def _insert(self, table: str, rows: Sequence[Sequence[Any]]) -> None:
        journal_rows.insert(self._db, table, rows)

    def _delete(self, table: str, where: str, parameters: Sequence[Any]) -> None:
        journal_rows.delete(self._db, table, where, parameters)

    def _require_running(self, trial_id: str, attempt: int) -> None:
        query = "SELECT status FROM attempt WHERE trial_id = ? AND attempt = ?"
        row = self._db.execute(query, (trial_id, attempt)).fetchone()
        if row is None or row[0] != "running":
            raise ValueError(f"attempt {attempt} at trial {trial_id} is {row[0] if row else 'not there'}, not running")

    def _close_attempt(self, facts: TrialFacts, attempt: int, status: str) -> None:
        bare = replace(facts, utterances=(), traces=())
        new = {"status": status, "facts": _dump(bare)}
        journal_rows.change(self._db, "attempt", new, "trial_id = ? AND attempt = ?", (facts.trial.id, attempt))

    def _add_trace(self, trial_id: str, attempt: int, trace: PowerTrace) -> None:
        query = "SELECT coalesce(max(part), -1) FROM trace WHERE trial_id = ? AND attempt = ? AND channel = ?"
        part = self._db.execute(query, (trial_id, attempt, trace.channel)).fetchone()[0] + 1
        about = _dump(replace(trace, t_s=(), power_w=()))
        samples = (array("d", trace.t_s).tobytes(), array("d", trace.power_w).tobytes())
        self._insert("trace", [(trial_id, attempt, trace.channel, part, about, *samples)])


def claim(run_dir: Path) -> Lock:
    """Make the directory and keep every other writer out. Raises InputError that names the one who is there."""
    make_directory(run_dir)
    return take_lock(run_dir)


def _trial(text: str) -> Trial:
    return from_json(Trial, journal_old.trial(json.loads(text)))


def _write_plan(run_dir: Path, facts: Mapping[str, Any], trials: Sequence[Trial]) -> Path:
    """A whole journal beside its place, closed."""
    draft = run_dir / DRAFT_NAME
    remove_file(draft)
    with contextlib.closing(connect(draft)) as db:
        db.execute("BEGIN")
        for statement in SCHEMA.split(";\n"):
            db.execute(statement)
        journal_rows.start_tally(db)
        journal_rows.insert(db, "meta", [(key, json.dumps(to_json(value))) for key, value in facts.items()])
        rows = [(trial.id, ordinal, _dump(trial)) for ordinal, trial in enumerate(trials)]
        journal_rows.insert(db, "trial", rows)
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        db.execute("COMMIT")
    return draft


def _whole(db: sqlite3.Connection) -> None:
    """Pages and indexes too, before something is written. Raises sqlite3.DatabaseError."""
    answer = db.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if answer != "ok":
        raise sqlite3.DatabaseError(answer)


def _renew(db: sqlite3.Connection, path: Path) -> None:
    """A journal of an earlier schema becomes one of this schema, as it is."""
    if check_version(db, path) < SCHEMA_VERSION:
        journal_rows.seal_all(db)
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _dump(record: Any) -> str:
    return json.dumps(to_json(record), allow_nan=False)


def _get(db: sqlite3.Connection, key: str) -> Any:
    row = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return None if row is None else json.loads(row[0])
