"""Where a training starts: another model's weights, as far as they fit this one's names and shapes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from wattscribe.errors import InputError
from wattscribe.models import locate
from wattscribe.training.checkpoint import finite, load_model
from wattscribe.training.config import EncoderConfig, TransducerConfig
from wattscribe.training.exported import read_export
from wattscribe.training.model import TransducerModel
from wattscribe.training.tokens import Vocabulary, load_vocabulary

PARTS = ("encoder", "predictor", "joiner", "ctc")
_BY_UNIT = ("predictor.embedding.weight", "joiner.out.weight", "joiner.out.bias", "ctc.weight", "ctc.bias")
"""A row for each unit: with other units the rows mean something else, whatever their number."""
_NAMED = 3
"""Tensors that the summary names one by one where only a part of a part was taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What a folder holds. An export has no config of its own and its vocabulary cannot part words."""

    folder: Path
    weights: Mapping[str, Tensor]
    vocabulary: Vocabulary
    config: TransducerConfig | None = None
    facts: Mapping[str, object] = field(default_factory=dict)

    @property
    def folded(self) -> bool:
        """Whether the first layer holds the input's mean and scale, as an export's does."""
        return self.config is None


def read_start(named: str) -> Start:
    """A folder that training wrote (or the one around it), or an exported directory. Raises InputError and ModelError."""
    folder = locate(named)
    if (folder / "model" / "model.json").is_file():
        folder = folder / "model"
    if not (folder / "model.json").is_file() and any(folder.glob("*.onnx")):
        exported = read_export(folder)
        return _finite(
            Start(folder=folder, weights=exported.weights, vocabulary=load_vocabulary(folder), facts=exported.facts)
        )
    model, vocabulary = load_model(folder)
    facts = _facts(model.config.encoder)
    return _finite(
        Start(folder=folder, weights=model.state_dict(), vocabulary=vocabulary, config=model.config, facts=facts)
    )


def _finite(start: Start) -> Start:
    if not finite(start.weights):
        raise InputError("its weights are not all finite: it belongs to a diverged run", where=start.folder)
    return start


def _facts(config: EncoderConfig) -> dict[str, object]:
    return {
        "segment": config.segment, "left_context": config.left_context, "right_context": config.right_context,
        "heads": [layer.heads for layer in config.layers],
    }  # fmt: skip


def take_over(start: Start, model: TransducerModel, vocabulary: Vocabulary) -> list[str]:
    """Put into `model` what fits, and say by part what was taken and what was left.

    Raises InputError where nothing fits.
    """
    same_units = start.vocabulary.units == vocabulary.units
    own = model.state_dict()
    left: dict[str, str] = {}
    for name, tensor in own.items():
        if (reason := _unfit(name, tensor, start, same_units=same_units)) is not None:
            left[name] = reason
        else:
            tensor.copy_(start.weights[name])
    if own.keys() - left.keys() <= {"encoder.mean", "encoder.scale"}:  # of 80 bands in every model
        raise InputError("no tensor of it fits this model's names and shapes", where=start.folder,
                         fix="Give the [model] that it was trained with, or a part of it")  # fmt: skip
    return [*_summary(own, left), *_changed(start.facts, model.config.encoder)]


def _unfit(name: str, tensor: Tensor, start: Start, *, same_units: bool) -> str | None:
    there = start.weights.get(name)
    if there is None:
        return "not there"
    if there.shape != tensor.shape:
        return f"{_size(there)} there, {_size(tensor)} here"
    return "other units" if name in _BY_UNIT and not same_units else None


def _size(tensor: Tensor) -> str:
    return " × ".join(map(str, tensor.shape)) or "one value"


def _summary(own: Mapping[str, Tensor], left: Mapping[str, str]) -> Iterator[str]:
    for part in PARTS:
        names = [name for name in own if name.startswith(f"{part}.")]
        left_names = [name for name in names if name in left]
        if not left_names:
            yield f"{part}: {len(names)} of {len(names)} tensors"
            continue
        reasons = ", ".join(f"{name.removeprefix(f'{part}.')} ({left[name]})" for name in left_names[:_NAMED])
        more = f" and {len(left_names) - _NAMED} more" if len(left_names) > _NAMED else ""
        taken = f"{len(names) - len(left_names)} of {len(names)} tensors" if len(left_names) < len(names) else "none"
        yield f"{part}: {taken}; left: {reasons}{more}"


def _changed(facts: Mapping[str, object], config: EncoderConfig) -> Iterator[str]:
    """What the same shapes compute otherwise: said, since a fine-tuning may want it."""
    for name, here in _facts(config).items():
        there = facts.get(name, here)
        if isinstance(there, list) and isinstance(here, list):
            shared = min(len(there), len(here))
            there, here = there[:shared], here[:shared]
        if there != here:
            yield f"encoder: {name} is {here}, was {there}"


@torch.no_grad()
def standardise(start: Start | None, model: TransducerModel, mean: Tensor, deviation: Tensor) -> None:
    """Set the input's mean and scale to those of the training speech; a first layer that holds others keeps its function."""
    encoder, entry = model.encoder, "encoder.entry.weight"
    if start is not None and not start.folded:
        return  # the weights go with the statistics that they were trained with
    encoder.set_statistics(mean, deviation)
    if start is not None and entry in start.weights and start.weights[entry].shape == encoder.entry.weight.shape:
        repeats = encoder.config.time_stack
        encoder.entry.bias.add_(encoder.entry.weight @ mean.repeat(repeats))
        encoder.entry.weight.div_(encoder.scale.repeat(repeats))
