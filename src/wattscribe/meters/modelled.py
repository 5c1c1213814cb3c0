"""Energy where no sensor can be read: CPU seconds × watts per core, with its range, and marked as modelled everywhere."""

from __future__ import annotations

import re
from dataclasses import dataclass

from wattscribe.errors import InputError
from wattscribe.records import Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreProfile:
    """What one busy core draws above an idle one, in W: the typical value and the range in which we expect it."""

    name: str
    typical_w: float
    low_w: float
    high_w: float
    source: str
    matches: tuple[str, ...] = ()
    """Regular expressions on the CPU's name, any letter case."""


PROFILES = (
    CoreProfile(
        name="Jetson Orin, Cortex-A78AE",
        typical_w=1.0,
        low_w=0.4,
        high_w=2.0,
        source="inferred: six cores inside a 15 W module that idles at 4.4 to 5.4 W, GPU and DRAM taking the larger part",
        matches=(r"cortex-a78ae", r"jetson.*orin", r"\borin\b"),
    ),
    CoreProfile(
        name="Raspberry Pi 5, Cortex-A76",
        typical_w=1.1,
        low_w=0.6,
        high_w=1.8,
        source="inferred: board at about 3 W idle and 7 to 8 W with four busy cores, as commonly reported",
        matches=(r"cortex-a76\b", r"raspberry pi 5", r"bcm2712"),
    ),
    CoreProfile(
        name="server x86",
        typical_w=4.5,
        low_w=2.0,
        high_w=9.0,
        source="inferred: thermal design power per core of current EPYC (3 to 6 W) and Xeon Scalable (4 to 9 W) processors",
        matches=(r"epyc", r"xeon", r"threadripper", r"opteron"),
    ),
    CoreProfile(
        name="laptop or desktop x86",
        typical_w=5.0,
        low_w=1.5,
        high_w=15.0,
        source="inferred: package limits of 15 to 45 W over 4 to 10 cores; one busy core at turbo clock draws more",
        matches=(r"core\(tm\)", r"core.*ultra", r"ryzen", r"\bi[3579]-", r"pentium", r"celeron", r"athlon"),
    ),
)
GENERIC = CoreProfile(
    name="unknown CPU",
    typical_w=3.0,
    low_w=0.4,
    high_w=15.0,
    source="inferred: the span of all known profiles; the CPU's name is not in the table",
)


def profile_for(cpu_name: str | None) -> CoreProfile:
    """The first profile that knows the CPU's name, else the generic one with its wide range."""
    name = cpu_name or ""
    for profile in PROFILES:
        if any(re.search(pattern, name, re.IGNORECASE) for pattern in profile.matches):
            return profile
    return GENERIC


def cpu_reading(
    cpu_s: float,
    window_s: float,
    *,
    cpu_name: str | None = None,
    profile: CoreProfile | None = None,
) -> Reading:
    """CPU seconds × watts per core, net of idle: nothing is known about what the idle machine draws.

    `cpu_name` as in `machine.describe()["cpu"]`; the interval is the profile's range, not a statistical one. Raises InputError
    for a negative time.
    """
    if cpu_s < 0 or window_s < 0:
        raise InputError(f"CPU time and window must not be negative: {cpu_s} s, {window_s} s")
    used = profile if profile is not None else profile_for(cpu_name)
    interval_j = (cpu_s * used.low_w, cpu_s * used.high_w)
    energy_j = cpu_s * used.typical_w
    return Reading(
        energy_j=energy_j,
        energy_ci95_j=interval_j,
        idle_j=None,
        net_j=energy_j,
        net_ci95_j=interval_j,
        evidence="modelled",
        covers="CPU cores above idle",
        samples=0,
        window_s=window_s,
        reason=(
            f"modelled: {cpu_s:.4g} CPU s × {used.typical_w:g} W per core ({used.low_w:g} to {used.high_w:g} W, "
            f"{used.name}; {used.source})"
        ),
    )
