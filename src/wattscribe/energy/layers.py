"""Layers as the energy model sees them: weight shapes, multiply-accumulates and activations, without torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod

from wattscribe.energy.workload import Component, WeightTensor
from wattscribe.graph.model import BITS

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer: `macs` and `activations` (elements in and out) per row; `reads` of each weight per invocation."""

    weights: Mapping[str, Shape]
    macs: int = 0
    activations: int = 0
    state: int = 0
    """State elements held between invocations."""
    reads: float = 1.0
    lookup: bool = False
    """Reads one row of its table per row of the invocation, not the table."""


def linear(name: str, width: int, out: int, *, frames: int = 1, bias: bool = True, reads: float = 1.0) -> Layer:
    """A matrix (out, width) over `frames` vectors."""
    weights: dict[str, Shape] = {f"{name}.weight": (out, width)}
    if bias:
        weights[f"{name}.bias"] = (out,)
    return Layer(weights=weights, macs=frames * width * out, activations=frames * (width + out), reads=reads)


def norm(name: str, width: int, *, frames: int = 1) -> Layer:
    """Layer normalisation with gain and offset."""
    weights = {f"{name}.weight": (width,), f"{name}.bias": (width,)}
    return Layer(weights=weights, activations=2 * frames * width)


def embedding(name: str, rows: int, width: int) -> Layer:
    return Layer(weights={f"{name}.weight": (rows, width)}, activations=width, lookup=True)


def attention_mix(*, heads_width: int, queries: int, keys: int, heads: int) -> Layer:
    """Scores and weighted sum: queries × keys × width, twice; the scores are written and read by the softmax."""
    scores = heads * queries * keys
    return Layer(
        weights={},
        macs=2 * queries * keys * heads_width,
        activations=2 * (queries + keys) * heads_width + 4 * scores,
    )


def depthwise(name: str, width: int, kernel: int, *, frames: int, bias: bool = True) -> Layer:
    """A convolution over time with one filter per channel; it remembers kernel − 1 frames."""
    weights: dict[str, Shape] = {f"{name}.weight": (width, 1, kernel)}
    if bias:
        weights[f"{name}.bias"] = (width,)
    return Layer(
        weights=weights,
        macs=frames * width * kernel,
        activations=2 * frames * width,
        state=(kernel - 1) * width,
    )


def conv2d(name: str, channels: int, out: int, kernel: int, out_shape: Shape, *, stride: int = 1) -> Layer:
    """A square convolution whose output is `out_shape` (time, frequency)."""
    positions = prod(out_shape)
    return Layer(
        weights={f"{name}.weight": (out, channels, kernel, kernel), f"{name}.bias": (out,)},
        macs=positions * out * channels * kernel * kernel,
        activations=positions * (out + channels * stride * stride),
    )


def lstm(
    name: str, width: int, hidden: int, *, steps: int = 1, projection: int | None = None, normed: bool = False
) -> list[Layer]:
    """One layer over `steps` time steps. The input matrix is read once, the recurrent one (and the projection) at every
    step. With `normed`, gates and cell are layer-normalised and only the projections of torchaudio's predictor remain."""
    recurrent = projection or hidden
    out = projection or hidden
    layers = [
        linear(f"{name}.input", width, 4 * hidden, frames=steps, bias=not normed),
        linear(f"{name}.recurrent", recurrent, 4 * hidden, frames=steps, bias=False, reads=steps),
    ]
    if projection is not None:
        layers.append(linear(f"{name}.projection", hidden, projection, frames=steps, bias=False, reads=steps))
    if normed:
        layers += [norm(f"{name}.cell_norm", hidden, frames=steps), norm(f"{name}.gate_norm", 4 * hidden, frames=steps)]
    layers.append(Layer(weights={}, activations=0, state=hidden + out))
    return layers


def component(
    name: str,
    layers: Iterable[Layer],
    *,
    dtype: str = "float32",
    operation: str | None = None,
    source: str,
) -> Component:
    """A Component from layers; weights are `dtype`, activations float32 (int8 where the operation is)."""
    listed = list(layers)
    operation = operation or dtype
    wide = BITS["int8" if operation == "int8" else "float16" if operation == "float16" else "float32"] // 8
    activations = sum(layer.activations for layer in listed) * wide
    widest = max((layer.activations for layer in listed), default=0) * wide
    return Component(
        name=name,
        weights=tuple(_weights(listed, dtype)),
        macs={operation: float(sum(layer.macs for layer in listed))},
        activation_bytes=float(activations),
        activation_bytes_unfused=float(2 * activations),
        state_bytes=sum(layer.state for layer in listed) * wide,
        peak_activation_bytes=widest,
        operators=len(listed),
        source=source,
    )


def _weights(layers: Iterable[Layer], dtype: str) -> Iterator[WeightTensor]:
    for layer in layers:
        for name, shape in layer.weights.items():
            size = (prod(shape) * BITS[dtype] + 7) // 8
            row = size / shape[0]
            yield WeightTensor(
                name=name,
                dtype=dtype,
                shape=shape,
                size_bytes=size,
                call_bytes=0.0 if layer.lookup else size * layer.reads,
                row_bytes=row if layer.lookup else 0.0,
            )
