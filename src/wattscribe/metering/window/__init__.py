"""The arithmetic of windows, pure: a trace as a signal, a window's ends, its joules with an interval, the trace that is taken."""

from wattscribe.metering.window.choice import preferred
from wattscribe.metering.window.integration import (
    Edges,
    effective_update_interval_s,
    energy,
    mean_power_w,
    measured_energy_j,
    seen_share,
    unavailable,
)
from wattscribe.metering.window.signal import join

__all__ = [
    "Edges", "effective_update_interval_s", "energy", "join", "mean_power_w", "measured_energy_j", "preferred",
    "seen_share", "unavailable",
]  # fmt: skip
