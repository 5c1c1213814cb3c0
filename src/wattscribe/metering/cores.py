"""What a busy core draws above an idle one, by the CPU's name: watts with a range, where they come from, and when.

Three kinds of source: a board or a rail measured idle and with every core busy, divided by its cores (`on_silicon`); what a
maker states (thermal design power, a core's power at a clock); and what is inferred from a like core. None was measured by us.
A CPU that is not in the table has no figure: a guess over all CPUs would span a factor of 50 and look like a result.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

RASPBERRY_PI = "with a USB meter, as published for Raspberry Pi boards idle and under stress on four cores"


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreProfile:
    """What one busy core draws above an idle one, in W: the typical value and the range in which we expect it."""

    name: str
    typical_w: float
    low_w: float
    high_w: float
    source: str
    year: int
    """Of the source."""
    on_silicon: bool
    """Measured on a part; False: a maker's statement or inferred."""
    matches: tuple[str, ...] = ()
    """Regular expressions on the CPU's name, any letter case."""
    machines: tuple[str, ...] = ()
    """The same on the machine's name, asked only where the CPU's name tells nothing."""

    @property
    def basis(self) -> str:
        """For people: `2020, measured on silicon: …`."""
        return f"{self.year}, {'measured on silicon' if self.on_silicon else 'not measured on silicon'}: {self.source}"


PROFILES = (
    CoreProfile(
        name="Cortex-A53", typical_w=0.5, low_w=0.15, high_w=0.8, year=2018, on_silicon=True,
        source=f"Raspberry Pi 3 B 1.4 W idle, 3.7 W busy = 0.58 W per core, {RASPBERRY_PI}; less at lower clocks",
        matches=(r"cortex-a53\b", r"bcm2710"), machines=(r"raspberry pi 3", r"raspberry pi zero 2"),
    ),
    CoreProfile(
        name="Cortex-A55 class", typical_w=0.4, low_w=0.1, high_w=0.8, year=2026, on_silicon=False,
        source="inferred from Cortex-A53: the same place in the line, newer nodes, higher clocks",
        matches=(r"cortex-a(35|55|510|520)\b", r"kryo-\d.x-silver"),
    ),
    CoreProfile(
        name="Cortex-A57", typical_w=0.9, low_w=0.4, high_w=2.0, year=2019, on_silicon=False,
        source="inferred: Jetson Nano data sheet, four cores at 1.43 GHz and a GPU inside 10 W; high end: phones at 1.9 GHz",
        matches=(r"cortex-a57\b", r"denver"), machines=(r"jetson[ -]nano", r"jetson[ -]tx[12]"),
    ),
    CoreProfile(
        name="Cortex-A72", typical_w=0.95, low_w=0.5, high_w=1.6, year=2019, on_silicon=True,
        source=f"Raspberry Pi 4 B 2.7 W idle, 6.4 W busy = 0.93 W per core, {RASPBERRY_PI}",
        matches=(r"cortex-a72\b", r"bcm2711"), machines=(r"raspberry pi (4|400)\b", r"compute module 4"),
    ),
    CoreProfile(
        name="Cortex-A73 to A75", typical_w=0.95, low_w=0.4, high_w=1.8, year=2026, on_silicon=False,
        source="inferred: between Cortex-A72 and Cortex-A76",
        matches=(r"cortex-a7[35]\b",),
    ),
    CoreProfile(
        name="Cortex-A76", typical_w=1.1, low_w=0.6, high_w=1.8, year=2023, on_silicon=True,
        source=f"Raspberry Pi 5 about 3 W idle, 7 to 8 W busy = 1.1 W per core, {RASPBERRY_PI}",
        matches=(r"cortex-a7(6|6ae|7)\b", r"bcm2712", r"raspberry pi 5"),
        machines=(r"raspberry pi (5|500)\b", r"compute module 5"),
    ),
    CoreProfile(
        name="Cortex-A78", typical_w=0.9, low_w=0.4, high_w=2.0, year=2025, on_silicon=True,
        source=(
            "AGX Orin's CPU rail under stress, as published in NVIDIA's developer forum: 1.6 W with 4 cores (15 W mode), 5.6 W "
            "with 8 (30 W), 15.2 W with 12 (MAXN) = 0.4, 0.7 and 1.3 W per core"
        ),
        matches=(r"cortex-a7(8|8ae|8c|10|15|20|25)\b", r"jetson.*orin", r"\borin\b"), machines=(r"\borin\b",),
    ),
    CoreProfile(
        name="Carmel", typical_w=1.5, low_w=0.6, high_w=3.0, year=2019, on_silicon=False,
        source="inferred: Jetson AGX Xavier data sheet, eight cores inside modes of 10, 15 and 30 W with a GPU beside them",
        matches=(r"\bcarmel\b",), machines=(r"xavier",),
    ),
    CoreProfile(
        name="Neoverse and other Arm servers", typical_w=1.8, low_w=0.8, high_w=4.0, year=2021, on_silicon=False,
        source=(
            "Arm's statement for Neoverse N1 in 7 nm: 1.0 W at 2.6 GHz to 1.8 W at 3.1 GHz (AnandTech, 2021: within 10 % of "
            "silicon, V1 1.5 to 2.1 times as much); Altra Q80-33 250 W over 80 cores = 3.1 W"
        ),
        matches=(r"neoverse", r"ampere", r"\baltra\b", r"graviton", r"kunpeng", r"thunderx"),
    ),
    CoreProfile(
        name="Intel N-series", typical_w=3.0, low_w=1.0, high_w=6.3, year=2023, on_silicon=False,
        source="inferred: Intel N100 data sheet, 6 W over 4 cores; makers of mini PCs set limits of 15 to 25 W",
        matches=(r"\bn(50|9[57]|1[05]0|200|250|350|355)\b", r"\bi3-n3\d\d\b", r"(celeron|pentium).*\b[nj]\d{4}\b"),
    ),
    CoreProfile(
        name="Intel Atom", typical_w=2.0, low_w=0.5, high_w=6.5, year=2017, on_silicon=False,
        source="inferred: Intel data sheets, x5-Z8350 2 W over 4 cores, C3758 25 W over 8, D525 13 W over 2",
        matches=(r"\batom\b",),
    ),
    CoreProfile(
        name="Apple silicon", typical_w=5.0, low_w=0.3, high_w=8.0, year=2020, on_silicon=False,
        source=(
            "quoted, not checked: Mac mini M1 at the wall 4.2 W idle, 10.5 W with one busy thread = 6.3 W, its DRAM and supply "
            "included; the low end is an efficiency core"
        ),
        matches=(r"\bapple\b", r"virtualapple"),
    ),
    CoreProfile(
        name="Snapdragon X, Oryon", typical_w=4.0, low_w=1.2, high_w=12.0, year=2024, on_silicon=False,
        source="inferred: Snapdragon X Elite, twelve cores in laptops of 23 to 80 W; one core at its highest clock draws more",
        matches=(r"oryon", r"snapdragon.*\bx\b", r"\bx1[ep]-?\d"),
    ),
    CoreProfile(
        name="Snapdragon and Cortex-X", typical_w=1.5, low_w=0.15, high_w=5.0, year=2021, on_silicon=False,
        source="inferred: from a small core as Cortex-A55 to the one fast core of a phone of 5 W in all",
        matches=(r"snapdragon", r"kryo", r"qualcomm", r"cortex-x\d"),
    ),
    CoreProfile(
        name="server x86", typical_w=4.5, low_w=2.0, high_w=9.0, year=2024, on_silicon=False,
        source="inferred: thermal design power per core of current EPYC (3 to 6 W) and Xeon Scalable (4 to 9 W) processors",
        matches=(r"epyc", r"xeon", r"threadripper", r"opteron"),
    ),
    CoreProfile(
        name="laptop or desktop x86", typical_w=5.0, low_w=1.5, high_w=15.0, year=2024, on_silicon=False,
        source="inferred: package limits of 15 to 45 W over 4 to 10 cores; one busy core at turbo clock draws more",
        matches=(r"core\(tm\)", r"core.*ultra", r"ryzen", r"\bi[3579]-", r"pentium", r"celeron", r"athlon"),
    ),
)  # fmt: skip
"""The first that matches holds: the narrow ones come first."""


def profile_for(cpu_name: str | None, machine: str | None = None) -> CoreProfile | None:
    """The profile of a CPU by its name, else by the machine's; None where neither is known.

    A CPU of several kinds of cores (`4 × Cortex-A55 + 4 × Cortex-A76`) has the range of all of them, since nobody records on
    which core the work ran, and the typical value of the strongest, to which systems move sustained work.
    """
    kinds = [_by_name(part) for part in (cpu_name or "").split(" + ")]
    known = [kind for kind in dict.fromkeys(kinds) if kind is not None]
    if known and None not in kinds:
        return known[0] if len(known) == 1 else _spanning(known)
    if known:
        return None  # a kind of core that is not in the table may be the one that worked
    return next((profile for profile in PROFILES if _matches(profile.machines, machine or "")), None)


def _by_name(name: str) -> CoreProfile | None:
    return next((profile for profile in PROFILES if _matches(profile.matches, name)), None)


def _matches(patterns: tuple[str, ...], name: str) -> bool:
    return any(re.search(pattern, name, re.IGNORECASE) for pattern in patterns)


def _spanning(kinds: list[CoreProfile]) -> CoreProfile:
    strongest = max(kinds, key=lambda kind: kind.typical_w)
    return CoreProfile(
        name=" and ".join(kind.name for kind in kinds),
        typical_w=strongest.typical_w,
        low_w=min(kind.low_w for kind in kinds),
        high_w=max(kind.high_w for kind in kinds),
        source="; ".join(f"{kind.name}: {kind.source}" for kind in kinds),
        year=max(kind.year for kind in kinds),
        on_silicon=all(kind.on_silicon for kind in kinds),
    )
