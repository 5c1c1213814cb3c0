"""What a user asks of a profile: the one list of options that `wattscribe.profile` and the command line share.

It imports nothing heavy, since the door (`verbs`) reads its fields before anything is profiled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from wattscribe.energy.accuracy import AccuracyLaw

Decoding = Literal["batched", "frame-by-frame"]
Unit = Literal["component", "tensor"]
Activations = Literal["fused", "unfused"]

DEFAULT_TOKENS_PER_S = 4.8
"""Of the LibriSpeech chapter 3752-4944 decoded by a 500-piece model (docs/energy-model.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Each field is an option of the verb and is described as it is shown to the user."""

    precision: str | None = None
    """fp32, fp16 or int8: which of the model's files, or which dtype of an arch: preset."""
    vocab: int | None = None
    """Tokens of an arch: preset."""
    chunk_ms: float | None = None
    """Length of a segment, for models that do not fix it; the hop of a graph with a fixed input."""
    calls_per_s: float | None = None
    """Calls of the encoder (or the only graph) per second of audio, where the model does not say it."""
    inputs: Mapping[str, float] | None = None
    """NAME=VALUE: fill an input with a value, as in sr=16000; may be repeated."""
    dims: Mapping[str, int] | None = None
    """NAME=SIZE: size of a free dimension; may be repeated."""
    decoding: Decoding = "batched"
    """batched: one joiner call per segment and one per token; frame-by-frame: one per frame."""
    beam: int = 1
    """Live hypotheses; 1 is greedy."""
    draft: str | None = None
    """Directory of a cheaper model, whose drafts an exported encoder–decoder verifies while it decodes `data`."""
    draft_tokens: int | None = None
    """Tokens of a draft at most; 4 if not stated."""
    data: str | None = None
    """Decode this speech and count what really ran; without it the rates are stated by the options below."""
    limit: int | None = None
    """Decode at most this many utterances of it."""
    observe: bool = False
    """Also simulate the runtime's calls on `data` with a cache of the local memory's size: what crosses it (needs valgrind)."""
    counters: Path | None = None
    """Output of `perf stat -x,` or `perf stat -j` of a process that decoded `data`: shown beside what the model says."""
    frames_per_s: float | None = None
    """Encoder output frames per second of audio, where rates are stated."""
    tokens_per_s: float = DEFAULT_TOKENS_PER_S
    """Emitted tokens per second of audio, where rates are stated."""
    words_per_s: float | None = None
    """Words per second of audio, for the energy per word."""
    device: Path | str = "phone"
    """A shipped profile (wattscribe devices) or a TOML file of your own."""
    local_memory_bytes: int | None = None
    """Another size of local memory: 4MB, 512KiB, 0."""
    placement: Unit = "component"
    """Weights go to local memory by whole component or by tensor."""
    activations: Activations = "fused"
    """fused: element-wise operators cost nothing of their own; unfused: every operator reads and writes memory."""
    battery_wh: float | None = None
    """Also report how long a battery of this many watt-hours lasts."""
    laws: Mapping[str, AccuracyLaw] | None = None
    """JSON {component: [[size_bytes, wer], …]}, four or more sizes each: the order then weighs power against accuracy."""
    seed: int = 0
    """Of the draws behind the intervals."""
