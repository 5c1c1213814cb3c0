"""An external meter (Monsoon, Joulescope, Otii, PowerSensor3, USB meters): its recording has a clock of its own."""

from __future__ import annotations

from wattscribe.metering.base import Probe
from wattscribe.metering.host import Host
from wattscribe.metering.recordings import COVERS, NAME, Recording
from wattscribe.metering.recordings import read as read_csv

__all__ = ["COVERS", "NAME", "Recording", "probe", "read_csv"]


def probe(host: Host) -> Probe:
    """Always a row: an external meter needs no sensor here, but a recording."""
    return Probe(
        meter=NAME,
        available=False,
        reason="no recording given; any meter that exports CSV with time and power, or voltage and current, will do",
        fix="wattscribe bench --mark …, then wattscribe meters attach runs/NAME FILE.csv",
    )
