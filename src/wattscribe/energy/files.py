"""The workload that the graphs of a model make up: each part counted, and how often it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from wattscribe.energy import binding, counting, moonshine, optimum, ort_format
from wattscribe.energy.binding import Segment
from wattscribe.energy.execute import LENGTH
from wattscribe.energy.last_product import last_product
from wattscribe.energy.workload import Component, Workload
from wattscribe.errors import InputError, ModelError
from wattscribe.graph.index import spliced
from wattscribe.graph.model import Graph, Model, Value
from wattscribe.graph.read import read_model
from wattscribe.models.directory import CROSS, FIRST_DECODER, LOGITS, MOONSHINE, SCORES, find_model
from wattscribe.models.names import MODEL
from wattscribe.text_files import whole
from wattscribe.units import FRAMES_PER_S

_FOREIGN = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
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
            ("`inputs`", self.values, {value.name for value in inputs}),
            ("`dims`", self.dims, free),
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


def of_directory(
    directory: Path | str,
    *,
    precision: str | None = None,
    segment_s: float | None = None,
    calls_per_s: float | None = None,
    values: Mapping[str, float] | None = None,
    dims: Mapping[str, int] | None = None,
) -> Workload:
    """Count an exported model: encoder*.onnx, decoder*.onnx and joiner*.onnx (transducer), encoder and decoder
    (Whisper-like), or one .onnx file (CTC). `segment_s` sets the length of an encoder that takes any, `calls_per_s` how often it
    runs where its own metadata do not say it; `values` fill inputs, `dims` size free dimensions.

    Raises ModelError when a file is missing or cannot be executed, InputError for a precision that no file has.
    """
    path, given = Path(directory), Given(values=values or {}, dims=dims or {})
    try:
        return _workload_of(path, precision, Asked(segment_s=segment_s, calls_per_s=calls_per_s, given=given))
    except _FOREIGN as error:  # graphs are programs of others: attributes and shapes may be anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ModelError(
            f"its graph cannot be counted ({reason})", where=path, fix="Check it with onnx.checker, or export it again"
        ) from error


def _workload_of(path: Path, precision: str | None, ask: Asked) -> Workload:
    files = None if path.is_file() else find_model(path, precision)
    parts = {MODEL: path} if files is None else files.parts
    with ort_format.as_onnx(parts) as graphs:
        if files is None or files.layout == "single":
            workload = _single(graphs[MODEL], ask)
        elif files.layout == "moonshine":
            workload = _of_moonshine(path.name, tuple(graphs[part] for part in MOONSHINE), ask)
        else:
            first = graphs.get(FIRST_DECODER)
            workload = of_files(path.name, graphs["encoder"], graphs["decoder"], graphs.get("joiner"), first, ask=ask)
    notes = (*(files.notes if files else ()), *workload.notes)
    return replace(workload, notes=notes if graphs is parts else (*notes, ort_format.NOTE))


def of_files(
    name: str,
    encoder: Path,
    decoder: Path,
    joiner: Path | None,
    first_decoder: Path | None = None,
    *,
    segment_s: float | None = None,
    ask: Asked | None = None,
) -> Workload:
    """Count these files: a transducer with a joiner, a Whisper-like encoder and decoder without."""
    ask = ask or Asked(segment_s=segment_s)
    networks = [read_model(path) for path in (encoder, decoder, joiner) if path is not None]
    ask.given.check(networks)
    if joiner is None and [output.name for output in networks[0].graph.outputs] == list(CROSS):
        return _of_whisper(name, networks[0], networks[1], ask)
    segment, first, frames = _encoder(networks[0], ask)
    assumed = (
        segment.note if joiner is not None else None
    )  # a window of 30 s is what a Whisper-like encoder is made for
    parts: list[Component] = [first]
    notes: tuple[str, ...] = ()
    if joiner is not None:
        for network, role in zip(networks[1:], ("predictor", "joiner"), strict=True):
            parts.append(_counted(network, role, binding.free_sizes(network, None, given=ask.given.dims), ask))
        notes += (f"the encoder {assumed}",) if assumed else ()
    else:
        parts += _decoder(networks, first_decoder, segment, round(frames or 1), ask)
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
        windows=joiner is None and segment.length is None,
        frames_per_segment=frames,
        vocabulary=_width(networks[-1].graph),
        notes=notes,
    )


def _of_whisper(name: str, encoder: Model, decoder: Model, ask: Asked) -> Workload:
    """Encoder, keys and values of cross-attention (once per window), decoder layers and vocabulary (once per token)."""
    segment, encoded, frames = whisper_encoder(encoder, ask)
    decoded = whisper_decoder(decoder, frames, places=int(encoder.metadata.get("n_text_ctx", "0")), ask=ask)
    return Workload(
        name=name,
        kind="encoder-decoder",
        components=(*encoded, *decoded),
        segment_s=segment.hop_s,
        windows=True,
        frames_per_segment=float(frames),
        vocabulary=_width(decoder.graph),
        notes=(f"a token of the decoder looks back at {frames} encoder frames and {PAST_TOKENS} tokens",),
    )


def whisper_encoder(encoder: Model, ask: Asked) -> tuple[Segment, tuple[Component, Component], int]:
    """How often the encoder runs, the encoder and the keys and values of cross-attention, and the frames of a call."""
    window_s = 2 * int(encoder.metadata.get("n_audio_ctx", "1500")) / FRAMES_PER_S
    segment = binding.segment_of(encoder, length_s=ask.segment_s or window_s, calls_per_s=ask.calls_per_s)
    length = segment.length if segment.length is not None else _fixed_length(encoder)
    sizes = {**binding.free_sizes(encoder, segment.length, given=ask.given.dims), LENGTH: length}
    components, shapes = counting.parted(
        encoder, ("encoder", "cross_attention"), last_product(encoder.graph, CROSS),
        dims=sizes, inputs=ask.given.values_of(encoder),
    )  # fmt: skip
    return segment, components, shapes[CROSS[0]][2]


def whisper_decoder(decoder: Model, frames: int, *, places: int, ask: Asked) -> tuple[Component, Component]:
    """The decoder's layers and its vocabulary, a token at a time, behind so many encoder frames; `places` of its caches.

    As this runtime opens it: without the step that tells others what is never said.
    """
    decoder = replace(decoder, graph=replace(decoder.graph, nodes=spliced(decoder.graph, LOGITS, SCORES)))
    sizes = binding.free_sizes(decoder, None, encoder_frames=frames, past_tokens=PAST_TOKENS, given=ask.given.dims)
    components, _ = counting.parted(
        decoder, ("decoder", "vocabulary"), last_product(decoder.graph, [LOGITS]),
        dims=sizes, inputs={"offset": PAST_TOKENS, **ask.given.values_of(decoder)},
    )  # fmt: skip
    if places and _in_place(decoder.graph):  # the rows of past tokens, not the whole cache
        return replace(components[0], state_bytes=components[0].state_bytes * (PAST_TOKENS + 1) // places), components[
            1
        ]
    return components


def _in_place(graph: Graph) -> bool:
    """Whether new keys and values are written into the caches by operators that may leave the rest where it is."""
    makers = {output: node for node in graph.nodes for output in node.outputs}
    last = [makers.get(f"out_n_layer_self_{which}_cache") for which in "kv"]
    return all(node is not None and node.op_type == "ScatterND" for node in last)


def _of_moonshine(name: str, files: tuple[Path, ...], ask: Asked) -> Workload:
    """Moonshine in sherpa-onnx's layout: what processes the audio once per call, and the two decoders."""
    first, second, once, later = (read_model(path) for path in files)
    segment, front, features = _encoder(first, ask)
    encoder, frames = moonshine.encoder(second, round(features or 1))
    decoders = moonshine.decoders(once, later, frames, PAST_TOKENS)
    notes = (f"the model {segment.note}",) if segment.note else ()
    return Workload(
        name=name,
        kind="encoder-decoder",
        components=(replace(front, name="preprocessor"), encoder, *decoders),
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
        return segment, component, segment.hop_s * FRAMES_PER_S / divisor
    output = model.graph.outputs[0]
    shape = shapes.get(output.name)
    return segment, component, None if shape is None else _frames(output, shape)


def _decoder(
    networks: Sequence[Model], first_decoder: Path | None, segment: Segment, frames: int, ask: Asked
) -> list[Component]:
    """The decoder of an encoder–decoder: in parts where its caches tell them, else as one."""
    encoder, decoder = networks
    first = None if first_decoder is None else read_model(first_decoder)

    def sizes(model: Model) -> dict[str, int]:
        free = binding.free_sizes(model, None, encoder_frames=frames, past_tokens=PAST_TOKENS, given=ask.given.dims)
        return free | _masks(encoder, model, segment)

    components = optimum.parts(decoder, first, sizes(decoder), sizes(first or decoder), ask.given.values)
    if components is not None:
        return list(components)
    return [_counted(decoder, "decoder", sizes(decoder), ask, offset=PAST_TOKENS)]


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


__all__ = ["Asked", "Component", "Given", "of_files", "of_directory", "whisper_encoder", "whisper_decoder"]
