"""Which model runs how, what really ran, and what it answered."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

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

    @property
    def is_served(self) -> bool:
        """Whether a server computes, so that what is seen of this process is its client's share alone."""
        return self.runtime in ("http", "https")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderShare:
    """How much of a model one execution provider of onnxruntime ran, from 0 to 1; `time` None: not seen."""

    provider: str
    nodes: float
    time: float | None = None


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
    executed_on: tuple[ProviderShare, ...] = ()
    """By execution provider, most first. Empty: not visible, or there is none but the CPU's."""


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
    gate_calls: int = 0
    """Windows of 32 ms that an encoder–decoder's voice gate judged."""
    skipped_frames: int = 0
    """Encoder frames of audio that the gate kept from the encoder."""
    draft_windows: int = 0
    """Windows that the model of an encoder–decoder's drafts heard."""
    draft_frames: int = 0
    """Encoder frames of these."""
    draft_calls: int = 0
    """Runs of its decoder."""
    draft_rows: int = 0
    """Tokens that its decoder was fed."""
    drafted: int = 0
    """Tokens that it offered."""
    agreed: int = 0
    """Of these, those that were chosen."""

    def __add__(self, other: Counts) -> Counts:
        return Counts(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in dataclasses.fields(self)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """A recognizer's answer to one piece of audio."""

    text: str
    tokens: tuple[Token, ...] = ()
    counts: Counts | None = None
    language: str | None = None
    """In which a multilingual model transcribed the audio, stated or detected. None: it has no choice."""


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
