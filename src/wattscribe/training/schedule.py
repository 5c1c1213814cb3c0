"""How far training is and what follows from it: learning rate, weights of the losses, when to stop."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from wattscribe.errors import InputError
from wattscribe.training.objective import Weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Warm-up, a plateau, then a cosine to `final_share` of the peak. The length is in steps or in minutes of training.

    By minutes a run ends annealed when it must; by steps it repeats exactly.
    """

    peak_rate: float = 1.5e-3
    warmup_steps: int = 300
    anneal_from: float = 0.0
    """Share of the training after which the rate falls."""
    final_share: float = 0.01
    steps: int | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.minutes is None):
            raise InputError("a schedule needs its length", fix="Give either steps or minutes")

    def share(self, step: int, elapsed_s: float) -> float:
        """How much of the training is done, 0 to 1."""
        if self.steps is not None:
            return min(step / max(self.steps, 1), 1.0)
        return min(elapsed_s / 60 / (self.minutes or 1), 1.0)

    def rate(self, step: int, elapsed_s: float) -> float:
        """The learning rate of this step."""
        warm = min((step + 1) / max(self.warmup_steps, 1), 1.0)
        done = self.share(step, elapsed_s)
        falling = max(done - self.anneal_from, 0.0) / max(1 - self.anneal_from, 1e-9)
        cosine = 0.5 * (1 + math.cos(math.pi * falling))
        return self.peak_rate * warm * (self.final_share + (1 - self.final_share) * cosine)


def weights_at(phases: Sequence[Weights], share: float) -> Weights:
    """The phase that holds at this share of the training."""
    current = phases[0]
    for phase in phases:
        if share >= phase.from_share:
            current = phase
    return current


class DivergenceWatch:
    """Sees a loss that leaves the finite or climbs far above its best; told apart by phase, whose losses differ."""

    def __init__(self, *, window: int = 50, factor: float = 2.0) -> None:
        self.window, self.factor = window, factor
        self.phase: Weights | None = None
        self.recent: list[float] = []
        self.best = math.inf

    def diverged(self, loss: float, phase: Weights) -> bool:
        if not math.isfinite(loss):
            return True
        if phase != self.phase:
            self.phase, self.recent, self.best = phase, [], math.inf
        self.recent = [*self.recent, loss][-self.window :]
        if len(self.recent) < self.window:
            return False
        mean = sum(self.recent) / self.window
        self.best = min(self.best, mean)
        return mean > self.factor * self.best + 1.0
