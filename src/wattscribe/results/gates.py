"""What a new run may be worse by than its base: the limits of `compare`, each in the unit that its name says."""

from __future__ import annotations

from dataclasses import dataclass

from wattscribe.scoring import Metric

ERROR_INCREASE_POINTS = 0.2
"""Where no limit is asked for and the two transcripts differ."""
UNSEEN_INCREASE_POINTS = 1.0
"""Where no limit is asked for and no word differs: what the exact bound for no event must stay below (299 words)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gates:
    """Limits of an increase; None: that cost is reported and not judged."""

    metric: Metric = "wer"
    """Which error rate is judged, the other is left out."""
    max_error_increase_points: float | None = None
    """Of the metric: 0.2 lets 3.65 % become 3.85 %. None: ERROR_INCREASE_POINTS, UNSEEN_INCREASE_POINTS."""
    max_energy_increase_percent: float | None = None
    max_rtf_increase_percent: float | None = None
    max_latency_increase_percent: float | None = None
    max_memory_increase_percent: float | None = None
    across_machines: bool = False
    """Compare energy, time and memory of other machines, settings or library versions too."""

    @property
    def energy_alone(self) -> bool:
        """No limit of time or memory was asked for."""
        others = (self.max_rtf_increase_percent, self.max_latency_increase_percent, self.max_memory_increase_percent)
        return all(limit is None for limit in others)
