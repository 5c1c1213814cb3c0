"""How far training is and what follows from it: learning rate, weights of the losses, when to stop."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from wattscribe.errors import InputError
from wattscribe.training.fields import Count, Natural, Positive, Share, check
from wattscribe.training.objective import Weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Warm-up, a plateau, then a cosine to `final_share` of the peak. The length is in steps or in minutes of training.

    By minutes a run ends annealed when it must; by steps it repeats exactly.
    """

    peak_rate: Positive = 1.5e-3
    warmup_steps: Natural = 300
    anneal_from: Share = 0.0
    """Share of the training after which the rate falls."""
    final_share: Share = 0.01
    steps: Count | None = None
    minutes: Positive | None = None

    def __post_init__(self) -> None:
        check(self, "training.schedule")
        if (self.steps is None) == (self.minutes is None):
            raise InputError("training.schedule: a schedule needs its length", fix="Give either steps or minutes")

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
    """Detects a loss that is not finite or climbs far above its best; phases are kept apart, since their losses differ.

    Two running means are held against the lowest that each has been: a long one, from a fifth of its window on, which
    must not reach `factor` times its best, and a tenth as long a one, from the first step on, which must not reach twice
    that. One nat is added to both sides, since a loss near 0 may double by chance.
    """

    def __init__(self, *, window: int = 50, factor: float = 2.0) -> None:
        self.long, self.short = (window, factor), (max(window // 10, 1), 2 * factor)
        self.phase: Weights | None = None
        self.losses: list[float] = []
        self.best: dict[int, float] = {}

    def diverged(self, loss: float, phase: Weights) -> bool:
        """Whether training must stop at this loss."""
        if not math.isfinite(loss):
            return True
        if phase != self.phase:
            self.phase, self.losses, self.best = phase, [], {}
        self.losses = [*self.losses, loss][-self.long[0] :]
        for window, _ in (self.long, self.short):
            if (mean := self._mean(window)) is not None:
                self.best[window] = min(self.best.get(window, math.inf), mean)
        return self._climbed(*self.long) or self._climbed(*self.short)

    @property
    def rising(self) -> bool:
        """The last few losses are half as high as divergence: no state to keep."""
        window, factor = self.short
        return self._climbed(window, factor / 2)

    def _mean(self, window: int) -> float | None:
        recent = self.losses[-window:]
        return sum(recent) / len(recent) if len(recent) >= max(window // 5, 1) else None

    def _climbed(self, window: int, factor: float) -> bool:
        mean = self._mean(window)
        return mean is not None and mean + 1 > factor * (self.best[window] + 1)
