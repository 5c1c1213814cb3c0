"""A training of seconds."""

from __future__ import annotations

from typing import Any

import torch

from tests.training.conftest import tiny_config
from wattscribe.training.encoder import Encoder, LayerState
from wattscribe.training.model import build
from wattscribe.training.schedule import Schedule
from wattscribe.training.train import Settings

QUICK = Settings(schedule=Schedule(steps=8, warmup_steps=2), batch_s=12.0, precision="fp32", workers=0, log_every=4,
                 save_every_s=1e9, dev_every_s=1e9)  # fmt: skip


def first_states(encoder: Encoder, streams: int = 1) -> list[LayerState]:
    """Of streams without any audio yet."""
    left, states = encoder.config.left_context, []
    for layer in encoder.config.layers:
        memory = torch.zeros(streams, left, 2 * layer.heads * layer.head_width)
        states.append(LayerState(memory, torch.zeros(streams, max(layer.conv_kernel - 1, 0), layer.conv_width)))
    return states


def fresh(vocabulary: Any, **changes: Any) -> Any:
    torch.manual_seed(0)
    return build(tiny_config(len(vocabulary), **changes))
