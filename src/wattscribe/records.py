"""The facts that flow between rooms: frozen, keyword-only, SI units, None where a value is missing.

Everything here is plain data: `to_json` and `from_json` carry any record over a pipe or into the journal, so that a
Trial can later run on another machine without a change to recognizers or meters. Views and rules live elsewhere.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

Evidence = Literal["measured", "calibrated", "modelled", "simulated", "unavailable"]
"""How a figure came about; `simulated`: read as a measurement is, but of a board that is played (`testing.board`). Figures of
different evidence are never ranked together."""

TrialStatus = Literal["pending", "running", "done", "failed"]
Interval = tuple[float, float]


# --- speech ---------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """One piece of speech with its reference; `source` tells its corpus where the audio lies (a path, usually)."""

    id: str
    speaker: str
    reference: str
    source: str
    duration_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """An input that is excluded from the score, with the reason; counted, never dropped silently."""

    corpus: str
    id: str
    reason: str
    where: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What is done to clean speech before it is heard. All fields None: clean.

    `noise` is a folder of audio files, or `white` / `pink`; `snr_db` is over speech-active samples; `rir` is one impulse
    response file or a folder of them; `longform_s` joins utterances with pauses up to that length.
    """

    noise: str | None = None
    snr_db: float | None = None
    rir: str | None = None
    longform_s: float | None = None
    seed: int = 0

    @property
    def name(self) -> str:
        """A short label, unique within an experiment: `clean`, `rain@10dB`, `room:rir1`, `longform:600s`."""
        parts = []
        if self.longform_s is not None:
            parts.append(f"longform:{self.longform_s:g}s")
        if self.rir is not None:
            parts.append(f"room:{_stem(self.rir)}")
        if self.noise is not None:
            parts.append(f"{_stem(self.noise)}@{self.snr_db:g}dB")
        return "+".join(parts) or "clean"


def _stem(path: str) -> str:
    name = path.rstrip("/").rsplit("/", 1)[-1]
    return name.rsplit(".", 1)[0] if name.endswith((".wav", ".flac", ".ogg", ".mp3")) else name


# --- recognizers ----------------------------------------------------------------------------------------------------
MAX_THREADS = 1024
"""Above the cores of any machine; with 100,000 a runtime has no memory for their stacks and crashes."""
MAX_BATCH = 1 << 16
MAX_BEAM = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class RecognizerSpec:
    """Which model runs how: `runtime:model` at a precision on a device, with the runtime's own options."""

    runtime: str
    """One of those that ship, or one that another package registers (`recognizers.registry`)."""
    model: str
    precision: str = "fp32"
    device: str = "cpu"
    threads: int = 1
    batch_size: int = 1
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """`runtime:model`, as the user wrote it."""
        return f"{self.runtime}:{self.model}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecisionAudit:
    """What really ran, against what was asked for."""

    requested: str
    ok: bool
    reason: str | None
    weight_bytes: Mapping[str, int]
    """Bytes of weights by dtype, for instance {'int8': 2_540_000, 'float32': 930_000}."""
    operators: Mapping[str, int]
    """Executed operator types with their dtype → count, for instance {'MatMulInteger:int8': 120}. Empty: not visible."""
    device: str
    """The device that executed: `cpu`, `cuda:0`."""
    parameters: int | None = None
    note: str | None = None
    """What is to be known of the arithmetic although it is the one asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One emitted unit; `start_s` from the start of the stream, `log_probability` natural."""

    text: str
    start_s: float
    log_probability: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What a streaming transducer did for one utterance: the measure on which the energy model rests.

    `*_calls` are invocations of a component, `*_rows` the rows summed over its invocations (streams × frames × hypotheses).
    """

    encoder_calls: int = 0
    encoder_rows: int = 0
    predictor_calls: int = 0
    predictor_rows: int = 0
    joiner_calls: int = 0
    joiner_rows: int = 0
    frames: int = 0
    blanks: int = 0
    tokens: int = 0
    padded_frames: int = 0
    vocabulary_rows: int = 0
    """Rows of an encoder–decoder's vocabulary that were scored; its tokens are the predictor's."""

    def __add__(self, other: Counts) -> Counts:
        return Counts(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in dataclasses.fields(self)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """A recognizer's answer to one piece of audio."""

    text: str
    tokens: tuple[Token, ...] = ()
    counts: Counts | None = None
    language: str | None = None
    """In which a multilingual model heard the audio, stated or detected. None: it has no choice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamingLatency:
    """How a streaming recognizer kept up with one utterance fed in real time against a simulated clock."""

    first_partial_s: float | None
    """From the start of the audio to the first non-empty partial."""
    emission_delay_p50_s: float | None
    """Token emission against the token's own time stamp."""
    emission_delay_p99_s: float | None
    segment_compute_p50_s: float | None
    segment_compute_p99_s: float | None
    finalisation_s: float
    """From the last sample to the final text."""
    partials: int
    partials_revised: int
    """Partials whose text a later one did not keep as a prefix."""


# --- power ----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """An interval on the monotonic clock whose energy we want."""

    start_s: float
    end_s: float

    @property
    def duration_s(self) -> float:
        return self.end_s - self.start_s


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerTrace:
    """Raw samples of one rail: power against the monotonic clock, kept as they were read."""

    channel: str
    covers: str
    """In words: `module total`, `CPU package 0`, `GPU board`."""
    total: bool
    """True: may stand for the device. False: lies inside another rail or covers only a part; never added up."""
    update_interval_s: float
    """The sensor's own refresh, which bounds the windows it can answer for."""
    evidence: Evidence
    t_s: tuple[float, ...]
    power_w: tuple[float, ...]
    resolution_w: float | None = None
    """The sensor's own step, where it is known."""
    averaging_s: float | None = None
    """The span that one value averages over, ending at its update; 0: an instant value. None: unknown, no lag is corrected."""
    interval_means: bool = False
    """True: `power_w[i]` is the exact mean from `t_s[i-1]` to `t_s[i]`, as from a differentiated energy counter."""
    failed_t_s: tuple[float, ...] = ()
    """When reads failed: gaps, never zeros."""
    clock_error_s: float = 0.0
    """How far all times may be off together, where another clock's times were aligned to ours; one standard deviation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Joules over a window: gross, idle and net, with evidence. `energy_j` is None only when unavailable."""

    energy_j: float | None
    energy_ci95_j: Interval | None
    idle_j: float | None
    net_j: float | None
    evidence: Evidence
    covers: str
    samples: int
    window_s: float
    update_interval_s: float | None = None
    reason: str | None = None
    """Why it is unavailable or marked."""
    net_ci95_j: Interval | None = None
    """Interval of `net_j`: that of the energy and that of the idle baseline together."""


# --- runs -----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """recognizer × corpus × condition × repeat: a self-contained job."""

    id: str
    recognizer: RecognizerSpec
    corpus: str
    """The corpus as the user named it: a path, `bundled`, `hub:NAME`."""
    condition: Condition
    repeat: int = 0
    utterance_timeout_s: float = 120.0
    streaming_latency: bool = False
    limit: int | None = None
    """Only the first so many usable utterances of the corpus."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UtteranceResult:
    """One utterance of one trial: raw text and times; scores are derived later."""

    id: str
    speaker: str
    reference: str
    hypothesis: str | None
    """None: the recognizer gave no answer, see `error`."""
    audio_s: float
    start_s: float
    end_s: float
    """Both on the monotonic clock of the machine that ran the trial."""
    error: str | None = None
    counts: Counts | None = None
    latency: StreamingLatency | None = None
    cpu_s: float | None = None
    language: str | None = None
    """As in Transcript."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialFacts:
    """Everything recorded about one trial."""

    trial: Trial
    status: TrialStatus
    reason: str | None = None
    prepare_s: float | None = None
    """Making what the runtime keeps on disk for later starts; 0: it was there. None: it keeps nothing."""
    load_s: float | None = None
    warmup_s: float | None = None
    cpu_s: float | None = None
    """CPU seconds of the worker over the inference window."""
    peak_memory_bytes: int | None = None
    """Peak resident set of the isolated worker above its own empty baseline."""
    gpu_memory_bytes: int | None = None
    window: Window | None = None
    """From the first utterance's start to the last one's end, queue drained."""
    idle_before: Window | None = None
    idle_after: Window | None = None
    audit: PrecisionAudit | None = None
    workload: Mapping[str, Any] | None = None
    """`energy.workload.Workload.to_json()` of a transducer, for its modelled energy."""
    surroundings: Mapping[str, Any] | None = None
    """State around the trial: cool-down waited and reached, temperatures and clocks before and after, attempts, notes."""
    utterances: tuple[UtteranceResult, ...] = ()
    traces: tuple[PowerTrace, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What a corpus under a condition sounded like when it was prepared; a resumed run must hear the same."""

    corpus: str
    condition: str
    digest: str
    """SHA-256 over ids, references and samples in order."""
    utterances: int
    audio_s: float
    scaled_utterances: int | None = None
    """How many were scaled down as a whole, speech and noise alike, so that no sample clips. None: not recorded."""
    scale_min: float | None = None
    """The smallest of their factors; 1 where nothing was scaled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """Load pulses of known times, by which a recording with a clock of its own is put on this machine's monotonic clock."""

    id: int
    """Which stretch of the run made them; `surroundings["marks"]` of its trials."""
    boot_id: str | None
    """The monotonic clock starts anew with the machine."""
    groups: tuple[tuple[Window, ...], ...] = ()
    """The pulses before the first trial, then those after the last one (missing where the run was cut off)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachedRecording:
    """An external recording whose samples were put beside a run's trials, and how its clock was aligned."""

    name: str
    file: str
    sha256: str
    covers: str
    channels: tuple[str, ...]
    samples: int
    """Of the whole file; `skipped_lines` of it held no numbers."""
    skipped_lines: int
    spacing_s: float
    method: str
    offset_s: float
    rate: float
    """monotonic = offset_s + rate · recorded."""
    drift_ppm: float | None
    residual_s: float
    trials: int
    """Trials whose window it covers, of all that have one; only these got samples."""
    trials_outside: int
    gain_error: float | None = None
    """The meter's own, as a fraction, as whoever attached it stated; the same in all trials, so it is in no interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """A whole run as the journal holds it."""

    name: str
    created: str
    """ISO 8601, UTC."""
    seed: int
    machine: Mapping[str, Any]
    experiment: Mapping[str, Any]
    meters: Mapping[str, Any]
    """What could and what could not be measured, with reasons."""
    trials: tuple[TrialFacts, ...]
    rejected: tuple[Rejected, ...]
    heard: tuple[Heard, ...] = ()
    marks: tuple[Marks, ...] = ()
    recordings: tuple[AttachedRecording, ...] = ()


# --- records ↔ JSON -------------------------------------------------------------------------------------------------
T = TypeVar("T")


def to_json(record: Any) -> Any:
    """A record → plain dicts, lists and scalars."""
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        return {f.name: to_json(getattr(record, f.name)) for f in dataclasses.fields(record)}
    if isinstance(record, Mapping):
        return {str(key): to_json(value) for key, value in record.items()}
    if isinstance(record, (list, tuple)):
        return [to_json(value) for value in record]
    return record


def finite(value: Any) -> Any:
    """The same value with every float that is not finite replaced by None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


def json_text(value: Any, *, indent: int | None = None) -> str:
    """JSON as every reader takes it: what is not finite is null, since JSON has neither NaN nor infinities."""
    return json.dumps(finite(to_json(value)), indent=indent, ensure_ascii=False, allow_nan=False)


def from_json(kind: type[T], value: Any, *, strict: bool = False) -> T:
    """Plain data → the record `kind`; unknown keys are an error of the caller's version, so they raise TypeError.

    `strict`: text, numbers and choices must be what their fields say, too; otherwise the caller checks them.
    """
    return typing.cast(T, _restore(kind, value, strict))


_hints = functools.cache(typing.get_type_hints)
_SCALARS = {str: "a text", int: "a whole number", bool: "true or false", float: "a number"}


def _has_default(field_: dataclasses.Field[Any]) -> bool:
    return field_.default is not dataclasses.MISSING or field_.default_factory is not dataclasses.MISSING


def _restore(kind: Any, value: Any, strict: bool) -> Any:
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        options = [option for option in typing.get_args(kind) if option is not type(None)]
        return _restore(options[0], value, strict)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        if not isinstance(value, Mapping):
            raise TypeError(f"a table is wanted, not {_shown(value)}")
        hints = _hints(kind)
        if strange := [str(key) for key in value if key not in hints]:
            raise TypeError(f"there is no {strange[0]} among {', '.join(hints)}")
        required = (each.name for each in dataclasses.fields(kind) if each.init and not _has_default(each))
        if absent := [name for name in required if name not in value]:
            raise TypeError(f"{', '.join(absent)} is missing")
        return kind(**{key: _restore_field(key, hints.get(key, Any), item, strict) for key, item in value.items()})
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise TypeError(f"a list is wanted, not {_shown(value)}")
        items = typing.get_args(kind)
        if len(items) == 2 and items[1] is Ellipsis:
            return tuple(_restore(items[0], item, strict) for item in value)
        if len(value) != len(items):
            raise TypeError(f"a list of {len(items)} is wanted, not {_shown(value)}")
        return tuple(_restore(item_kind, item, strict) for item_kind, item in zip(items, value, strict=True))
    if kind is float and isinstance(value, int) and not (strict and isinstance(value, bool)):
        return _as_float(value)
    return _checked(kind, origin, value) if strict else value


def _checked(kind: Any, origin: Any, value: Any) -> Any:
    """A scalar, a choice or a table as it is. Raises TypeError where its kind is another."""
    if kind in _SCALARS and (not isinstance(value, kind) or (kind is int and isinstance(value, bool))):
        raise TypeError(f"{_SCALARS[kind]} is wanted, not {_shown(value)}")
    if origin is Literal and value not in typing.get_args(kind):
        raise TypeError(f"one of {', '.join(map(str, typing.get_args(kind)))} is wanted, not {_shown(value)}")
    if origin is Mapping:
        if not isinstance(value, Mapping):
            raise TypeError(f"a table is wanted, not {_shown(value)}")
        item_kind = typing.get_args(kind)[1]
        return {key: _restore_field(str(key), item_kind, item, True) for key, item in value.items()}
    return value


def _as_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError as error:
        raise TypeError("the number is out of range") from error


def _shown(value: Any) -> str:
    return repr(value)[:80]


def _restore_field(key: str, kind: Any, value: Any, strict: bool) -> Any:
    try:
        return _restore(kind, value, strict)
    except TypeError as error:
        raise TypeError(f"{key}: {error}") from error
