"""A thread that reads meters at a steady rate, at unsteady instants, and keeps what it read as traces: no drift, no zeros."""

from __future__ import annotations

import logging
import math
import random
import threading
from collections.abc import Sequence
from dataclasses import replace

from wattscribe.errors import InputError, MeterError
from wattscribe.metering.base import Channel, Clock, DoubtfulMeter, Meter, MonotonicClock, PacedMeter
from wattscribe.metering.counter import CounterEdges
from wattscribe.records import Evidence, PowerTrace

MAX_RATE_HZ = 1000.0
DEFAULT_RATE_HZ = 20.0
_LOG = logging.getLogger(__name__)


class _ChannelLog:
    """What one channel said since the last drain. `update_interval_s` of the trace is at least the time between reads."""

    __slots__ = ("_counter", "channel", "failed_s", "impossible", "power_w", "t_s")

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.t_s: list[float] = []
        self.power_w: list[float] = []
        self.failed_s: list[float] = []
        self.impossible = 0
        """Values that no such part can draw: left out, as failed reads and jumps are."""
        is_counter = channel.kind == "energy"
        self._counter = CounterEdges(channel.update_interval_s, channel.ceiling_w) if is_counter else None

    def add(self, t_s: float, value: float | None) -> None:
        if value is None:
            self.failed_s.append(t_s)
        elif self._counter is None:
            if not self.channel.is_possible_w(value):
                self.impossible += 1
                self.failed_s.append(t_s)
                return
            self.t_s.append(t_s)
            self.power_w.append(value)
        else:
            for edge_s, power_w in self._counter.see(t_s, value):
                self.impossible += math.isnan(power_w)
                self.t_s.append(edge_s)
                self.power_w.append(power_w)

    def take(self, name: str, meter: str) -> PowerTrace:
        channel, is_counter = self.channel, self._counter is not None
        trace = PowerTrace(
            channel=name,
            covers=channel.covers,
            total=channel.total,
            update_interval_s=channel.update_interval_s,
            evidence=channel.evidence,
            t_s=tuple(self.t_s),
            power_w=tuple(self.power_w),
            resolution_w=None if is_counter else channel.resolution,
            averaging_s=channel.averaging_s,
            interval_means=is_counter,
            failed_t_s=tuple(self.failed_s),
            processors=channel.processors,
            gpu_index=channel.gpu_index,
            meter=meter,
        )
        self.t_s, self.power_w, self.failed_s = [], [], []
        return trace


class _MeterLog:
    """One meter with its channels and its own pace."""

    __slots__ = ("at_s", "broken", "channels", "due_s", "error", "failures", "logs", "meter", "period_s", "reads")

    def __init__(self, meter: Meter, period_s: float, evidence: Evidence | None = None) -> None:
        self.meter = meter
        self.period_s = max(period_s, meter.min_period_s) if isinstance(meter, PacedMeter) else period_s
        channels = [
            channel if evidence is None else replace(channel, evidence=evidence) for channel in meter.channels()
        ]
        self.logs = [_ChannelLog(channel) for channel in channels]
        self.due_s = -math.inf
        """The start of the period in which the next read lies."""
        self.at_s = -math.inf
        """When in that period the thread reads."""
        self.reads = 0
        self.failures = [0] * len(self.logs)
        self.error: str | None = None
        self.broken = False

    def read(self, clock: Clock) -> None:
        """One round. The stamp is the middle of the read: a sensor behind a slow bus answers somewhere within it."""
        before_s = clock.now_s()
        values = self._values()
        middle_s = (before_s + clock.now_s()) / 2
        self.reads += 1
        for index, log in enumerate(self.logs):
            value = values[index] if index < len(values) else None
            self.failures[index] += value is None
            log.add(middle_s, value)

    def _values(self) -> list[float | None]:
        """What the meter says; nothing where it fails. One broken sensor must not end the sampling of the others."""
        if not self.broken:
            try:
                return [None if value is None else float(value) for value in self.meter.read()]
            except (MeterError, OSError, ValueError) as error:
                self.error = str(error)
            except Exception as error:  # noqa: BLE001 - no failing sensor but a mistake in the meter: it is asked no more
                self.broken = True
                self.error = f"{type(error).__name__}: {error}"
                _LOG.warning("%s broke and is read no more: %s", self.meter.name, self.error)
        return [None] * len(self.logs)


class Sampler:
    """Reads meters in the background between `start` and `stop`; `drain` hands over what came since the last drain.

    Periods are absolute, so that the rate does not drift; one that has passed is left out, not made up for. Within each the
    thread reads once, at an instant drawn evenly from it: at a steady beat a load with a beat of its own (live chunks of 100,
    200 or 250 ms) would be met at the same few moments of it every time, and no interval could tell. Slower meters are read
    when the fastest are next, as waking up costs more than reading. The generator is the sampler's own, seeded with `seed`. A
    channel is named `meter.channel`. Use it as a context manager, or step it under a fake clock: with `read_once` at times of
    your own, or with `sleep_and_read` at those of the thread. `evidence`: in place of what the channels say of themselves.
    """

    def __init__(
        self,
        meters: Sequence[Meter],
        rate_hz: float = DEFAULT_RATE_HZ,
        clock: Clock | None = None,
        *,
        seed: int = 0,
        evidence: Evidence | None = None,
    ) -> None:
        if not 0 < rate_hz <= MAX_RATE_HZ:
            raise InputError(f"the sampling rate must be above 0 and at most {MAX_RATE_HZ:g} Hz, not {rate_hz}")
        self.rate_hz = rate_hz
        self._instants = random.Random(seed)
        self._drawn: dict[float, tuple[float, float]] = {}
        """Of each length of period: the start of the one that was drawn for last, and the place in it."""
        self._clock: Clock = clock if clock is not None else MonotonicClock()
        self._meters = [_MeterLog(meter, 1.0 / rate_hz, evidence) for meter in meters]
        self._names = _unique_names(meters)
        self._lock = threading.Lock()
        self._fastest_s = min((meter.period_s for meter in self._meters), default=1.0 / rate_hz)
        self._running = threading.Lock()
        """Held while the thread shall read: to wait for it is to sleep, in one call of the system's."""
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Sampler:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to read; a second start while running changes nothing."""
        if self._thread is not None or not self._meters:
            return
        self._running.acquire()
        self._thread = threading.Thread(target=self._run, name="wattscribe-sampler", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Read no more. What was read stays until `drain`; the meters stay open and belong to the caller."""
        if self._thread is None:
            return
        self._running.release()
        self._thread.join()
        self._thread = None

    def drain(self) -> list[PowerTrace]:
        """One trace per channel with what came since the last drain, also an empty one: its failed reads count."""
        with self._lock:
            return [
                log.take(name, meter.meter.name)
                for meter, names in zip(self._meters, self._names, strict=True)
                for log, name in zip(meter.logs, names, strict=True)
            ]

    def failures(self) -> dict[str, int]:
        """Failed reads per channel since the start."""
        with self._lock:
            return {
                name: count
                for meter, names in zip(self._meters, self._names, strict=True)
                for name, count in zip(names, meter.failures, strict=True)
            }

    def errors(self) -> dict[str, str]:
        """The last error of each meter that could not be read at all, what a meter says against its own values, and the
        channels that showed what cannot be; one that broke is read no more."""
        with self._lock:
            errors = {meter.meter.name: meter.error for meter in self._meters if meter.error is not None}
            for meter, names in zip(self._meters, self._names, strict=True):
                for name, log in zip(names, meter.logs, strict=True):
                    if log.impossible:
                        errors[name] = _in_words(log)
                if isinstance(meter.meter, DoubtfulMeter):
                    errors.update(meter.meter.doubts())
            return errors

    def read_once(self) -> None:
        """Read now every meter whose next period has begun."""
        now_s = self._clock.now_s()
        for meter in self._meters:
            if meter.due_s <= now_s + 1e-9:
                self._read(meter)

    def sleep_and_read(self) -> None:
        """What the thread does once: wait for the next instant and read the meters whose instant it is."""
        wait_s = self._next_read_s() - self._clock.now_s()
        if wait_s > 0:
            self._clock.sleep(wait_s)
        self._read_due()

    def _run(self) -> None:
        while True:
            wait_s = self._next_read_s() - self._clock.now_s()
            if self._running.acquire(timeout=max(0.0, wait_s)):
                self._running.release()
                return
            self._read_due()

    def _next_read_s(self) -> float:
        now_s = self._clock.now_s()
        for meter in self._meters:
            if math.isinf(meter.due_s):
                self._begin_period(meter, now_s)
        return min(meter.at_s for meter in self._meters if meter.period_s == self._fastest_s)

    def _read_due(self) -> None:
        now_s = self._clock.now_s()
        for meter in self._meters:
            if meter.at_s <= now_s + 1e-9:
                self._read(meter)

    def _read(self, meter: _MeterLog) -> None:
        due_s = self._clock.now_s() if math.isinf(meter.due_s) else meter.due_s
        with self._lock:
            meter.read(self._clock)
        late_s = 0.0 if meter.period_s == self._fastest_s else 2 * self._fastest_s  # it may have waited for the fastest
        self._begin_period(meter, _next_period_s(due_s, meter.period_s, self._clock.now_s() - late_s))

    def _begin_period(self, meter: _MeterLog, due_s: float) -> None:
        """Meters of one pace share the instant: waking up for each costs more than reading it."""
        meter.due_s = due_s
        drawn = self._drawn.get(meter.period_s)
        if drawn is None or drawn[0] != due_s:
            drawn = self._drawn[meter.period_s] = (due_s, self._instants.random())
        meter.at_s = due_s + drawn[1] * meter.period_s


def _in_words(log: _ChannelLog) -> str:
    ceiling_w = log.channel.ceiling_w
    above = "" if ceiling_w is None else f" (it cannot draw more than {ceiling_w:.4g} W)"
    if log.channel.kind == "energy":
        return f"the counter jumped or was set back, {log.impossible} times{above}: what was drawn then is not known"
    return f"{log.impossible} impossible values are left out{above}"


def _next_period_s(due_s: float, period_s: float, now_s: float) -> float:
    """The start of the next period of the grid due + k·period that is not yet past."""
    return due_s + (max((now_s - due_s) // period_s, 0.0) + 1) * period_s


def _unique_names(meters: Sequence[Meter]) -> list[list[str]]:
    """`meter.channel`; two meters of one name are numbered, so that their traces are not joined."""
    seen: dict[str, int] = {}
    names = []
    for meter in meters:
        seen[meter.name] = seen.get(meter.name, 0) + 1
        prefix = meter.name if seen[meter.name] == 1 else f"{meter.name}#{seen[meter.name]}"
        names.append([f"{prefix}.{channel.name}" for channel in meter.channels()])
    return names
