"""What it costs: `sensors`, a sampler, the arithmetic of a `window`, `recordings` of other meters, memory, and the machine's
description."""

from wattscribe.metering.base import Channel, Clock, Meter, MonotonicClock, PacedMeter, Probe
from wattscribe.metering.discovery import open_meters, probe
from wattscribe.metering.host import Host
from wattscribe.metering.sampler import Sampler
from wattscribe.metering.window.signal import join

__all__ = [
    "Channel", "Clock", "Host", "Meter", "MonotonicClock", "PacedMeter", "Probe", "Sampler", "join", "open_meters",
    "probe",
]  # fmt: skip
