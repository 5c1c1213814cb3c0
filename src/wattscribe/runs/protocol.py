"""What runner and worker say to each other: records, one JSON line each, over two pipes of their own.

The worker's standard output and error go to a log file, so that a chatty library cannot corrupt a message.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, get_args

from wattscribe.records import Counts, Paced, PrecisionAudit, StreamingLatency, Trial, from_json, to_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one utterance lies in the spool file; references stay with the runner."""

    id: str
    offset_bytes: int
    samples: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Runner → worker, once: everything that a trial needs."""

    trial: Trial
    spool: str
    pieces: tuple[Place, ...]
    warmup: int
    memory_limit_bytes: int | None = None
    quiet_s: float = 0.0
    """The worker does nothing for so long after its window: a sensor that averages would count its end to the window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Go:
    """Runner → worker, once: the meters are ready, open the window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """The worker lives; its empty self weighs so much."""

    baseline_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The model is in memory."""

    load_s: float
    streaming: bool
    batch_size: int
    """Utterances that are given to it at once: at most as many as it transcribes together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Warm:
    """The first batches, which pay for what happens only once, are through."""

    warmup_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """A batch is about to be transcribed: from here on the runner watches the time."""

    ids: tuple[str, ...]
    start_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One utterance's text and what it took."""

    id: str
    text: str
    counts: Counts | None = None
    latency: StreamingLatency | None = None
    language: str | None = None
    paced: Paced | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A batch is through, the device's queue drained; its utterances share the interval."""

    answers: tuple[Answer, ...]
    start_s: float
    end_s: float
    cpu_s: float
    """CPU seconds of the worker, all threads, and of its children over the batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """What the recognizer makes of a whole utterance that it was streamed before; outside the window."""

    id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """All utterances are through."""

    start_s: float
    end_s: float
    cpu_s: float
    """The same over the whole window."""
    starved_s: float | None
    """Seconds in which a thread of the worker was ready to run and other work had the core; None: not known."""
    peak_memory_bytes: int | None
    """Above the empty baseline."""
    children_peak_bytes: int
    """The peaks of the worker's children that still live, added up; 0: it has none."""
    gpu_memory_bytes: int | None
    audit: PrecisionAudit
    whole_failed: str | None = None
    """Why there is no text of whole utterances."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The recognizer raised; the worker ends."""

    reason: str
    out_of_memory: bool = False


Message = Job | Go | Hello | Loaded | Warm | Begin | Answered | Whole | Done | Failed
_KINDS: dict[str, Any] = {kind.__name__: kind for kind in get_args(Message)}


def encode(message: Message) -> bytes:
    """A message → one line."""
    return json.dumps({"kind": type(message).__name__, **to_json(message)}).encode("ascii") + b"\n"


def decode(line: bytes) -> Message:
    """One line → the message. Raises ValueError when it is none."""
    values = json.loads(line)
    if not isinstance(values, dict) or values.get("kind") not in _KINDS:
        raise ValueError(f"not a message: {line[:80]!r}")
    kind = values.pop("kind")
    try:
        message: Message = from_json(_KINDS[kind], values)
    except TypeError as error:
        raise ValueError(f"not a {kind} message: {error}") from error
    return message
