"""A training of seconds."""

from __future__ import annotations

from typing import Any

import torch

from tests.training.conftest import tiny_config
from wattscribe.training.model import build
from wattscribe.training.schedule import Schedule
from wattscribe.training.train import Settings

QUICK = Settings(schedule=Schedule(steps=8, warmup_steps=2), batch_s=12.0, precision="fp32", workers=0, log_every=4,
                 save_every_s=1e9, dev_every_s=1e9)  # fmt: skip


def fresh(vocabulary: Any, **changes: Any) -> Any:
    torch.manual_seed(0)
    return build(tiny_config(len(vocabulary), **changes))
