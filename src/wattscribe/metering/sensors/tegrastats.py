"""NVIDIA's tegrastats as it runs; one line is read in `tegrastats_line`, a recorded log in `tegrastats_log`."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence

from wattscribe.errors import MeterError
from wattscribe.metering.base import Channel, Clock, Probe
from wattscribe.metering.host import Host, Lines
from wattscribe.metering.sensors import rails
from wattscribe.metering.sensors.tegrastats_line import MAX_RAIL_W, rails_w
from wattscribe.metering.sensors.tegrastats_log import STEP_W

NAME = "tegrastats"
INTERVAL_S = 0.093
"""Asked of a live tegrastats; its own default is 1 s. Not 100 ms: a load with a period of 100, 200 or 250 ms would be seen
at the same few moments of it each time."""
FIRST_LINE_TIMEOUT_S = 3.0
STALE_INTERVALS = 5.0
"""A last line older than this many intervals is a failed read."""
_LOG = logging.getLogger(__name__)


class TegrastatsMeter:
    """A running tegrastats; a thread keeps its last line, `read` gives W from it and None where it is too old."""

    name = NAME

    def __init__(self, lines: Lines, clock: Clock, interval_s: float = INTERVAL_S) -> None:
        self._clock = clock
        self._interval_s = interval_s
        self._lines = lines
        self._lock = threading.Lock()
        self._last: tuple[float, Mapping[str, float]] | None = None
        self._ended: str | None = None
        self._first = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="wattscribe-tegrastats", daemon=True)
        self._thread.start()
        self._first.wait(FIRST_LINE_TIMEOUT_S)
        with self._lock:
            self._names: list[str] = list(self._last[1]) if self._last is not None else []
        if not self._names:
            self.close()
            raise MeterError("tegrastats prints no power rail; some are shown to root only", where=NAME)

    def channels(self) -> Sequence[Channel]:
        return [
            rails.describe(name).channel(
                name,
                update_interval_s=self._interval_s,
                resolution=STEP_W,
                averaging_s=0.0,
                ceiling_w=MAX_RAIL_W,
            )
            for name in self._names
        ]

    def read(self) -> Sequence[float | None]:
        with self._lock:
            last, ended = self._last, self._ended
        if last is None or (ended and self._is_stale(last[0])):
            raise MeterError(ended or "tegrastats prints no power rail", where=NAME)
        if self._is_stale(last[0]):
            return [None] * len(self._names)
        return [last[1].get(name) for name in self._names]

    def close(self) -> None:
        self._lines.close()
        self._thread.join(timeout=2.0)

    def _is_stale(self, t_s: float) -> bool:
        return self._clock.now_s() - t_s > STALE_INTERVALS * self._interval_s

    def _follow(self) -> None:
        """Until the program ends. Whatever ends it otherwise is kept, so that reads fail with that reason."""
        why = "tegrastats has ended"
        try:
            for line in self._lines:
                power_by_rail = rails_w(line)
                if power_by_rail:
                    with self._lock:
                        self._last = (self._clock.now_s(), power_by_rail)
                    self._first.set()
        except Exception as error:  # noqa: BLE001 - a thread must not die in silence
            why = f"tegrastats cannot be followed any more: {type(error).__name__}: {error}"
            _LOG.warning("%s", why)
        with self._lock:
            self._ended = why
        self._first.set()


def probe(host: Host) -> Probe:
    """Start tegrastats for one line."""
    try:
        meter = open_meter(host)
    except MeterError as error:
        installed = error.what != "this program is not installed"
        if not installed:
            return Probe(meter=NAME, available=False, reason="tegrastats is not installed (Jetson only)")
        return Probe(meter=NAME, available=False, reason=str(error), fix="run as root: sudo wattscribe meters")
    try:
        channels = tuple(meter.channels())
    finally:
        meter.close()
    names = [channel.name for channel in channels]
    words = [f"{len(names)} rails: {', '.join(names)}", "opened only where the sensors themselves cannot be read"]
    if note := rails.without_total(channels):
        words.append(note)
    return Probe(meter=NAME, available=True, reason="; ".join(words), channels=channels)


def open_meter(host: Host) -> TegrastatsMeter:
    """Raises MeterError where tegrastats is missing or prints no rail."""
    lines = host.commands.stream([NAME, "--interval", str(round(INTERVAL_S * 1e3))])
    return TegrastatsMeter(lines, host.clock)
