"""Fewer layers of a Whisper: whole ones go, and the feed-forward map before them answers for what they added to the stream.

A layer adds to a stream of vectors that the layers after it read. Where a run of layers is cut, the last map of the layer before
it, fc2, is fitted anew so that the stream behind the cut is nearest to the original's on calibration speech: ridge regression, in
closed form, towards the map as it was. Nothing is added, so what the layer cost is saved in full.

A layer of the decoder takes its keys and values of cross-attention with it, which the encoder's file makes, its place in the
caches, and its count in the metadata (`n_text_layer`), by which unmodified sherpa-onnx sizes the caches. What is left keeps
its names, so that later steps find maps and calibration finds values by them; only what our runtime hands in by the layer's place
(`cross.0.k`) is numbered anew.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from wattscribe.compression.calibrate import Calibration, Crossed
from wattscribe.compression.candidate import Candidate
from wattscribe.compression.levers.tools import chosen
from wattscribe.compression.linears import Index, Linear, add_constant, linears, option, remove, removed, sweep
from wattscribe.compression.step import Step
from wattscribe.errors import InputError
from wattscribe.models.directory import CROSS
from wattscribe.seq2seq.decoder_graph import CACHES, CROSS_KEYS, CROSS_VALUES, UPDATED

RIDGE = 1.0
"""Rows' worth of inputs that pull towards the map as it was. A minute of speech is fewer tokens than a map has inputs, and a
hundredth of that overfits them; of the encoder's thousands of frames one row is nothing. For tiny.en's second decoder layer and
300 tokens the divergence on other speech is 0.39, with a hundredth of it 0.54, without repair 5.2."""
MOST_BYTES = 600_000_000
"""Of sums that are gathered at once: all layers of tiny and base; of a larger model one cut after the other."""
_LAYER = re.compile(r"(encoder|decoder)\.layers\.(\d+)\.out")
_PLACE = re.compile(r"layer_\d+")
_KEYS = re.compile(r"decoder\.layers\.(\d+)\.encoder_attn\.k_proj")
_EXPORT = "Export it with `wattscribe export hf:MODEL`, and cut layers before the window is shortened"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """Layers that go one after the other; `before` stays."""

    before: str
    last: str


def layers(model: Any, component: str) -> tuple[str, ...]:
    """Names of the layers, in order, as `wattscribe export` writes them; empty for another's graph."""
    found = (_LAYER.fullmatch(name) for node in model.graph.node for name in node.output)
    return tuple(match[0].removesuffix(".out") for match in found if match and match[1] == component)


def cut(candidate: Candidate, step: Step, calibration: Calibration) -> Candidate:
    """Take the layers out that the step's tensors name. The first of a network stays: nothing before it could answer for it."""
    component = step.component
    if component not in ("encoder", "decoder") or "decoder" not in candidate.COMPONENTS:
        raise InputError(
            f"the {component} has no layers that could be cut", fix="Name the encoder or decoder of a Whisper"
        )
    model = candidate.model(component)
    every = layers(model, component)
    gone = chosen(every, step.tensors, component, removed(model)) if step.tensors else []
    if not gone:
        raise InputError(f"the {component} has no layer that is named", fix="Name layers, as in decoder.layers.2")
    if every[0] in gone:
        raise InputError(f"{every[0]} is the first: no map before it could answer for it", fix="Cut later layers")
    places = [every.index(name) for name in gone]
    lost = [name for name in linears(model) if any(name.startswith(f"{layer}.") for layer in gone)]
    alone = _neighbours(model, component)
    for run in _runs(every, set(gone)):
        _bridge(model, component, run, calibration, alone)
    if component == "decoder":
        _shrink(model, places, len(every))
    _state(model, component, len(every) - len(gone))
    sweep(model)
    remove(model, [*lost, *gone])
    candidate = candidate.with_model(component, model)
    return candidate if component == "encoder" else _without_keys(candidate, gone, len(every) - len(gone))


def _runs(every: Sequence[str], gone: set[str]) -> list[_Run]:
    runs: list[_Run] = []
    before = every[0]
    for name, following in zip(every, [*every[1:], None], strict=True):
        if name not in gone:
            before = name
        elif following not in gone:
            runs.append(_Run(before=before, last=name))
    return runs


def _bridge(model: Any, component: str, run: _Run, calibration: Calibration, others: Sequence[tuple[str, str]]) -> None:
    """What read the stream behind the run reads the one before it, whose last map is fitted to the difference. `others` are
    gathered in the same walk: other cuts will ask for them."""
    fc2 = linears(model)[f"{run.before}.fc2"]
    behind = [(fc2.source, f"{layer}.out") for layer in (run.before, run.last)]
    seen = calibration.all_crossed(component, [*behind, *others])
    before, after = (seen[pair] for pair in behind)
    weight, bias = added(before, after)
    _change(model, fc2, weight, bias)
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            if name == f"{run.last}.out":
                node.input[place] = f"{run.before}.out"


def _neighbours(model: Any, component: str) -> list[tuple[str, str]]:
    """What cuts of one layer each ask for, so that one walk gathers it all; none where that would fill the memory."""
    maps, names = linears(model), layers(model, component)
    sums_bytes = 2 * sum(8 * sum(maps[f"{name}.fc2"].shape) ** 2 for name in names[:-1])
    if sums_bytes > MOST_BYTES:
        return []
    return [
        (maps[f"{before}.fc2"].source, f"{layer}.out") for before, last in pairwise(names) for layer in (before, last)
    ]


def added(before: Crossed, after: Crossed) -> tuple[Any, Any]:
    """(W, b) of the least ‖(Y − S) − X·W − b‖² + ridge ‖W‖²: what is to be added to the map that X goes through, so that the
    stream S becomes Y. Both sums are of the same X."""
    mean_x = before.sum_x / before.rows
    wanted = after.sum_y - before.sum_y
    gram = before.gram - before.rows * np.outer(mean_x, mean_x)
    gram[np.diag_indices_from(gram)] += RIDGE * max(float(np.trace(gram)) / before.rows, 1e-30)
    weight = np.linalg.solve(gram, after.cross - before.cross - np.outer(mean_x, wanted))
    return weight, wanted / before.rows - mean_x @ weight


def _change(model: Any, linear: Linear, weight: Any, bias: Any) -> None:
    """Add to a map and to what is added behind it."""
    index = Index(model)
    user = index.only_user(linear.output, "Add")
    name = "" if user is None else next((each for each in user.input if index.constant(each) is not None), "")
    old = index.constant(name)
    if linear.form != "float" or old is None:
        raise InputError(
            f"{linear.name} is no float map with a bias", fix="Cut layers before maps are stored in fewer bits"
        )
    add_constant(model, linear.nodes[0].input[1], (linear.weight + weight).astype(np.float32))
    add_constant(model, name, (old + bias).astype(np.float32))


def _state(model: Any, component: str, count: int) -> None:
    """The number of layers in the metadata, where they say it."""
    key = {"encoder": "n_audio_layer", "decoder": "n_text_layer"}[component]
    for entry in model.metadata_props:
        if entry.key == key:
            entry.value = str(count)


# --- the decoder's caches ----------------------------------------------------------------------------------------------
def _shrink(model: Any, gone: Sequence[int], count: int) -> None:
    """Caches, keys and values without these layers: those behind them move up."""
    kept = [place for place in range(count) if place not in gone]
    index = Index(model)
    for name in [each.name for each in model.graph.initializer if _PLACE.fullmatch(each.name)]:
        places = np.array(index.constant(name))  # where a layer's part begins, and where the one before ends
        add_constant(model, name, places - sum(each < places for each in gone))
    add_constant(model, "layers", np.array([len(kept)], np.int64))
    add_constant(model, "by_layer", np.arange(len(kept)).reshape(-1, 1, 1, 1))
    for name in UPDATED:
        maker = index.maker(name)
        rows = None if maker is None else index.maker(maker.input[2])
        _keep_inputs(rows, kept, count)
    names = {
        form.format(layer=old): form.format(layer=new)
        for new, old in enumerate(kept)
        for form in (CROSS_KEYS, CROSS_VALUES)
    }
    lost = {
        form.format(layer=old): form.format(layer=f"{old}.gone") for old in gone for form in (CROSS_KEYS, CROSS_VALUES)
    }
    for node in model.graph.node:
        for field in (node.input, node.output):
            for place, name in enumerate(field):
                field[place] = {**names, **lost}.get(name, name)
    _set_ports(model, {*CACHES, *UPDATED, *CROSS}, len(kept))


def _without_keys(candidate: Candidate, gone: Sequence[str], count: int) -> Candidate:
    """The encoder's file no longer makes the keys and values of these layers."""
    model = candidate.model("encoder")
    index = Index(model)
    heard = [f"decoder.layers.{layer}" for layer in kept_layers(model)]
    kept = [place for place, layer in enumerate(heard) if layer not in gone]
    for name in CROSS:
        _keep_inputs(index.maker(name), kept, len(heard))
    _set_ports(model, set(CROSS), count)
    _state(model, "decoder", count)
    lost = [name for name in linears(model) if any(name.startswith(f"{layer}.") for layer in gone)]
    sweep(model)
    remove(model, lost)
    return candidate.with_model("encoder", model)


def kept_layers(encoder: Any) -> list[int]:
    """Of the decoder, as they were numbered at first: those whose keys the encoder's file makes, in the order of the caches."""
    makes = (_KEYS.fullmatch(name) for node in encoder.graph.node for name in node.output)
    return [int(match[1]) for match in makes if match]


def _keep_inputs(node: Any, kept: Sequence[int], count: int) -> None:
    """Of a Concat that stacks the layers. Raises InputError for another operator: the graph is not one that we wrote, or
    remembers silence already."""
    if node is None or node.op_type != "Concat" or option(node, "axis", 0) != 0 or len(node.input) != count:
        raise InputError("the decoder's layers are not stacked as `wattscribe export` stacks them", fix=_EXPORT)
    names = [node.input[place] for place in kept]
    del node.input[:]
    node.input.extend(names)


def _set_ports(model: Any, names: set[str], count: int) -> None:
    """How many layers the declared shapes hold."""
    for port in (*model.graph.input, *model.graph.output):
        if port.name in names:
            port.type.tensor_type.shape.dim[0].dim_value = count
