"""What has come into a journal since it was last looked at, for whoever watches a run that goes on: a few short queries.

The writer is not disturbed and nothing is verified: figures that count are those of `read_run`, once a trial has its verdict.
"""

from __future__ import annotations

import contextlib
import json
from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wattscribe.journal_file import connect_to_read, existing_file, readable_errors


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How far a run is."""

    trials: int
    done: int
    failed: int
    version: str
    """Another one whenever a report would say something else: a verdict, a recording, another run in its place."""

    @property
    def ended(self) -> bool:
        """Whether every trial has its verdict."""
        return self.done + self.failed == self.trials


def standing(run_dir: Path) -> Standing:
    """Raises InputError where there is no run, or none that can be read."""
    path = existing_file(run_dir)
    with readable_errors(run_dir), contextlib.closing(connect_to_read(path)) as db:
        db.execute("BEGIN")
        trials = db.execute("SELECT count(*) FROM trial").fetchone()[0]
        counts = dict(db.execute("SELECT status, count(*) FROM attempt GROUP BY status"))
        notes = db.execute("SELECT max(length(value)) FROM meta WHERE key = 'note:recordings'").fetchone()[0]
    done, failed = counts.get("done", 0), counts.get("failed", 0)
    version = f"{path.stat().st_ino}-{done}-{failed}-{counts.get('interrupted', 0)}-{notes or 0}"
    return Standing(trials=trials, done=done, failed=failed, version=version)


@dataclass(slots=True)
class Rail:
    """The last watts of one channel."""

    total: bool
    evidence: str
    power_w: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Tail:
    """The trial that is running: what it has answered so far, and its last power samples. `look` brings it up to date."""

    run_dir: Path
    samples: int = 600
    """Of each channel that are kept."""
    trial: tuple[str, int] | None = None
    """Its id and the number of the attempt."""
    utterances: int = 0
    audio_s: float = 0.0
    took_s: float = 0.0
    """In the recognizer: utterances of one batch share its time, and waiting for speech in real time is not in it."""
    rails: dict[str, Rail] = field(default_factory=dict)
    _end_s: float = 0.0
    _parts: dict[str, int] = field(default_factory=dict)

    def look(self) -> None:
        """Raises InputError where there is no run, WattscribeError where it cannot be read."""
        path = existing_file(self.run_dir)
        with readable_errors(self.run_dir), contextlib.closing(connect_to_read(path)) as db:
            running = db.execute("SELECT trial_id, attempt FROM attempt WHERE status = 'running'").fetchone()
            if running != self.trial:
                self._forget(running)
            if running is None:
                return
            query = "SELECT result FROM utterance WHERE trial_id = ? AND attempt = ? AND ordinal >= ? ORDER BY ordinal"
            for (text,) in db.execute(query, (*running, self.utterances)):
                self._answer(json.loads(text))
            query = "SELECT DISTINCT channel FROM trace WHERE trial_id = ? AND attempt = ?"
            for (channel,) in db.execute(query, running).fetchall():
                new = "SELECT part, about, power_w FROM trace WHERE trial_id = ? AND attempt = ? AND channel = ? AND part > ?"
                for part, about, powers in db.execute(new, (*running, channel, self._parts.get(channel, -1))):
                    self._sampled(channel, part, about, powers)

    def _forget(self, running: tuple[str, int] | None) -> None:
        self.trial, self.utterances, self.audio_s, self.took_s, self._end_s = running, 0, 0.0, 0.0, 0.0
        self.rails, self._parts = {}, {}

    def _answer(self, result: dict[str, Any]) -> None:
        self.utterances += 1
        self.audio_s += result["audio_s"]
        since_s, self._end_s = max(result["start_s"], self._end_s), max(self._end_s, result["end_s"])
        paced = result.get("paced")
        self.took_s += paced["compute_s"] if paced else max(0.0, self._end_s - since_s)

    def _sampled(self, channel: str, part: int, about: str, powers: bytes) -> None:
        self._parts[channel] = part
        if channel not in self.rails:
            facts = json.loads(about)
            self.rails[channel] = Rail(bool(facts["total"]), str(facts["evidence"]))
        watts = array("d")
        watts.frombytes(powers)
        rail = self.rails[channel]
        rail.power_w = [*rail.power_w, *watts][-self.samples :]
