"""Decoders in optimum's layout, in parts: keys and values of cross-attention once a window, layers and vocabulary per token.

The first two are told from each other by what they make: a run without caches makes the keys and values of the audio, runs with
caches hand them on. One merged decoder holds both as the branches of an If.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from wattscribe.energy import counting
from wattscribe.energy.last_product import last_product
from wattscribe.energy.workload import Component
from wattscribe.graph.model import Graph, Model

NAMES = "decoder", "vocabulary"
CROSS_ATTENTION = "cross_attention"
_BRANCH = "use_cache_branch"


def parts(
    later: Model,
    first: Model | None,
    sizes: Mapping[str, int],
    first_sizes: Mapping[str, int],
    inputs: Mapping[str, float],
) -> tuple[Component, ...] | None:
    """Of the decoder with caches, `later`, and the one that fills them (None: the same, merged); None where it is neither."""
    once = first or later
    caches = [output.name for output in once.graph.outputs if ".encoder." in output.name]
    merged = any(value.name == _BRANCH for value in later.graph.inputs)
    if not caches or not (first or merged):
        return None
    cross = cross_attention(once, caches, dims=first_sizes, inputs={_BRANCH: 0, **inputs})
    layers = per_token(later, dims=sizes, inputs={_BRANCH: 1, **inputs})
    return cross, *without(layers, cross)


def cross_attention(
    first: Model, caches: Iterable[str], *, dims: Mapping[str, int], inputs: Mapping[str, float]
) -> Component:
    """Of the run that fills the caches, what makes these outputs."""
    last = _last(first, caches, cached=False)
    return counting.parted(first, ("decoder", CROSS_ATTENTION), last, dims=dims, inputs=inputs)[0][1]


def per_token(later: Model, *, dims: Mapping[str, int], inputs: Mapping[str, float]) -> tuple[Component, Component]:
    """Layers and vocabulary."""
    last = _last(later, [later.graph.outputs[0].name], cached=True)
    return counting.parted(later, NAMES, last, dims=dims, inputs=inputs)[0]


def without(parts: Iterable[Component], other: Component) -> tuple[Component, ...]:
    """The parts without the weights of another, which lie in the same file."""
    theirs = {weight.name for weight in other.weights}
    return tuple(replace(part, weights=tuple(w for w in part.weights if w.name not in theirs)) for part in parts)


def _last(model: Model, outputs: Iterable[str], *, cached: bool) -> set[str]:
    """The values of the last products, in the branch that runs."""
    graph, inner = _branch(model, cached)
    outside = () if graph is model.graph else model.graph.initializers
    return last_product(graph, [inner.get(name, name) for name in outputs], outside)


def _branch(model: Model, cached: bool) -> tuple[Graph, dict[str, str]]:
    """The graph that makes the scores with caches or without, and what it calls the model's outputs."""
    scores = model.graph.outputs[0].name
    choice = next((node for node in model.graph.nodes if scores in node.outputs and node.op_type == "If"), None)
    if choice is None:
        return model.graph, {}
    graph = dict(choice.subgraphs())["then_branch" if cached else "else_branch"]
    return graph, dict(zip(choice.outputs, (output.name for output in graph.outputs), strict=True))
