"""What a sensor's figures cannot say: what happens between two reads of an instant, and what its scale may be off by."""

from __future__ import annotations

from dataclasses import replace

from wattscribe.metering.base import Channel, Probe
from wattscribe.metering.sampler import DEFAULT_RATE_HZ
from wattscribe.metering.window.signal import RESOLVED_SHARE

CHIP_AVERAGES = (1, 4, 16, 64, 128, 256, 512, 1024)
"""What an INA3221 or INA238 can average over (TI data sheets SBOS576, SBOSA20: AVG field)."""


def shows_instants(channel: Channel, rate_hz: float = DEFAULT_RATE_HZ) -> bool:
    """Whether something can happen between two reads that no value has seen; False where the averaging span is unknown."""
    if channel.kind == "energy" or channel.averaging_s is None:
        return False
    return channel.averaging_s < RESOLVED_SHARE * max(channel.update_interval_s, 1.0 / rate_hz)


def averages_needed(update_interval_s: float, samples: int, rate_hz: float = DEFAULT_RATE_HZ) -> int | None:
    """The smallest average with which a chip, now averaging `samples`, has seen everything between two reads; None: none does."""
    one_s = update_interval_s / samples
    return next((count for count in CHIP_AVERAGES if count * one_s * rate_hz >= 1.0), None)


def with_instants(probe: Probe, *, fix: str | None = None) -> Probe:
    """The probe with its instant rails named, what that means, and the command that makes them average, where there is one."""
    named = tuple(channel.name for channel in probe.channels if shows_instants(channel))
    if not named or probe.instants:
        return probe
    who = "all of them" if 1 < len(named) == len(probe.channels) else ", ".join(named)
    words = f"{who} show{'s' if len(named) == 1 else ''} instants: a change of load between two reads is unseen"
    if fix is None:
        words += "; measure windows of 100 reads or more, or read faster (sample_rate_hz)"
    return replace(probe, reason=f"{probe.reason}; {words}", fix=probe.fix or fix, instants=named)


_INA3221 = "about 1 % (INA3221 with its shunt; inferred from TI's data sheet and 1 % shunts)"
GAIN_ERRORS = {
    "ina3221": _INA3221,
    "ina3221-iio": _INA3221,
    "tegrastats": _INA3221,
    "ina238": "about 1 % (its shunt; inferred)",
    "nvml": "5 % (NVIDIA's documentation, for power)",
}
"""What a meter's scale may be off by: the same in every trial on one board, so it is stated beside an interval and not in it.

RAPL, the Raspberry Pi's PMIC and batteries publish none."""


def gain_error(meter: str | None) -> str:
    """In words, for what a kind of sensor shows."""
    return GAIN_ERRORS.get(meter or "", "not published by its maker")
