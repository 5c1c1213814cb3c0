"""Which files of a directory are which component, and how their free dimensions are bound."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from wattscribe.energy import counting
from wattscribe.energy.workload import FEATURE_FRAMES_PER_S, Component, Kind, Workload
from wattscribe.errors import ModelError
from wattscribe.onnxfile import Graph, Model, Value, read_model
from wattscribe.units import SAMPLE_RATE_HZ

Role = Literal["encoder", "decoder", "joiner"]
ROLES: tuple[Role, Role, Role] = ("encoder", "decoder", "joiner")
_ORDER = {"int8": ("int8", "fp32", "fp16"), "fp16": ("fp16", "fp32", "int8")}
_STORED = ("fp32", "fp16", "int8")
"""Which file to take where several precisions lie side by side: the same order as the streaming runtime's."""
_BATCH = ("n", "b", "batch", "batch_size", "n_audio", "bs")
DEFAULT_SEGMENT_S = 10.0
"""Audio per invocation of an encoder that takes any length, where nothing else is asked for."""


def find(directory: Path, role: Role, precision: str | None = None) -> tuple[Path | None, str | None]:
    """The file of one component (None: there is none), and a note where the precision asked for is not there.

    Without a precision, or with `fp32` or `stored`, float files are taken before quantised ones. Raises ModelError when
    several files of one precision could be the component.
    """
    found: dict[str, list[Path]] = {}
    for path in sorted(directory.glob(f"*{role}*.onnx")):
        found.setdefault(_precision_of(path), []).append(path)
    for name in _ORDER.get(precision or "", _STORED):
        if name not in found:
            continue
        if len(found[name]) > 1:
            listed = ", ".join(path.name for path in found[name])
            raise ModelError(f"several files could be the {role}: {listed}", where=directory, fix="Keep one of them")
        missing = precision not in (None, "stored", name)
        return found[name][0], f"there is no {precision} {role}: {found[name][0].name} is counted" if missing else None
    return None, None


def _precision_of(path: Path) -> str:
    return next((mark for mark in ("int8", "fp16") if f".{mark}" in path.name or f"-{mark}" in path.name), "fp32")


def workload_of(path: Path, *, precision: str | None = None, segment_s: float | None = None) -> Workload:
    """See `workload.of_directory`."""
    if path.is_file():
        return _single(path, segment_s)
    if not path.is_dir():
        raise ModelError("there is no such directory", where=path)
    found = [find(path, role, precision) for role in ROLES]
    encoder, decoder, joiner = (file for file, _ in found)
    if encoder is None or decoder is None:
        files = sorted(path.glob("*.onnx"))
        if len(files) == 1 or (files and encoder is None and decoder is None):
            wanted = _ORDER.get(precision or "", _STORED)
            return _single(min(files, key=lambda each: wanted.index(_precision_of(each))), segment_s)
        missing = "encoder" if encoder is None else "decoder"
        raise ModelError(
            f"there is no {missing}*.onnx", where=path, fix="An exported transducer has encoder, decoder and joiner"
        )
    notes = tuple(note for _, note in found if note)
    return of_files(path.name, encoder, decoder, joiner, segment_s=segment_s, notes=notes)


def of_files(
    name: str,
    encoder: Path,
    decoder: Path,
    joiner: Path | None,
    *,
    segment_s: float | None = None,
    notes: tuple[str, ...] = (),
) -> Workload:
    """Count named files: a transducer with a joiner, a Whisper-like encoder and decoder without."""
    model = read_model(encoder)
    segment_s, frames_in = _segment(model, segment_s)
    counted = counting.component(model, "encoder", dims=_dims(model, frames_in))
    predictor = read_model(decoder)
    parts = [counted, counting.component(predictor, _decoder_name(joiner), dims=_dims(predictor, None))]
    vocabulary = None
    if joiner is not None:
        joint = read_model(joiner)
        parts.append(counting.component(joint, "joiner", dims=_dims(joint, None)))
        vocabulary = _width(joint.graph)
    return Workload(
        name=name,
        kind="transducer" if joiner is not None else "encoder-decoder",
        components=tuple(parts),
        segment_s=segment_s,
        frames_per_segment=_frames(model, segment_s),
        vocabulary=vocabulary,
        notes=notes,
    )


def _decoder_name(joiner: Path | None) -> str:
    return "decoder" if joiner is None else "predictor"


def _single(path: Path, segment_s: float | None) -> Workload:
    """A CTC model: one file, one component, once per segment."""
    model = read_model(path)
    segment_s, frames_in = _segment(model, segment_s)
    encoder = counting.component(model, "encoder", dims=_dims(model, frames_in))
    kind: Kind = "ctc"
    return Workload(
        name=path.stem, kind=kind, components=(encoder,), segment_s=segment_s, vocabulary=_width(model.graph)
    )


def _segment(model: Model, segment_s: float | None) -> tuple[float, int | None]:
    """(audio seconds per encoder invocation, input length to bind or None where the graph fixes it)."""
    chunk = model.metadata.get("decode_chunk_len") or model.metadata.get("chunk_size")
    first = model.graph.inputs[0]
    length = _length(first)
    if chunk and chunk.isdigit():
        window = model.metadata.get("T", "")
        return int(chunk) / FEATURE_FRAMES_PER_S, int(window) if window.isdigit() else int(chunk)
    rate = _rate(first)
    if isinstance(length, int):
        return length / rate, None
    seconds = DEFAULT_SEGMENT_S if segment_s is None else segment_s
    return seconds, max(1, round(seconds * rate))


def _length(value: Value) -> int | str | None:
    """The time dimension of an encoder's first input: frames (N, T, F) or (N, F, T), or samples (N, T)."""
    shape = value.shape or ()
    if len(shape) == 3:
        last_is_time = not isinstance(shape[2], int) or (isinstance(shape[1], int) and shape[1] in (80, 128))
        return shape[2] if last_is_time and isinstance(shape[1], int) else shape[1]
    return shape[-1] if shape else None


def _rate(value: Value) -> int:
    return SAMPLE_RATE_HZ if len(value.shape or ()) == 2 else FEATURE_FRAMES_PER_S


def _dims(model: Model, frames_in: int | None) -> Mapping[str, int]:
    """Named dimensions → sizes: one stream, the segment's length, metadata by name; a cache's past is empty."""
    found: dict[str, int] = {}
    time = _length(model.graph.inputs[0]) if model.graph.inputs else None
    for value in model.graph.inputs:
        for dim in value.shape or ():
            name = str(dim)
            if isinstance(dim, int) or name in found:
                continue
            if dim == time and name.lower() not in _BATCH and frames_in is not None:
                found[name] = frames_in
            elif name.lower() in _BATCH:
                found[name] = 1
            elif model.metadata.get(name, "").isdigit():
                found[name] = int(model.metadata[name])
            else:
                found[name] = 1
    if frames_in is not None:
        found["*length"] = frames_in
    return found


def _width(graph: Graph) -> int | None:
    shape = graph.outputs[0].shape or ()
    last = shape[-1] if shape else None
    return last if isinstance(last, int) else None


def _frames(model: Model, segment_s: float) -> float | None:
    """Encoder output frames per invocation, where the graph declares them."""
    shape = model.graph.outputs[0].shape or ()
    if len(shape) == 3 and isinstance(shape[1], int):
        return float(shape[1])
    factor = model.metadata.get("subsampling_factor", "")
    return round(segment_s * FEATURE_FRAMES_PER_S) / int(factor) if factor.isdigit() and int(factor) else None


__all__ = ["Component", "find", "of_files", "workload_of"]
