"""The decoder as it is opened: keys and values of cross-attention handed in turned to heads, weights left in the file.

In sherpa-onnx's layout every step turns the keys of 30 s of audio again: for tiny that moves as many bytes as half of the
decoder's weights. Where the graph is one that we wrote, the turned values become its inputs and are made once per window.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wattscribe import as_file
from wattscribe.errors import ModelError
from wattscribe.graph import wire
from wattscribe.graph.index import live_nodes, spliced
from wattscribe.graph.linked import in_file
from wattscribe.graph.model import INITIALIZER, INPUT, NODE, OUTPUT, External, Model, Tensor
from wattscribe.graph.read import parse_model
from wattscribe.graph.session import open_session
from wattscribe.graph.write import encode_port, encoded, model_bytes, named
from wattscribe.models.directory import CROSS, LOGITS, SCORES
from wattscribe.seq2seq.decoder_graph import CACHES, CROSS_KEYS, CROSS_VALUES, UPDATED

_OUTSIDE_BYTES = 1024
"""Weights from this size on are read from the file by onnxruntime itself; smaller ones stand in the graph."""
_NAME = 8
"""TensorProto."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """The decoder's session and how it is fed."""

    session: Any
    heads: int
    turned: bool
    """Cross-attention takes one input a layer, turned to heads."""
    in_place: bool
    """The caches are changed by one operator that writes the new rows alone: input and output may be one buffer."""

    def handed(self, keys: NDArray[np.float32], values: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """(layers, N, T, width) each → the decoder's inputs, turned where they lie: of both there is never a second copy."""
        if not self.turned:
            return dict(zip(CROSS, (keys, values), strict=True))
        inputs = {}
        layers, rows, frames, width = keys.shape
        shape = (rows, frames, self.heads, width // self.heads)
        for given, name, order in ((keys, CROSS_KEYS, (0, 2, 3, 1)), (values, CROSS_VALUES, (0, 2, 1, 3))):
            for layer in range(layers):
                by_head = np.ascontiguousarray(given[layer].reshape(shape).transpose(order))
                inputs[name.format(layer=layer)] = given[layer].reshape(by_head.shape)
                inputs[name.format(layer=layer)][...] = by_head
        return inputs

    def kept(self, cross: Mapping[str, NDArray[np.float32]], rows: Sequence[int]) -> dict[str, NDArray[np.float32]]:
        """The inputs with other rows."""
        return {name: np.take(values, rows, axis=0 if self.turned else 1) for name, values in cross.items()}


def open_decoder(path: Path, *, threads: int, heads: int) -> Opened:
    """Raises ModelError where it is no ONNX file or cannot be executed."""
    with as_file.open_bytes(path) as file:
        try:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:
            raise ModelError("is empty", where=path, fix="Export it again") from None
    model = parse_model(data, path)
    ours = {name for node in model.graph.nodes for name in node.outputs if name.startswith("cross.")}
    changed = _changed(model, data, ours, heads) if ours else None
    session = open_session(path, threads=threads, model=changed, planned=False)  # every step is of another shape
    return Opened(session=session, heads=heads, turned=changed is not None, in_place=_in_place(model))


def _in_place(model: Model) -> bool:
    makers = {name: node for node in model.graph.nodes for name in node.outputs}
    return all(
        (node := makers.get(new)) is not None and node.op_type == "ScatterND" and node.inputs[0] == old
        for old, new in zip(CACHES, UPDATED, strict=True)
    )


def _changed(model: Model, data: mmap.mmap, handed: set[str], heads: int) -> bytes:
    """The graph with `handed` among its inputs, without what made them."""
    others = [node for node in spliced(model.graph, LOGITS, SCORES) if not handed.issuperset(node.outputs)]
    alive = live_nodes(others, {output.name for output in model.graph.outputs})
    base = np.frombuffer(data, np.uint8).__array_interface__["data"][0]
    parts = [wire.field(NODE, encoded(node)) for node in alive]
    for number, raw in model.graph.rest:
        if number == INITIALIZER:
            weight = model.graph.initializers[named(raw, _NAME)]
            parts.append(wire.field(number, _in_file(weight, base, model.path) or raw))
        elif number == OUTPUT or (number == INPUT and named(raw) not in CROSS):
            parts.append(wire.field(number, raw))
    for name in sorted(handed):
        shape: list[int | str] = ["N", heads, "d", "T"] if name.endswith(".k") else ["N", heads, "T", "d"]
        parts.append(wire.field(INPUT, encode_port(name, "float32", shape)))
    return model_bytes(model, parts)


def _in_file(weight: Tensor, base: int, path: Path) -> bytes | None:
    """A TensorProto that names the bytes' place in the model's own file; None where they are few or lie elsewhere already."""
    if weight.raw is None or len(weight.raw) < _OUTSIDE_BYTES:
        return None
    start = np.frombuffer(weight.raw, np.uint8).__array_interface__["data"][0] - base
    return in_file(weight, path.name, External(path=path, offset=start, size=len(weight.raw)))
