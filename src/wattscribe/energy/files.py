"""Which files of a directory are which component, and the workload that they make up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from wattscribe.energy import binding, counting, moonshine
from wattscribe.energy.binding import Segment
from wattscribe.energy.execute import LENGTH
from wattscribe.energy.last_product import last_product
from wattscribe.energy.workload import FEATURE_FRAMES_PER_S, Component, Workload
from wattscribe.errors import InputError, ModelError
from wattscribe.onnxfile import Graph, Model, Value, read_model
from wattscribe.text_files import whole

_FOREIGN = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
Role = Literal["encoder", "decoder", "joiner"]
ROLES: tuple[Role, Role, Role] = ("encoder", "decoder", "joiner")
_ORDER = {"int8": ("int8", "fp32", "fp16"), "fp16": ("fp16", "fp32", "int8")}
_STORED = ("fp32", "fp16", "int8")
"""Which file to take where several precisions lie side by side: the same order as the streaming runtime's."""
PAST_TOKENS = 12
"""Tokens in a decoder's own cache when it is counted: half of what an utterance of 5 s has at 4.8 tokens/s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What the user says of a graph's inputs: values to fill them with, sizes of free dimensions."""

    values: Mapping[str, float] = field(default_factory=dict)
    dims: Mapping[str, int] = field(default_factory=dict)

    def check(self, models: Sequence[Model]) -> None:
        """Raises InputError for a name that no graph has: it would change nothing in silence."""
        inputs = [value for model in models for value in model.graph.inputs]
        free = {
            binding.dimension(value, axis)
            for value in inputs
            for axis, size in enumerate(value.shape or ())
            if not isinstance(size, int)
        }
        for option, names, known in (
            ("--input", self.values, {value.name for value in inputs}),
            ("--dim", self.dims, free),
        ):
            for name in names:
                if name not in known:
                    listed = ", ".join(sorted(known)) or "none"
                    raise InputError(
                        f"{option} {name}: there is none of that name", where=models[0].path, fix=f"One of: {listed}"
                    )

    def values_of(self, model: Model) -> dict[str, float]:
        """Those of the graph's own inputs."""
        return {value.name: self.values[value.name] for value in model.graph.inputs if value.name in self.values}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """How much audio a call takes and how often it comes, where the user says it."""

    segment_s: float | None = None
    calls_per_s: float | None = None
    given: Given = field(default_factory=Given)


def find(directory: Path, role: Role, precision: str | None = None) -> tuple[Path | None, str | None]:
    """The file of one component (None: there is none), and a note where the precision asked for is not there.

    Without a precision, or with `fp32` or `stored`, float files are taken before quantised ones. Raises ModelError when
    several files of one precision could be the component.
    """
    found: dict[str, list[Path]] = {}
    for path in sorted(directory.glob(f"*{role}*.onnx")):
        found.setdefault(_precision_of(path), []).append(path)
    found = {precision: _with_cache(files) for precision, files in found.items()}
    for name in _ORDER.get(precision or "", _STORED):
        if name not in found:
            continue
        if len(found[name]) > 1:
            listed = ", ".join(path.name for path in found[name])
            raise ModelError(f"several files could be the {role}: {listed}", where=directory, fix="Keep one of them")
        missing = precision not in (None, "stored", name)
        return found[name][0], f"there is no {precision} {role}: {found[name][0].name} is counted" if missing else None
    return None, None


def _with_cache(files: list[Path]) -> list[Path]:
    """Of optimum's decoders, the one that runs for every token: with a cache, else the merged one."""
    for mark in ("with_past", "merged"):
        marked = [path for path in files if mark in path.name]
        if marked:
            return marked
    return files


def _precision_of(path: Path) -> str:
    return next((mark for mark in ("int8", "fp16") if f".{mark}" in path.name or f"-{mark}" in path.name), "fp32")


def workload_of(
    path: Path,
    *,
    precision: str | None = None,
    segment_s: float | None = None,
    calls_per_s: float | None = None,
    given: Given | None = None,
) -> Workload:
    """See `workload.of_directory`."""
    ask = Asked(segment_s=segment_s, calls_per_s=calls_per_s, given=given or Given())
    try:
        return _workload_of(path, precision, ask)
    except _FOREIGN as error:  # graphs are programs of others: attributes and shapes may be anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ModelError(
            f"its graph cannot be counted ({reason})", where=path, fix="Check it with onnx.checker, or export it again"
        ) from error


def _workload_of(path: Path, precision: str | None, ask: Asked) -> Workload:
    if path.is_file():
        return _single(path, ask)
    if not path.is_dir():
        raise ModelError("there is no such directory", where=path)
    four = moonshine.parts_of(path)
    if four is not None:
        return _of_moonshine(path.name, four, ask)
    found = [find(path, role, precision) for role in ROLES]
    encoder, decoder, joiner = (file for file, _ in found)
    if encoder is None or decoder is None:
        files = sorted(path.glob("*.onnx"))
        if len(files) == 1 or (files and encoder is None and decoder is None):
            wanted = _ORDER.get(precision or "", _STORED)
            return _single(min(files, key=lambda each: wanted.index(_precision_of(each))), ask)
        missing = "encoder" if encoder is None else "decoder"
        raise ModelError(
            f"there is no {missing}*.onnx", where=path, fix="An exported transducer has encoder, decoder and joiner"
        )
    notes = tuple(note for _, note in found if note)
    return of_files(path.name, encoder, decoder, joiner, ask=ask, notes=notes)


def of_files(
    name: str,
    encoder: Path,
    decoder: Path,
    joiner: Path | None,
    *,
    segment_s: float | None = None,
    ask: Asked | None = None,
    notes: tuple[str, ...] = (),
) -> Workload:
    """Count named files: a transducer with a joiner, a Whisper-like encoder and decoder without."""
    ask = ask or Asked(segment_s=segment_s)
    networks = [read_model(path) for path in (encoder, decoder, joiner) if path is not None]
    ask.given.check(networks)
    if joiner is None and [each.name for each in networks[0].graph.outputs] == list(_CROSS):
        return _of_whisper(name, networks[0], networks[1], ask, notes)
    segment, first, frames = _encoder(networks[0], ask)
    assumed = (
        segment.note if joiner is not None else None
    )  # a window of 30 s is what a Whisper-like encoder is made for
    parts = [first]
    if joiner is not None:
        for network, role in zip(networks[1:], ("predictor", "joiner"), strict=True):
            parts.append(_counted(network, role, binding.free_sizes(network, None, given=ask.given.dims), ask))
        notes += (f"the encoder {assumed}",) if assumed else ()
    else:
        sizes = binding.free_sizes(
            networks[1], None, heard_frames=round(frames or 1), past_tokens=PAST_TOKENS, given=ask.given.dims
        )
        sizes |= _masks(networks[0], networks[1], segment)
        parts.append(_counted(networks[1], "decoder", sizes, ask, offset=PAST_TOKENS))
        notes += (
            (f"a token of the decoder looks back at {frames:g} encoder frames and {PAST_TOKENS} tokens",)
            if frames
            else ()
        )
    return Workload(
        name=name,
        kind="transducer" if joiner is not None else "encoder-decoder",
        components=tuple(parts),
        segment_s=segment.hop_s,
        frames_per_segment=frames,
        vocabulary=_width(networks[-1].graph),
        notes=notes,
    )


_CROSS = ("n_layer_cross_k", "n_layer_cross_v")
"""Outputs of a Whisper's encoder in sherpa-onnx's layout."""


def _of_whisper(name: str, encoder: Model, decoder: Model, ask: Asked, notes: tuple[str, ...]) -> Workload:
    """Encoder, keys and values of cross-attention (once per window), decoder layers and vocabulary (once per token)."""
    window_s = 2 * int(encoder.metadata.get("n_audio_ctx", "1500")) / FEATURE_FRAMES_PER_S
    segment = binding.segment_of(encoder, length_s=ask.segment_s or window_s, calls_per_s=ask.calls_per_s)
    length = segment.length if segment.length is not None else _fixed_length(encoder)
    sizes = {**binding.free_sizes(encoder, segment.length, given=ask.given.dims), LENGTH: length}
    heard, shapes = counting.parted(
        encoder, ("encoder", "cross_attention"), last_product(encoder.graph, _CROSS),
        dims=sizes, inputs=ask.given.values_of(encoder),
    )  # fmt: skip
    frames = shapes[_CROSS[0]][2]
    sizes = binding.free_sizes(decoder, None, heard_frames=frames, past_tokens=PAST_TOKENS, given=ask.given.dims)
    said, _ = counting.parted(
        decoder, ("decoder", "vocabulary"), last_product(decoder.graph, ["logits"]),
        dims=sizes, inputs={"offset": PAST_TOKENS, **ask.given.values_of(decoder)},
    )  # fmt: skip
    places = int(encoder.metadata.get("n_text_ctx", "0"))
    if places and _in_place(decoder.graph):  # the rows of past tokens, not the whole cache
        said = replace(said[0], state_bytes=said[0].state_bytes * (PAST_TOKENS + 1) // places), said[1]
    return Workload(
        name=name,
        kind="encoder-decoder",
        components=(*heard, *said),
        segment_s=segment.hop_s,
        frames_per_segment=float(frames),
        vocabulary=_width(decoder.graph),
        notes=(*notes, f"a token of the decoder looks back at {frames} encoder frames and {PAST_TOKENS} tokens"),
    )


def _in_place(graph: Graph) -> bool:
    """Whether new keys and values are written into the caches by operators that may leave the rest where it is."""
    makers = {output: node for node in graph.nodes for output in node.outputs}
    last = [makers.get(f"out_n_layer_self_{which}_cache") for which in "kv"]
    return all(node is not None and node.op_type == "ScatterND" for node in last)


def _of_moonshine(name: str, files: tuple[Path, ...], ask: Asked) -> Workload:
    """Moonshine in sherpa-onnx's layout: what hears the audio once per call, and the two decoders."""
    first, second, once, later = (read_model(path) for path in files)
    segment, front, features = _encoder(first, ask)
    heard, frames = moonshine.encoder(second, round(features or 1))
    before, after = moonshine.decoders(once, later, frames, PAST_TOKENS)
    notes = (f"the model {segment.note}",) if segment.note else ()
    return Workload(
        name=name,
        kind="encoder-decoder",
        components=(replace(front, name="preprocessor"), heard, before, after),
        segment_s=segment.hop_s,
        frames_per_segment=float(frames),
        vocabulary=_width(later.graph),
        notes=(*notes, f"a token of the decoder looks back at {frames} encoder frames and {PAST_TOKENS} tokens"),
    )


def _single(path: Path, ask: Asked) -> Workload:
    """A CTC model, a voice gate, an enhancer: one file, one component, once per segment."""
    model = read_model(path)
    ask.given.check([model])
    segment, encoder, _ = _encoder(model, ask)
    return Workload(
        name=path.stem,
        kind="ctc",
        components=(encoder,),
        segment_s=segment.hop_s,
        vocabulary=_width(model.graph),
        notes=(f"the model {segment.note}",) if segment.note else (),
    )


def _encoder(model: Model, ask: Asked) -> tuple[Segment, Component, float | None]:
    """How often an encoder runs, one run of it counted, and the frames that it emits per run."""
    segment = binding.segment_of(model, length_s=ask.segment_s, calls_per_s=ask.calls_per_s)
    sizes = binding.free_sizes(model, segment.length, given=ask.given.dims)
    length = segment.length if segment.length is not None else _fixed_length(model)
    component, shapes = counting.counted(
        model, "encoder", dims={**sizes, LENGTH: length}, inputs=ask.given.values_of(model)
    )
    factor = model.metadata.get("subsampling_factor", "")
    if divisor := whole(factor):
        return segment, component, segment.hop_s * FEATURE_FRAMES_PER_S / divisor
    output = model.graph.outputs[0]
    shape = shapes.get(output.name)
    return segment, component, None if shape is None else _frames(output, shape)


def _masks(encoder: Model, decoder: Model, segment: Segment) -> dict[str, int]:
    """Moonshine's decoder wants the mask of the samples, whose length its graph calls by the name of the frames' number."""
    first = encoder.graph.inputs[0]
    if len(first.shape or ()) != 2 or segment.length is None:
        return {}
    masks = (value for value in decoder.graph.inputs if value.name == "encoder_attention_mask")
    return {binding.own_dimension(value, 1): segment.length for value in masks if len(value.shape or ()) == 2}


def _counted(model: Model, name: str, sizes: Mapping[str, int], ask: Asked, offset: int | None = None) -> Component:
    inputs = ask.given.values_of(model)
    if offset is not None and any(value.name == "offset" for value in model.graph.inputs):
        inputs = {"offset": offset, **inputs}
    return counting.counted(model, name, dims=sizes, inputs=inputs)[0]


def _fixed_length(model: Model) -> int:
    first = model.graph.inputs[0]
    axis = binding.time_axis(first)
    size = None if axis is None else (first.shape or ())[axis]
    return size if isinstance(size, int) else 0


def _frames(output: Value, shape: tuple[int, ...]) -> float | None:
    """Encoder output frames of one run: (N, T, D), NeMo's (N, D, T), Whisper's keys (layers, N, T, D)."""
    declared = output.shape or ()
    if len(shape) == 4:
        return float(shape[2])
    if len(shape) != 3:
        return None
    transposed = len(declared) == 3 and isinstance(declared[1], int) and not isinstance(declared[2], int)
    return float(shape[2 if transposed else 1])


def _width(graph: Graph) -> int | None:
    shape = graph.outputs[0].shape or ()
    last = shape[-1] if shape else None
    return last if isinstance(last, int) else None


__all__ = ["Component", "Given", "find", "of_files", "workload_of"]
