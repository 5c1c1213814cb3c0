"""How much each weight matters: its magnitude, or what moving it does to the loss (moment-weighted gradients)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from wattscribe.errors import InputError
from wattscribe.training.data import Batch
from wattscribe.training.model import TransducerModel
from wattscribe.training.objective import Weights, losses

BETAS = (0.9, 0.98)
"""As the training's AdamW."""
Scores = Mapping[str, Tensor]


def magnitude(model: TransducerModel) -> dict[str, Tensor]:
    """|w| of every parameter, relative to its tensor's root mean square, so that tensors can be compared."""
    return {
        name: parameter.detach().abs() / parameter.detach().square().mean().sqrt().clamp(min=1e-12)
        for name, parameter in model.named_parameters()
    }


def moments(model: TransducerModel, batches: Iterable[Batch], weights: Weights | None = None) -> dict[str, Tensor]:
    """|w · m̂| / (√v̂ + ε): Adam's step for a weight times the weight, over some batches; the model is not changed.

    A weight whose gradient always points the same way moves far under Adam: setting it to zero costs most. Raises InputError
    without batches.
    """
    first = {name: torch.zeros_like(parameter) for name, parameter in model.named_parameters()}
    second = {name: torch.zeros_like(parameter) for name, parameter in model.named_parameters()}
    steps = 0
    model.eval()
    for batch in batches:
        model.zero_grad(set_to_none=True)
        losses(model, None, batch, weights or Weights()).total.backward()  # type: ignore[no-untyped-call]
        steps += 1
        for name, parameter in model.named_parameters():
            if parameter.grad is not None:
                first[name].lerp_(parameter.grad, 1 - BETAS[0])
                second[name].lerp_(parameter.grad.square(), 1 - BETAS[1])
    model.zero_grad(set_to_none=True)
    if not steps:
        raise InputError("moment-weighted scores need training batches, there were none")
    scores = {}
    for name, parameter in model.named_parameters():
        mean = first[name] / (1 - BETAS[0] ** steps)
        spread = (second[name] / (1 - BETAS[1] ** steps)).sqrt()
        scores[name] = (parameter.detach() * mean).abs() / (spread + 1e-8) + 1e-6 * parameter.detach().abs()
    return scores
