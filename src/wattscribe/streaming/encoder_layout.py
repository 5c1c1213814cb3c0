"""What an encoder's graph and metadata say: audio, states, segment, and the axes in which the export wants them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wattscribe.errors import ModelError
from wattscribe.streaming import layout, nemo
from wattscribe.streaming.features import FrameSource, FrontEnd
from wattscribe.streaming.layout import Array, Port, StateSpec
from wattscribe.streaming.nemo import Nemo
from wattscribe.units import FRAME_SHIFT_S

_SHORTEST_TAIL_S = 0.8
"""What the published zipformers of 320 ms ask for (sherpa-onnx's examples pad as much)."""
_MOST_BANDS, _MOST_FRAMES = 1024, 1 << 16
"""Eleven minutes in one call."""
_EMISSION_DELAY_S = 0.35
"""How late after its sound a token may be emitted: what 0.8 s leave over a zipformer's segment of 45 frames."""


def tail_for(segment_frames: int) -> float:
    """Seconds of silence after an utterance with which the last sound lies in a complete segment of so many feature frames,
    wherever in a segment it falls, and its token has time to be emitted."""
    return max(_SHORTEST_TAIL_S, segment_frames * FRAME_SHIFT_S + _EMISSION_DELAY_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderLayout:
    """What the encoder's graph and metadata say."""

    audio: Port
    lengths: Port | None
    """An input for the number of feature frames in the segment, where the export has one."""
    clock: Port | None
    """An input for the number of feature frames before the segment, where the export has one (conformer)."""
    states: tuple[StateSpec, ...]
    output: str
    segment_frames: int
    """T: feature frames that one call takes."""
    shift_frames: int
    """decode_chunk_len: feature frames from one segment's start to the next one's."""
    feature_dim: int
    batchable: bool
    segments_per_call: int = 1
    """Segments of the model as it was trained that one call takes (`wattscribe compress` joins them)."""
    nemo: Nemo | None = None
    """NeMo's layout: features [N, mels, T] go in, frames [N, D, F] come out, the blank is the last token."""

    @property
    def front_end(self) -> FrontEnd:
        return "kaldi" if self.nemo is None else "nemo"

    def source(self) -> FrameSource:
        """Samples in, the features out that this encoder was trained on."""
        return FrameSource(self.feature_dim, self.front_end)

    def feeds(self, features: Array, before: Sequence[int], states: Sequence[Array]) -> dict[str, Array]:
        """What the graph is fed for features [rows, T, mels], `before` each of which so many feature frames came."""
        feeds: dict[str, Array] = {self.audio.name: self.turned(features)}
        for port, values in ((self.lengths, [features.shape[1]] * len(before)), (self.clock, before)):
            if port is not None:
                feeds[port.name] = np.array(values, dtype=port.dtype)
        feeds.update({spec.name: value for spec, value in zip(self.states, states, strict=True)})
        return feeds

    def turned(self, values: Array) -> Array:
        """Features [N, T, mels] as the graph takes them, or what it gives as frames [N, F, D]: NeMo has time last."""
        return values if self.nemo is None else np.ascontiguousarray(values.swapaxes(1, 2))

    @property
    def trained_segment_frames(self) -> int:
        """T of the model as it was trained."""
        return self.segment_frames - self.shift_frames + self.shift_frames // self.segments_per_call

    @property
    def tail_s(self) -> float:
        """Silence after an utterance (`tail_for`)."""
        return tail_for(self.trained_segment_frames)

    def segments_of(self, feature_frames: int) -> int:
        """Segments of the model as it was trained in an utterance of so many feature frames."""
        shift = self.shift_frames // self.segments_per_call
        return max(0, -(-(feature_frames - self.trained_segment_frames) // shift))

    def missing_frames(self, feature_frames: int) -> int:
        """Feature frames of silence after which the last call of several segments is complete."""
        calls = -(-self.segments_of(feature_frames) // self.segments_per_call)
        if self.segments_per_call == 1 or not calls:
            return 0
        return max(0, (calls - 1) * self.shift_frames + self.segment_frames + 1 - feature_frames)


def read_layout(net: Any, path: Path) -> EncoderLayout:
    """Find the audio, the states and the segment length. Raises ModelError that names what is missing or contradicts."""
    metadata: Mapping[str, str] = net.get_modelmeta().custom_metadata_map
    inputs, outputs = layout.ports(net.get_inputs(), path), layout.ports(net.get_outputs(), path)
    audio = next((p for p in inputs if len(p.shape) == 3 and p.dtype == "float32"), None)
    if audio is None:
        raise ModelError("no input takes features [batch, frames, mels]", where=path, fix="Export a streaming encoder")
    if nemo.is_cache_aware(p.name for p in inputs):
        return _read_nemo(inputs, outputs, metadata, path)
    rest = [p for p in inputs if p is not audio]
    names = {p.name for p in outputs}
    extra = {
        p.name: p for p in rest if p.dtype in ("int64", "int32") and len(p.shape) == 1 and f"new_{p.name}" not in names
    }
    lengths = extra.get("x_lens")
    clock = next((p for name, p in extra.items() if "processed" in name), None)
    if clock is not None and "conformer" not in metadata.get("model_type", "conformer"):
        raise ModelError(
            f"state input {clock.name!r} {list(clock.shape)} is fed by no output",
            where=path,
            fix=f"Export it with an output new_{clock.name} of the same shape",
        )
    states = [p for p in rest if p not in (lengths, clock)]
    if not states:
        raise ModelError(
            "the encoder carries no states: it is not a streaming export", where=path, fix="Use runtime sherpa:"
        )
    batch = audio.shape[0]
    specs = layout.match_states(
        states, [p for p in outputs[1:] if "lens" not in p.name or p.name.startswith("new_")],
        batch=batch, metadata=metadata, path=path,
    )  # fmt: skip
    segment, shift = _segment(audio, metadata, path)
    feature_dim = _bands(audio.shape[2], segment, path)
    if metadata.get("feature") == "whisper":
        raise ModelError("takes Whisper features, which this runtime does not compute", where=path, fix="Use sherpa:")
    return EncoderLayout(
        audio=audio,
        lengths=lengths,
        clock=clock,
        states=specs,
        output=outputs[0].name,
        segment_frames=segment,
        shift_frames=shift,
        feature_dim=feature_dim,
        batchable=isinstance(batch, str) and all(spec.batch_axis is not None for spec in specs),
        segments_per_call=_joined(metadata, shift, path),
    )


def _read_nemo(
    inputs: tuple[Port, ...], outputs: tuple[Port, ...], metadata: Mapping[str, str], path: Path
) -> EncoderLayout:
    """NeMo's cache-aware export. Raises ModelError."""
    states = nemo.encoder_states(inputs, outputs, metadata, path)
    audio, lengths = inputs[:2]
    bands = audio.shape[1] if isinstance(audio.shape[1], int) else layout.number(metadata, "feat_dim", path) or 80
    segment, shift = layout.required(metadata, "window_size", path), layout.required(metadata, "chunk_shift", path)
    bands = _bands(bands, segment, path)
    return EncoderLayout(
        audio=audio,
        lengths=lengths,
        clock=None,
        states=states,
        output=outputs[0].name,
        segment_frames=segment,
        shift_frames=_no_more_than(segment, shift, "chunk_shift", "window_size", path),
        feature_dim=bands,
        batchable=isinstance(audio.shape[0], str) and all(spec.batch_axis is not None for spec in states),
        nemo=nemo.read(metadata, path),
    )


def _bands(stated: int | str, segment: int, path: Path) -> int:
    """Values of a feature frame. Raises ModelError for features that no front end makes, or no memory holds."""
    bands = stated if isinstance(stated, int) else 80
    if not 1 <= bands <= _MOST_BANDS or not 1 <= segment <= _MOST_FRAMES:
        raise ModelError(
            f"takes {segment} frames of {bands} values, which are no speech features", where=path, fix="Export it again"
        )
    return bands


def _no_more_than(segment: int, shift: int, stated: str, limit: str, path: Path) -> int:
    """The shift. Raises ModelError where it is more than the segment."""
    if shift > segment:
        raise ModelError(f"metadata {stated}={shift} is more than {limit}={segment}", where=path, fix="Export it again")
    return shift


def _joined(metadata: Mapping[str, str], shift: int, path: Path) -> int:
    """`wattscribe_segments_per_call`, 1 where it is not stated. Raises ModelError where it does not divide the call."""
    segments = layout.number(metadata, "wattscribe_segments_per_call", path) or 1
    if segments < 1 or shift % segments:
        raise ModelError(
            f"{segments} segments do not make up {shift} frames", where=path, fix="Compress the model again"
        )
    return segments


def _segment(audio: Port, metadata: Mapping[str, str], path: Path) -> tuple[int, int]:
    """T and decode_chunk_len, checked against the graph's own size and against each other."""
    stated, fixed = layout.number(metadata, "T", path), audio.shape[1]
    if stated is None and isinstance(fixed, str):
        raise ModelError("metadata 'T' is missing", where=path, fix="Export it with sherpa-onnx's metadata (T=…)")
    if stated is not None and isinstance(fixed, int) and stated != fixed:
        raise ModelError(
            f"metadata says T={stated}, but its input {audio.name!r} takes {fixed} frames",
            where=path,
            fix="Export the model again: its metadata belong to another one",
        )
    segment = stated if stated is not None else int(fixed)
    shift = layout.required(metadata, "decode_chunk_len", path)
    return segment, _no_more_than(segment, shift, "decode_chunk_len", "T", path)
