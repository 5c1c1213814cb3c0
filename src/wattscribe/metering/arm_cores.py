"""Names of Arm cores from what /proc/cpuinfo gives: the implementer's number and the core's part number (MIDR).

The numbers are those of the Linux kernel's cputype.h and of util-linux's lscpu. A part number means nothing without its
implementer: 0xd40 is a Neoverse-V1 of Arm's and another core of HiSilicon's, 0x001 an Oryon of Qualcomm's and an A64FX.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

IMPLEMENTERS = {
    "0x41": "Arm", "0x42": "Broadcom", "0x43": "Cavium", "0x46": "Fujitsu", "0x48": "HiSilicon", "0x4e": "NVIDIA",
    "0x51": "Qualcomm", "0x53": "Samsung", "0x61": "Apple", "0x6d": "Microsoft", "0xc0": "Ampere",
}  # fmt: skip
_ARM = {
    "0xc07": "Cortex-A7", "0xc08": "Cortex-A8", "0xc09": "Cortex-A9", "0xc0f": "Cortex-A15", "0xc0e": "Cortex-A17",
    "0xb76": "ARM1176", "0xd01": "Cortex-A32", "0xd03": "Cortex-A53", "0xd04": "Cortex-A35", "0xd05": "Cortex-A55",
    "0xd07": "Cortex-A57", "0xd08": "Cortex-A72", "0xd09": "Cortex-A73", "0xd0a": "Cortex-A75", "0xd0b": "Cortex-A76",
    "0xd0c": "Neoverse-N1", "0xd0d": "Cortex-A77", "0xd0e": "Cortex-A76AE", "0xd40": "Neoverse-V1",
    "0xd41": "Cortex-A78", "0xd42": "Cortex-A78AE", "0xd44": "Cortex-X1", "0xd46": "Cortex-A510",
    "0xd47": "Cortex-A710", "0xd48": "Cortex-X2", "0xd49": "Neoverse-N2", "0xd4a": "Neoverse-E1",
    "0xd4b": "Cortex-A78C", "0xd4c": "Cortex-X1C", "0xd4d": "Cortex-A715", "0xd4e": "Cortex-X3", "0xd4f": "Neoverse-V2",
    "0xd80": "Cortex-A520", "0xd81": "Cortex-A720", "0xd82": "Cortex-X4", "0xd83": "Neoverse-V3AE",
    "0xd84": "Neoverse-V3", "0xd85": "Cortex-X925", "0xd87": "Cortex-A725", "0xd8e": "Neoverse-N3",
}  # fmt: skip
_QUALCOMM = {
    "0x001": "Snapdragon Oryon", "0x201": "Snapdragon Kryo", "0x205": "Snapdragon Kryo", "0x211": "Snapdragon Kryo",
    "0x800": "Snapdragon Kryo-2XX-Gold", "0x801": "Snapdragon Kryo-2XX-Silver", "0x802": "Snapdragon Kryo-3XX-Gold",
    "0x803": "Snapdragon Kryo-3XX-Silver", "0x804": "Snapdragon Kryo-4XX-Gold", "0x805": "Snapdragon Kryo-4XX-Silver",
    "0xc00": "Falkor", "0xc01": "Saphira",
}  # fmt: skip
_APPLE = {
    "0x020": "Apple Icestorm-A14", "0x021": "Apple Firestorm-A14", "0x022": "Apple Icestorm-M1",
    "0x023": "Apple Firestorm-M1", "0x024": "Apple Icestorm-M1-Pro", "0x025": "Apple Firestorm-M1-Pro",
    "0x028": "Apple Icestorm-M1-Max", "0x029": "Apple Firestorm-M1-Max", "0x030": "Apple Blizzard-A15",
    "0x031": "Apple Avalanche-A15", "0x032": "Apple Blizzard-M2", "0x033": "Apple Avalanche-M2",
}  # fmt: skip
CORES: Mapping[str, Mapping[str, str]] = {
    "0x41": _ARM,
    "0x46": {"0x001": "A64FX"},
    "0x48": {"0xd01": "Kunpeng-920", "0xd40": "Cortex-A76"},
    "0x4e": {"0x000": "Denver", "0x003": "Denver 2", "0x004": "Carmel"},
    "0x51": _QUALCOMM,
    "0x61": _APPLE,
    "0xc0": {"0xac3": "Ampere-1", "0xac4": "Ampere-1a"},
}
"""Core names by implementer and part, both in lower case as the kernel writes them."""


def core_name(implementer: str, part: str) -> str:
    """The core's name; `Apple part 0x034` where only its maker is known, for the makers are few and the parts many."""
    implementer, part = implementer.lower(), part.lower()
    known = CORES.get(implementer, {}).get(part)
    maker = IMPLEMENTERS.get(implementer, f"implementer {implementer}")
    return known or f"{maker} part {part}"


def cores_name(processors: Sequence[Mapping[str, str]]) -> str | None:
    """All cores of a machine by the fields of /proc/cpuinfo: `Cortex-A72`, or `4 × Cortex-A55 + 4 × Cortex-A76` where they
    differ, in the order of the file; None where no processor has both numbers."""
    names = [
        core_name(processor["cpu implementer"], processor["cpu part"])
        for processor in processors
        if processor.get("cpu implementer") and processor.get("cpu part")
    ]
    counts = Counter(names)
    if len(counts) < 2:
        return names[0] if names else None
    return " + ".join(f"{count} × {name}" for name, count in counts.items())
