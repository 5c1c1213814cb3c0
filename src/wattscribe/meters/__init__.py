"""What it costs: one file per sensor, a sampler, the arithmetic of windows, memory, and the machine's description."""

from wattscribe.meters.base import Channel, Clock, Meter, MonotonicClock, PacedMeter, Probe
from wattscribe.meters.discovery import open_meters, probe
from wattscribe.meters.host import Host
from wattscribe.meters.sampler import Sampler
from wattscribe.meters.signal import join

__all__ = [
    "Channel",
    "Clock",
    "Host",
    "Meter",
    "MonotonicClock",
    "PacedMeter",
    "Probe",
    "Sampler",
    "join",
    "open_meters",
    "probe",
]
