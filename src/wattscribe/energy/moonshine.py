"""sherpa-onnx's Moonshine layout: four graphs, identified by their positions (sherpa-onnx offline-moonshine-model.cc).

preprocess: samples → features; encode: features, their number → encoder frames; uncached_decode: token, frames, place → logits
and caches, once per utterance; cached_decode: the same and those caches, for every further token.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from wattscribe.energy import binding, counting, optimum
from wattscribe.energy.execute import LENGTH
from wattscribe.graph.model import Model

if TYPE_CHECKING:
    from wattscribe.energy.workload import Component

_FRAMES_INPUT = 1
"""Of the decoders: token, encoder frames, place, caches."""
_CACHES_FROM = 3


def decoders(first: Model, later: Model, frames: int, past_tokens: int) -> tuple[Component, ...]:
    """Keys and values of cross-attention, layers and vocabulary, over so many encoder frames and `past_tokens` of its own.

    The first decoder's other weights are those of the second once more: a run of it costs what a run of the second does.
    """
    sizes = _sizes(first, frames, {})
    _, shapes = counting.counted(first, "first_decoder", dims=sizes, inputs={})
    caches = {output.name: shapes.get(output.name) for output in first.graph.outputs[1:]}
    own = dict(enumerate(caches.values(), start=_CACHES_FROM))
    cross = [name for name, shape in caches.items() if shape is not None and frames in shape[1:]]
    after = optimum.per_token(later, dims=_sizes(later, frames, own, past_tokens), inputs={})
    return optimum.cross_attention(first, cross, dims=sizes, inputs={}), *after


def encoder(model: Model, frames: int) -> tuple[Component, int]:
    """The encoder counted on so many feature frames, and the frames that it emits."""
    sizes = binding.free_sizes(model, frames)
    component, shapes = counting.counted(model, "encoder", dims={**sizes, LENGTH: frames}, inputs={})
    shape = shapes.get(model.graph.outputs[0].name)
    return component, shape[1] if shape is not None and len(shape) == 3 else frames


def _sizes(
    model: Model, frames: int, caches: Mapping[int, tuple[int, ...] | None], past_tokens: int = 1
) -> dict[str, int]:
    """Free dimensions by the place of the input: frames, and caches as the first decoder leaves them.

    Its own cache holds one token then: it is counted with `past_tokens`.
    """
    sizes: dict[str, int] = {}
    for place, value in enumerate(model.graph.inputs):
        cache = caches.get(place)
        for axis, size in enumerate(value.shape or ()):
            if isinstance(size, int):
                continue
            name = binding.dimension(value, axis)
            if cache is not None and axis < len(cache):
                sizes[name] = past_tokens if cache[axis] == 1 and axis > 0 else cache[axis]
            else:
                sizes.setdefault(name, frames if place == _FRAMES_INPUT and axis == 1 else 1)
    return sizes
