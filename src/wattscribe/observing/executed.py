"""A network as onnxruntime executes it: its optimised graph, one node after the other, every value at its place in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wattscribe.energy.execute import Executed, execute_on
from wattscribe.graph.model import Model, Node
from wattscribe.graph.names import by_name
from wattscribe.graph.read import read_model
from wattscribe.observing.addresses import ALIGNED_BYTES, Typed, block, buffers, size_of
from wattscribe.observing.kernels import Span, Step, packed_bytes, slice_parts

if TYPE_CHECKING:
    from wattscribe.observing.recorded import Call
    from wattscribe.streaming import Transducer

_REGION = 40
KINDS = ("weights", "states", "activations", "runtime")
"""Regions of the address space: 2^40 bytes each."""


class Places:
    """Room in the address space, taken once and never given back, by what it is for."""

    def __init__(self) -> None:
        self._next = {kind: place << _REGION for place, kind in enumerate(KINDS)}

    def take(self, kind: str, size: int) -> Span:
        """So many bytes, on lines of their own."""
        start = self._next[kind]
        self._next[kind] += -(-size // ALIGNED_BYTES) * ALIGNED_BYTES
        return start, size


def kind_of(address: int) -> str:
    return KINDS[address >> _REGION]


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """One component at one number of rows. `spans`: where weights and inner values lie."""

    steps: tuple[Step, ...]
    typed: Mapping[str, Typed]
    spans: Mapping[str, Span]
    homes: Mapping[str, str]
    """Value → the value whose buffer it lies in."""
    scratch: int
    """Where its kernels have room of their own."""
    weights: frozenset[str]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class Networks:
    """The components of an open transducer as they are executed; each graph is written to `folder` once."""

    def __init__(self, transducer: Transducer, folder: Path, places: Places) -> None:
        self._transducer, self._folder, self._places = transducer, folder, places
        self._models: dict[str, Model] = {}
        self._weights: dict[str, dict[str, Span]] = {}
        self._made: dict[tuple[str, int], Network] = {}

    def of(self, call: Call) -> Network:
        """The network that a recorded call runs. Raises ModelError where it cannot be executed once more."""
        key = call.component, call.rows
        if key not in self._made:
            self._made[key] = self._network(call)
        return self._made[key]

    def _network(self, call: Call) -> Network:
        name = call.component
        if name not in self._models:
            self._models[name] = self._model(name)
        model = self._models[name]
        feeds = self._feeds(call)
        executed = execute_on(model, feeds, by_priority=True)
        steps, typed = _steps(model, feeds, executed)
        if name not in self._weights:  # the same at any number of rows
            self._weights[name] = _weights(model, steps, typed, self._places)
        return _laid_out(model, steps, typed, self._weights[name], self._places)

    def _model(self, name: str) -> Model:
        """As the streaming runtime opens it for one stream; as it was exported, where it must not be optimised."""
        from wattscribe.streaming.opening import open_encoder, open_rows

        transducer, saved = self._transducer, self._folder / f"{name}.onnx"
        path: Path = getattr(transducer.files, name)
        if name == "encoder":
            open_encoder(path, threads=1, rewriting=True, saved=saved)
        else:
            alone = name == "predictor" or transducer.joint_scale or transducer.decoding.frame_by_frame
            open_rows(path, threads=1, many=not alone, saved=saved)
        return read_model(saved if saved.is_file() else path)

    def _feeds(self, call: Call) -> dict[str, Any]:
        if call.component != "encoder":
            return dict(call.feeds)
        encoder = self._transducer.encoder
        return dict(encoder.layout.feeds(call.feeds["features"], [call.before], encoder.initial_states()))


def _steps(model: Model, feeds: Mapping[str, Any], executed: list[Executed]) -> tuple[list[Step], dict[str, Typed]]:
    """Each execution of a node, with names; and type and shape of every value."""
    typed: dict[str, Typed] = {name: (str(value.dtype), value.shape) for name, value in feeds.items()}
    typed.update((tensor.name, (tensor.dtype, tensor.shape)) for tensor in model.graph.initializers.values())
    nodes, steps = by_name(model), list[Step]()
    for event in executed:
        node = nodes.get(event.node)
        if node is None:  # of a function of the model: not told apart by name
            continue
        for names, values in ((node.inputs, event.inputs), (node.outputs, event.outputs)):
            given = [name for name in names if name]
            if len(given) == len(values):
                typed.update(zip(given, values, strict=True))
        if all(name in typed for name in (*node.inputs, *node.outputs) if name):
            steps.append(_step(model, node, typed))
    return steps, typed


def _step(model: Model, node: Node, typed: Mapping[str, Typed]) -> Step:
    parts = None
    if node.op_type == "Slice" and len(node.inputs) > 3:
        known = model.graph.initializers
        bounds = [known[name].array().ravel().tolist() if name in known else None for name in node.inputs[1:]]
        parts = slice_parts(typed[node.inputs[0]], typed[node.outputs[0]], bounds)
    return Step(
        op_type=node.op_type,
        inputs=node.inputs,
        outputs=node.outputs,
        attributes=node.attributes,
        domain=node.domain,
        parts=parts,
    )


def _weights(model: Model, steps: list[Step], typed: Mapping[str, Typed], places: Places) -> dict[str, Span]:
    """Packed for the product that reads them, where it packs."""
    sizes = {name: size_of(typed[name]) for name in model.graph.initializers}
    for step in steps:
        right = step.inputs[1] if len(step.inputs) > 1 else ""
        if right in sizes:
            sizes[right] = max(sizes[right], packed_bytes(step.op_type, typed[right]))
    return {name: places.take("weights", size) for name, size in sizes.items()}


def _laid_out(
    model: Model,
    steps: list[Step],
    typed: Mapping[str, Typed],
    weights: Mapping[str, Span],
    places: Places,
) -> Network:
    inputs = tuple(value.name for value in model.graph.inputs)
    outputs = tuple(value.name for value in model.graph.outputs)
    made = {name for step in steps for name in step.outputs}
    known = {*made, *weights, *inputs}
    loose = [name for name in dict.fromkeys(_read(steps)) if name not in known]
    spans = {**weights, **{name: places.take("activations", size_of(typed[name])) for name in loose}}
    homes = buffers(steps, typed, {*weights, *inputs, *loose}, outputs)
    inner = block(steps, typed, homes, {*weights, *inputs, *outputs, *loose})
    start, _ = places.take("activations", inner.size)
    spans.update((name, (start + place, size_of(typed[name]))) for name, place in inner.places.items())
    scratch, _ = places.take("activations", 2 * max((size_of(typed[name]) for name in typed), default=0) + (1 << 20))
    return Network(
        steps=tuple(steps),
        typed=typed,
        spans=spans,
        homes=homes,
        scratch=scratch,
        weights=frozenset(weights),
        inputs=inputs,
        outputs=outputs,
    )


def _read(steps: list[Step]) -> Iterator[str]:
    return (name for step in steps for name in step.inputs if name)
