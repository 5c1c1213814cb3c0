"""What each rail of a Jetson board covers, by its name: rails lie inside each other, so a name decides what may be added up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from wattscribe.errors import MeterError
from wattscribe.metering.base import Channel, Meter, Probe
from wattscribe.records import Processor


@dataclass(frozen=True, slots=True, kw_only=True)
class Rail:
    """`total`: the rail stands for the module or the board. `processors`: those that a part of it feeds."""

    covers: str
    total: bool = False
    processors: tuple[Processor, ...] = ()

    def channel(
        self,
        name: str,
        *,
        update_interval_s: float,
        averaging_s: float | None,
        ceiling_w: float | None,
        resolution: float | None = None,
    ) -> Channel:
        """The rail as a channel of power, read as its sensor reads it."""
        return Channel(
            name=name,
            covers=self.covers,
            kind="power",
            total=self.total,
            update_interval_s=update_interval_s,
            processors=self.processors,
            averaging_s=averaging_s,
            ceiling_w=ceiling_w,
            resolution=resolution,
        )


RAILS = {
    # Totals. Rails below them overlap with them.
    "VDD_IN": Rail(covers="module total", total=True),
    "POM_5V_IN": Rail(covers="module total (5 V input)", total=True),
    "VIN": Rail(covers="board input", total=True),
    # Parts.
    "VDD_CPU_GPU_CV": Rail(
        covers="CPU, GPU and vision cores together (neither CPU nor GPU alone)", processors=("cpu", "gpu")
    ),
    "VDD_SOC": Rail(covers="SoC without CPU and GPU"),
    "VDD_GPU_SOC": Rail(covers="GPU and SoC together", processors=("gpu",)),
    "VDD_CPU_CV": Rail(covers="CPU and vision cores together", processors=("cpu",)),
    "VDD_CPU_SOC_MSS": Rail(covers="CPU, SoC and memory subsystem together", processors=("cpu",)),
    "VDDQ_VDD2_1V8AO": Rail(covers="DRAM and always-on supplies"),
    "VIN_SYS_5V0": Rail(covers="5 V system rail (a part, not the module's total)"),
    "POM_5V_GPU": Rail(covers="GPU", processors=("gpu",)),
    "POM_5V_CPU": Rail(covers="CPU", processors=("cpu",)),
    "VDD_CPU": Rail(covers="CPU", processors=("cpu",)),
    "VDD_GPU": Rail(covers="GPU", processors=("gpu",)),
    "VDD_DDR": Rail(covers="DRAM"),
    "VDDRQ": Rail(covers="DRAM"),
    "CPU": Rail(covers="CPU", processors=("cpu",)),
    "GPU": Rail(covers="GPU", processors=("gpu",)),
    "SOC": Rail(covers="SoC without CPU and GPU"),
    "CV": Rail(covers="vision cores"),
    "SYS5V": Rail(covers="5 V system rail (a part, not the module's total)"),
}
"""Sources: NVIDIA's Jetson Linux developer guide (power rails per module); tegrastats output of each generation."""

NOT_RAILS = frozenset({"NC", "SUM OF SHUNT VOLTAGES"})
"""Labels of channels that are wired to nothing or hold a sum of the others."""


def normal_name(label: str) -> str:
    """One spelling: NVIDIA's labels differ in case and blanks between releases."""
    return label.strip().upper().replace(" ", "_")


def is_rail(label: str | None) -> bool:
    """False for a channel without a label, NC, and the chip's sum."""
    return bool(label and label.strip()) and str(label).strip().upper() not in NOT_RAILS


def describe(label: str) -> Rail:
    """The rail by its name; an unknown one is a part that covers what its name says."""
    return RAILS.get(normal_name(label), Rail(covers=f"rail {label.strip()}"))


def without_total(channels: Sequence[Channel]) -> str | None:
    """Words for a board whose rails have no total among them, or None."""
    if not channels or any(channel.total for channel in channels):
        return None
    return "none of them covers the whole module; they are parts, and they are not added up"


class RailMeter(Meter, Protocol):
    """A meter of named rails that knows whether its last reads were forbidden."""

    @property
    def forbidden(self) -> bool: ...


def _now(channels: Sequence[Channel], values: Sequence[float | None]) -> list[str]:
    """Each rail by name; one whose value cannot be true says so instead of its power."""
    words = []
    for channel, value in zip(channels, values, strict=True):
        if value is None or channel.kind == "energy":
            words.append(channel.name)
        elif channel.is_possible_w(value):
            words.append(f"{channel.name} {value:.4g} W")
        else:
            words.append(f"{channel.name} (shows {value:.4g} W, which cannot be)")
    return words


def probe_of(name: str, meter: RailMeter, fix: str, *, left_out: Sequence[str] = ()) -> Probe:
    """Read once and say what came: every rail, some, or none and why."""
    channels = tuple(meter.channels())
    names = [channel.name for channel in channels]
    try:
        values = list(meter.read())
    except MeterError:
        values = [None] * len(names)
    if all(value is None for value in values):
        if meter.forbidden:
            return Probe(meter=name, available=False, reason="the rails may be read by root only", fix=fix)
        return Probe(meter=name, available=False, reason=f"every read failed ({', '.join(names)})")
    words = [f"{len(names)} rail{'s' if len(names) > 1 else ''}: {', '.join(_now(channels, values))}"]
    failing = [name for name, value in zip(names, values, strict=True) if value is None]
    if failing:
        words.append(f"not readable now: {', '.join(failing)}")
    if note := without_total(channels):
        words.append(note)
    if left_out:
        words.append(f"left out: {', '.join(left_out)}")
    return Probe(meter=name, available=True, reason="; ".join(words), channels=channels)
