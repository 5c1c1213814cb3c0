"""Energy where no sensor can be read: CPU seconds × watts per core, with its range, and marked as modelled everywhere."""

from __future__ import annotations

from wattscribe.errors import InputError
from wattscribe.metering.cores import CoreProfile, profile_for
from wattscribe.records import Reading

COVERS = "CPU cores above idle"


def unknown_cpu(cpu_name: str | None) -> str:
    """Why there are no watts per core, and what gives a figure instead."""
    who = f"the CPU {cpu_name!r} is" if cpu_name else "a CPU without a name is"
    return (
        f"{who} not in the table of watts per core (docs/meters.md), and nothing is guessed; a sensor (wattscribe meters) or an "
        "external meter's recording (wattscribe meters attach) gives joules"
    )


def cpu_reading(
    cpu_s: float,
    window_s: float,
    *,
    cpu_name: str | None = None,
    machine: str | None = None,
    profile: CoreProfile | None = None,
) -> Reading:
    """CPU seconds × watts per core, net of idle: nothing is known about what the idle machine draws.

    `cpu_name` and `machine` as in `machine.describe()`; the interval is the profile's range, not a statistical one. A CPU that
    is in no profile gives an unavailable reading with the reason. Raises InputError for a negative time.
    """
    if cpu_s < 0 or window_s < 0:
        raise InputError(f"CPU time and window must not be negative: {cpu_s} s, {window_s} s")
    used = profile if profile is not None else profile_for(cpu_name, machine)
    if used is None:
        return Reading.unavailable(covers=COVERS, window_s=window_s, reason=unknown_cpu(cpu_name))
    interval_j = (cpu_s * used.low_w, cpu_s * used.high_w)
    energy_j = cpu_s * used.typical_w
    return Reading(
        energy_j=energy_j,
        energy_ci95_j=interval_j,
        idle_j=None,
        net_j=energy_j,
        net_ci95_j=interval_j,
        evidence="modelled",
        covers=f"{COVERS} ({used.name}, {used.low_w:g} to {used.high_w:g} W per core)",
        samples=0,
        window_s=window_s,
        reason=(
            f"modelled: {cpu_s:.4g} CPU s × {used.typical_w:g} W per core ({used.low_w:g} to {used.high_w:g} W, "
            f"{used.name}; {used.basis})"
        ),
    )
