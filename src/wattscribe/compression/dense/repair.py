"""What is left of a product's inputs answers for what went: the map that reads them is fitted anew, in closed form.

Least squares on the inputs that the uncut model gives the map in training speech, with a ridge: no step of training, and a start
from which fine-tuning has less to learn again. What `levers.width`
does to exported graphs, with a bias for the mean and a ridge towards the map's own slice (decision 066).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from wattscribe.training.data import Batch
from wattscribe.training.model import TransducerModel
from wattscribe.training.objective import Weights, losses
from wattscribe.training.predictor import LstmPredictor

RIDGE = 1e-3
"""Of the inputs' mean variance, added to each: for inputs that say nothing by themselves, and for speech that was not heard."""


@dataclass(slots=True)
class Inputs:
    """Sums over what went into a map of `width` inputs: how often, each input, each pair of them."""

    count: int
    sums: Tensor
    products: Tensor

    @classmethod
    def none(cls, width: int) -> Inputs:
        return cls(0, torch.zeros(width, dtype=torch.float64), torch.zeros(width, width, dtype=torch.float64))

    def see(self, values: Tensor) -> None:
        """(…, width)."""
        rows = values.detach().float().flatten(0, -2)
        self.count += len(rows)
        self.sums += rows.sum(0)
        self.products += rows.T @ rows


def fitted(weight: Tensor, bias: Tensor | None, kept: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor | None]:
    """Weight (outputs, kept) and bias that answer for (outputs, width) of them as nearly as these inputs let."""
    mean = inputs.sums / inputs.count
    moments = inputs.products / inputs.count
    if bias is not None:
        moments = moments - mean[:, None] * mean
    ridge = RIDGE * moments.diagonal().mean().clamp(min=1e-12)
    some = moments[kept][:, kept] + ridge * torch.eye(len(kept), dtype=torch.float64)
    mixing = torch.linalg.solve(some, moments[kept] + ridge * torch.eye(len(mean), dtype=torch.float64)[kept])
    smaller = (weight.double() @ mixing.T).to(weight.dtype)
    if bias is None:
        return smaller, None
    lost = weight.double() @ mean - smaller.double() @ mean[kept]
    return smaller, (bias.double() + lost).to(bias.dtype)


def inputs_of(model: TransducerModel, batches: Iterable[Batch], weights: Weights | None = None) -> dict[str, Inputs]:
    """By the weight's name, of every map whose inputs `surgery` may thin; the model is not changed."""
    model.eval()
    with _watched(model) as seen, torch.no_grad():
        for batch in batches:
            losses(model, None, batch, weights or Weights())
    return {name: inputs for name, inputs in seen.items() if inputs.count}


def _see(inputs: Inputs, _: nn.Module, given: tuple[Tensor, ...]) -> None:
    inputs.see(given[0])


@contextmanager
def _watched(model: TransducerModel) -> Iterator[Mapping[str, Inputs]]:
    seen: dict[str, Inputs] = {}
    hooks = []
    for name, module in _readers(model):
        seen[name] = Inputs.none(module.in_features)
        hooks.append(module.register_forward_pre_hook(partial(_see, seen[name])))
    if isinstance(model.predictor, LstmPredictor):
        said = seen["predictor.lstm.weight_ih_l0"] = Inputs.none(model.predictor.lstm.input_size)
        hooks.append(model.predictor.embedding.register_forward_hook(lambda _, __, out: said.see(out)))
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def _readers(model: TransducerModel) -> Iterator[tuple[str, nn.Linear]]:
    """The maps of the encoder's blocks and of the joiner that read thinned channels."""
    ends = (".contract", ".attention.out", ".convolution.out", "joiner.out", "joiner.from_predictor")
    for name, module in model.named_modules():
        if name.endswith(ends) and isinstance(module, nn.Linear):
            yield f"{name}.weight", module
