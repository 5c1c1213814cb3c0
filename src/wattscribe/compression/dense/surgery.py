"""Make a model smaller for real: feed-forward channels, heads, joint and embedding width, whole layers, the vocabulary.

The answer is a model of another config whose tensors are slices of the old ones, so that it trains, saves and exports like any.
Where it is known what went into the maps that read the thinned channels, these are fitted anew (`repair`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from wattscribe.compression.dense.repair import Inputs, fitted
from wattscribe.compression.dense.scores import Scores
from wattscribe.errors import InputError
from wattscribe.training.config import PredictorConfig, TransducerConfig
from wattscribe.training.model import TransducerModel, build
from wattscribe.training.predictor import StatelessPredictor


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """What part of each width stays; 1 leaves it alone. `drop_layers` are positions of whole blocks."""

    feed_forward: float = 1.0
    heads: float = 1.0
    convolution: float = 1.0
    joint: float = 1.0
    embedding: float = 1.0
    hidden: float = 1.0
    """Cells of an LSTM predictor's layers."""
    drop_layers: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in ("feed_forward", "heads", "convolution", "joint", "embedding", "hidden"):
            if not 0 < getattr(self, name) <= 1:
                raise InputError(f"{name} keeps {getattr(self, name)}", fix="Give a part above 0, up to 1")


class _Tensors(dict[str, Tensor]):
    """A model's by name, and what went into those that read channels, as far as it is known."""

    inputs: dict[str, Inputs]


def prune(
    model: TransducerModel, cut: Cut, scores: Scores, inputs: Mapping[str, Inputs] | None = None
) -> TransducerModel:
    """The smaller model; what stays is what scores highest, and the maps that read it answer for the rest where `inputs` has
    theirs. Raises InputError where nothing would be left."""
    tensors = _Tensors({name: tensor.detach().clone() for name, tensor in model.state_dict().items()})
    tensors.inputs = dict(inputs or {})
    scored = {name: score.detach() for name, score in scores.items()}
    config = model.config
    config = _drop_layers(config, tensors, scored, cut.drop_layers)
    layers = list(config.encoder.layers)
    for number, layer in enumerate(layers):
        block = f"encoder.blocks.{number}"
        kept = _best(_inner(scored, f"{block}.expand.weight", f"{block}.contract.weight"), cut.feed_forward)
        _take(
            tensors,
            kept,
            rows=(f"{block}.expand.weight", f"{block}.expand.bias"),
            columns=(f"{block}.contract.weight",),
        )
        layer = replace(layer, feed_forward=len(kept))
        layer = replace(layer, heads=_heads(tensors, scored, block, layer.heads, layer.head_width, cut.heads))
        if layer.conv_kernel:
            layer = replace(layer, conv_width=_convolution(tensors, scored, block, layer.conv_width, cut.convolution))
        layers[number] = layer
    joiner = replace(config.joiner, width=_joint(tensors, scored, config.joiner.width, cut.joint))
    predictor = config.predictor
    if cut.embedding < 1:
        reads = "predictor.lstm.weight_ih_l0" if predictor.kind == "lstm" else "joiner.from_predictor.weight"
        predictor = replace(predictor, embedding=_embedding(tensors, scored, cut.embedding, reads))
    if cut.hidden < 1 and predictor.kind == "lstm":
        predictor = replace(predictor, hidden=_hidden(tensors, scored, predictor, cut.hidden))
    smaller = replace(config, encoder=replace(config.encoder, layers=tuple(layers)), joiner=joiner, predictor=predictor)
    return _filled(smaller, tensors)


def _filled(config: TransducerConfig, tensors: Mapping[str, Tensor]) -> TransducerModel:
    model = build(config)
    model.load_state_dict(dict(tensors))
    return model.eval()


def _best(scores: Tensor, keep: float) -> Tensor:
    """Positions of the highest, in order, at least one."""
    count = max(1, round(keep * len(scores)))
    return torch.argsort(scores, descending=True, stable=True)[:count].sort().values


def _inner(scores: Scores, made_by: str, read_by: str) -> Tensor:
    """Score of each inner channel: of the row that makes it and the column that reads it."""
    return scores[made_by].flatten(1).mean(1) + scores[read_by].mean(0)


def _take(tensors: _Tensors, kept: Tensor, *, rows: Sequence[str] = (), columns: Sequence[str] = ()) -> None:
    for name in rows:
        if name in tensors:
            tensors[name] = tensors[name][kept].contiguous()
    for name in columns:
        if (inputs := tensors.inputs.get(name)) is None or len(kept) == len(inputs.sums):
            tensors[name] = tensors[name][..., kept].contiguous()
            continue
        bias = name.replace("weight", "bias")
        tensors[name], fit = fitted(tensors[name], tensors.get(bias), kept, inputs)
        if fit is not None:
            tensors[bias] = fit


def _drop_layers(
    config: TransducerConfig, tensors: _Tensors, scores: dict[str, Tensor], dropped: Sequence[int]
) -> TransducerConfig:
    if not dropped:
        return config
    layers = config.encoder.layers
    kept = [number for number in range(len(layers)) if number not in dropped]
    if not kept or not set(dropped) <= set(range(len(layers))):
        raise InputError(f"layers {sorted(dropped)} cannot be dropped from {len(layers)}", fix="Leave at least one")
    tables: tuple[dict[str, Any], ...] = (tensors, scores, tensors.inputs)
    for table in tables:
        moved = {}
        for name in [name for name in table if name.startswith("encoder.blocks.")]:
            number, rest = name.removeprefix("encoder.blocks.").split(".", 1)
            value = table.pop(name)
            if int(number) in kept:
                moved[f"encoder.blocks.{kept.index(int(number))}.{rest}"] = value
        table.update(moved)
    encoder = replace(config.encoder, layers=tuple(layers[number] for number in kept))
    return replace(config, encoder=encoder)


def _heads(tensors: _Tensors, scores: Scores, block: str, heads: int, width: int, keep: float) -> int:
    joined, out = f"{block}.attention.query_key_value", f"{block}.attention.out.weight"
    inner = heads * width
    written = scores[f"{joined}.weight"].reshape(3, heads, width, -1).mean(dim=(0, 2, 3))
    read = scores[out].reshape(-1, heads, width).mean(dim=(0, 2))
    kept = _best(written + read, keep)
    channels = (kept[:, None] * width + torch.arange(width)).flatten()
    _take(
        tensors, torch.cat([channels + part * inner for part in range(3)]), rows=(f"{joined}.weight", f"{joined}.bias")
    )
    _take(tensors, channels, columns=(out,))
    return len(kept)


def _convolution(tensors: _Tensors, scores: Scores, block: str, width: int, keep: float) -> int:
    """Gate and value of a channel, its taps, and what reads it."""
    part = f"{block}.convolution"
    gate = scores[f"{part}.gate.weight"].mean(1)
    kept = _best(gate[:width] + gate[width:] + scores[f"{part}.out.weight"].mean(0), keep)
    _take(tensors, torch.cat([kept, kept + width]), rows=(f"{part}.gate.weight", f"{part}.gate.bias"))
    _take(tensors, kept, rows=(f"{part}.bias",), columns=(f"{part}.taps", f"{part}.out.weight"))
    return len(kept)


def _joint(tensors: _Tensors, scores: Scores, width: int, keep: float) -> int:
    """The blank head's columns, which follow the joint width, stay."""
    written = (
        scores["joiner.from_encoder.weight"].mean(1)[:width] + scores["joiner.from_predictor.weight"].mean(1)[:width]
    )
    kept = _best(written + scores["joiner.out.weight"].mean(0), keep)
    rest = torch.arange(width, len(tensors["joiner.from_encoder.weight"]))
    rows = ("joiner.from_encoder.weight", "joiner.from_encoder.bias", "joiner.from_predictor.weight")
    _take(tensors, torch.cat([kept, rest]), rows=rows)
    _take(tensors, kept, columns=("joiner.out.weight",))
    return len(kept)


def _embedding(tensors: _Tensors, scores: Scores, keep: float, reads: str) -> int:
    """`reads`: the matrix that takes the embedding in."""
    kept = _best(scores["predictor.embedding.weight"].mean(0) + scores[reads].mean(0), keep)
    columns = [name for name in ("predictor.embedding.weight", "predictor.taps", reads) if name in tensors]
    _take(tensors, kept, columns=columns)
    return len(kept)


def _hidden(tensors: _Tensors, scores: Scores, config: PredictorConfig, keep: float) -> int:
    """The same cells of every layer, by the last one's scores: its four gates, and what the joiner reads of it."""
    width, last = config.hidden, config.layers - 1
    gates = scores[f"predictor.lstm.weight_hh_l{last}"].mean(1) + scores[f"predictor.lstm.weight_ih_l{last}"].mean(1)
    kept = _best(gates.reshape(4, width).mean(0) + scores["joiner.from_predictor.weight"].mean(0), keep)
    rows = torch.cat([kept + gate * width for gate in range(4)])
    for layer in range(config.layers):
        parts = [f"predictor.lstm.{name}_l{layer}" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        _take(tensors, rows, rows=parts)
        _take(tensors, kept, columns=parts[1:2] if layer == 0 else parts[:2])
    _take(
        tensors, kept, rows=("predictor.norm.weight", "predictor.norm.bias"), columns=("joiner.from_predictor.weight",)
    )
    return len(kept)


# --- other changes of shape --------------------------------------------------------------------------------------------
def to_stateless(model: TransducerModel, *, context: int = 2) -> TransducerModel:
    """An LSTM predictor becomes a stateless one with its embedding; it must be fine-tuned or distilled afterwards.

    Raises InputError for a predictor that is stateless already.
    """
    config = model.config
    if config.predictor.kind != "lstm":
        raise InputError("the predictor is stateless already")
    predictor = replace(config.predictor, kind="stateless", context=context)
    stateless = build(replace(config, predictor=predictor))
    old = model.state_dict()
    kept = {
        name: old[name].clone() if name in old and old[name].shape == tensor.shape else tensor
        for name, tensor in stateless.state_dict().items()
    }
    stateless.load_state_dict(kept)
    if isinstance(stateless.predictor, StatelessPredictor):
        with torch.no_grad():
            stateless.predictor.taps.fill_(0.2)
            stateless.predictor.taps[-1].fill_(1.0)
    return stateless.eval()


def factorise_blank(model: TransducerModel, width: int) -> TransducerModel:
    """Give the blank its own small head on new columns of the projections (arXiv 2211.00896); fine-tune afterwards.

    The other tokens keep their scores, so that their softmax given `not blank` is the old one at once.
    Raises InputError where the blank has a head already.
    """
    config = model.config
    if config.joiner.blank_width:
        raise InputError("the blank has a head of its own already")
    factorised = build(replace(config, joiner=replace(config.joiner, blank_width=width)))
    old, new = model.state_dict(), factorised.state_dict()
    for name, tensor in new.items():
        if name in ("joiner.out.weight", "joiner.out.bias"):
            new[name] = old[name][1:].clone()
        elif name in old and old[name].shape == tensor.shape:
            new[name] = old[name].clone()
        elif name in old:
            tensor[: len(old[name])] = old[name]
    factorised.load_state_dict(new)
    return factorised.eval()


def parameters(model: nn.Module) -> int:
    """Weights, counted."""
    return sum(weight.numel() for weight in model.parameters())
