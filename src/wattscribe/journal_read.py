"""A run as it lies on disk → its facts. Every row passes `verified`, every text its record's types; else an InputError."""

from __future__ import annotations

import contextlib
import json
import math
import sqlite3
from array import array
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from wattscribe import journal_old, journal_rows
from wattscribe.errors import InputError
from wattscribe.journal_file import check_version, connect_to_read, existing_file, readable_errors
from wattscribe.records import (
    AttachedRecording,
    Board,
    Heard,
    Marks,
    PowerTrace,
    Rejected,
    RunFacts,
    Trial,
    TrialFacts,
    UtteranceResult,
    from_json,
)

Row = Mapping[str, Any]
T = TypeVar("T")

FACTS: dict[str, Any] = {
    "name": str,
    "created": str,
    "seed": int,
    "machine": Mapping[str, Any],
    "experiment": Mapping[str, Any],
    "meters": Mapping[str, Any],
}
NOTES: dict[str, Any] = {
    "note:marks": tuple[Marks, ...],
    "note:recordings": tuple[AttachedRecording, ...],
    "note:first_idle_w": Mapping[str, float],
    "note:directory": str,
    "note:board": Board,
}
"""What `meta` holds under which key."""


def read_run(run_dir: Path, *, only: Collection[str] | None = None) -> RunFacts:
    """Everything a run holds, also while it is being written; of each trial the one attempt that has a verdict. `only`: every
    other trial than these (ids) comes without its utterances and traces, which are not read.

    A trial without a verdict comes as `pending` or `running`, without utterances. Raises InputError when there is no run, or
    a damaged one.
    """
    path = existing_file(Path(run_dir))
    with readable_errors(Path(run_dir)), contextlib.closing(connect_to_read(path)) as db:
        db.execute("BEGIN")  # one snapshot, whatever the writer does meanwhile
        return facts_of(db, path, only=only)


def facts_of(db: sqlite3.Connection, path: Path, *, only: Collection[str] | None = None) -> RunFacts:
    """The same of an open journal: whoever goes on writing has read all of it before."""
    reader = _Reader(db=db, path=path, sealed=check_version(db, path) > 1)
    meta = reader.meta()
    trials = sorted(reader.rows("trial"), key=lambda row: row["ordinal"])
    plan = [reader.record(Trial, "trial", row, "trial", completed=journal_old.trial, id="id") for row in trials]
    attempts = reader.attempts({trial.id for trial in plan})
    reader.utterances(attempts, only)
    reader.traces(attempts, only)
    return RunFacts(
        **{key: meta[key] for key in FACTS},
        trials=tuple(_trial(trial, attempts) for trial in plan),
        rejected=tuple(reader.rejected()),
        heard=tuple(Heard(**row) for row in reader.rows("heard")),
        marks=meta.get("note:marks") or (),
        recordings=meta.get("note:recordings") or (),
        board=meta.get("note:board"),
    )


@dataclass(slots=True)
class _Attempt:
    status: str
    facts: TrialFacts | None
    utterances: list[UtteranceResult] = field(default_factory=list)
    traces: dict[str, list[tuple[PowerTrace, bytes, bytes]]] = field(default_factory=dict)

    @property
    def counts(self) -> bool:
        return self.status in ("done", "failed")


Attempts = Mapping[str, Mapping[int, _Attempt]]


def _trial(trial: Trial, attempts: Attempts) -> TrialFacts:
    own = attempts.get(trial.id, {}).values()
    for attempt in own:
        if attempt.counts and attempt.facts is not None:
            traces = tuple(_joined(parts) for parts in attempt.traces.values())
            return replace(attempt.facts, utterances=tuple(attempt.utterances), traces=traces)
    running = any(attempt.status == "running" for attempt in own)
    return TrialFacts(trial=trial, status="running" if running else "pending")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reader:
    db: sqlite3.Connection
    path: Path
    sealed: bool

    def rows(self, table: str, only: Collection[str] | None = None) -> Iterator[dict[str, Any]]:
        return journal_rows.verified(self.db, self.path, table, sealed=self.sealed, only=only)

    def record(
        self,
        kind: Any,
        table: str,
        row: Row,
        column: str,
        *,
        completed: Callable[[Any], Any] | None = None,
        **same: str,
    ) -> Any:
        """A row's text as the record `kind`; `same`: which of its fields stand in which column too.

        `completed`: adds to the plain data what earlier versions did not write.
        """
        try:
            plain = _decoded(row[column])
            fact = from_json(kind, plain if completed is None else completed(plain), strict=True)
        except (TypeError, ValueError, RecursionError) as error:
            raise self.damaged(table, row, f"{column}: {_short(error)}") from error
        for name, other in same.items():
            if getattr(fact, name) != row[other]:
                raise self.damaged(table, row, f"{column} has another {name}")
        return fact

    def damaged(self, table: str, row: Row, why: str) -> InputError:
        return journal_rows.damaged(self.path, table, row, why)

    def meta(self) -> dict[str, Any]:
        kinds = {**FACTS, **NOTES}
        values = {}
        for row in self.rows("meta"):
            values[row["key"]] = self.record(kinds.get(row["key"], Any), "meta", row, "value")
        for key in FACTS:
            if key not in values:
                raise self.damaged("meta", {"key": key}, "it is missing")
        return values

    def attempts(self, plan: set[str]) -> Attempts:
        attempts: dict[str, dict[int, _Attempt]] = {name: {} for name in plan}
        for row in self.rows("attempt"):
            own = attempts.get(row["trial_id"])
            if own is None:
                raise self.damaged("attempt", row, "it belongs to no trial of the plan")
            facts = None
            if row["facts"] is not None:
                facts = self.record(TrialFacts, "attempt", row, "facts", completed=journal_old.trial_facts)
                if facts.trial.id != row["trial_id"]:
                    raise self.damaged("attempt", row, "its facts belong to another trial")
            attempt = _Attempt(row["status"], facts)
            if attempt.counts:
                if facts is None or facts.status != attempt.status:
                    raise self.damaged("attempt", row, "its facts have another verdict")
                if any(attempt.counts for attempt in own.values()):
                    raise self.damaged("attempt", row, "its trial has a verdict already")
            elif row["status"] not in ("running", "interrupted"):
                raise self.damaged("attempt", row, "its status is unknown")
            own[row["attempt"]] = attempt
        return attempts

    def utterances(self, attempts: Attempts, only: Collection[str] | None) -> None:
        for row in self.rows("utterance", only):
            attempt = self._attempt_of(attempts, "utterance", row)
            if attempt.counts:
                result = self.record(UtteranceResult, "utterance", row, "result", id="id")
                if not (result.audio_s > 0 and result.end_s >= result.start_s and (result.cpu_s or 0) >= 0):
                    raise self.damaged("utterance", row, "its duration is not positive")
                attempt.utterances.append(result)

    def traces(self, attempts: Attempts, only: Collection[str] | None) -> None:
        for row in self.rows("trace", only):
            attempt = self._attempt_of(attempts, "trace", row)
            if len(row["t_s"]) != len(row["power_w"]) or len(row["t_s"]) % array("d").itemsize:
                raise self.damaged("trace", row, "its samples are cut off")
            if attempt.counts:
                about = self.record(
                    PowerTrace, "trace", row, "about", completed=journal_old.trace_facts, channel="channel"
                )
                attempt.traces.setdefault(row["channel"], []).append((about, row["t_s"], row["power_w"]))

    def rejected(self) -> Iterator[Rejected]:
        """The column says under which condition, in journals of every version."""
        for row in self.rows("rejected"):
            rejected: Rejected = self.record(Rejected, "rejected", row, "rejected", corpus="corpus")
            yield replace(rejected, condition=row["condition"])

    def _attempt_of(self, attempts: Attempts, table: str, row: Row) -> _Attempt:
        attempt = attempts.get(row["trial_id"], {}).get(row["attempt"])
        if attempt is None:
            raise self.damaged(table, row, "it belongs to no attempt")
        return attempt


def _decoded(text: str) -> Any:
    return json.loads(text, parse_constant=_no_number, parse_float=_finite)


def _no_number(_: str) -> None:
    """NaN and infinities, which early versions wrote into notes: no figure."""


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is out of range")
    return value


def _short(error: Exception) -> str:
    return str(error).split("\n")[0][:200]
