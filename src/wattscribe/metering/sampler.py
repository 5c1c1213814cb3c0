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
LONGEST_SLEEP_S = 0.2
"""How long `stop` may wait for the thread."""
_LOG = logging.getLogger(__name__)


class _ChannelLog:
    """What one channel said since the last drain. `update_interval_s` of the trace is at least the time between reads."""

    __slots__ = ("_counter", "_surely_w", "channel", "failed_s", "impossible", "power_w", "t_s")

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.t_s: list[float] = []
        self.power_w: list[float] = []
        self.failed_s: list[float] = []
        self.impossible = 0
        """Values that no such part can draw: left out, as failed reads and jumps are."""
        is_counter = channel.kind == "energy"
        self._counter = CounterEdges(channel.update_interval_s, channel.ceiling_w) if is_counter else None
        self._surely_w = math.inf if channel.ceiling_w is None else channel.ceiling_w
        """From 0 to this a power is possible, without asking further."""

    def add(self, t_s: float, value: float | None) -> None:
        if value is None:
            self.failed_s.append(t_s)
        elif self._counter is None:
            if not 0.0 <= value <= self._surely_w and not self.channel.is_possible_w(value):
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
    """One meter with its channels."""

    __slots__ = ("broken", "channels", "error", "failures", "logs", "meter", "names", "period_s")

    def __init__(self, meter: Meter, names: Sequence[str], period_s: float, evidence: Evidence | None = None) -> None:
        self.meter = meter
        self.names = names
        self.period_s = max(period_s, meter.min_period_s) if isinstance(meter, PacedMeter) else period_s
        channels = [
            channel if evidence is None else replace(channel, evidence=evidence) for channel in meter.channels()
        ]
        self.logs = [_ChannelLog(channel) for channel in channels]
        self.failures = [0] * len(self.logs)
        self.error: str | None = None
        self.broken = False

    def read(self, before_s: float, clock: Clock) -> float:
        """One round from `before_s` on; gives the time after it. The stamp is the middle of the read: a sensor behind a slow bus
        answers somewhere within it."""
        values = self._values()
        after_s = clock.now_s()
        middle_s = (before_s + after_s) / 2
        for index, log in enumerate(self.logs):
            value = values[index] if index < len(values) else None
            if value is None:
                self.failures[index] += 1
            log.add(middle_s, value)
        return after_s

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


class _Pace:
    """Meters of one period. They share the instants: waking up for each costs more than reading it."""

    __slots__ = ("at_s", "due_s", "meters", "period_s")

    def __init__(self, period_s: float, meters: Sequence[_MeterLog]) -> None:
        self.period_s = period_s
        self.meters = meters
        self.due_s = -math.inf
        """The start of the period in which the next read lies."""
        self.at_s = -math.inf
        """When in that period the thread reads."""

    def read(self, clock: Clock) -> float:
        """All of them; gives the time after it."""
        now_s = clock.now_s()
        for meter in self.meters:
            now_s = meter.read(now_s, clock)
        return now_s

    def begin(self, due_s: float, drawn: float) -> None:
        """The period that starts then; `drawn`: the place in it, 0 to 1."""
        self.due_s = due_s
        self.at_s = due_s + drawn * self.period_s


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
        self._clock: Clock = clock if clock is not None else MonotonicClock()
        names = _unique_names(meters)
        self._meters = [
            _MeterLog(meter, each, 1.0 / rate_hz, evidence) for meter, each in zip(meters, names, strict=True)
        ]
        periods_s = sorted({meter.period_s for meter in self._meters})
        self._paces = [_Pace(each, [meter for meter in self._meters if meter.period_s == each]) for each in periods_s]
        """The fastest first."""
        self._lock = threading.Lock()
        self._stopping = False
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
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="wattscribe-sampler", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Read no more. What was read stays until `drain`; the meters stay open and belong to the caller."""
        if self._thread is None:
            return
        self._stopping = True
        self._thread.join()
        self._thread = None

    def drain(self) -> list[PowerTrace]:
        """One trace per channel with what came since the last drain, also an empty one: its failed reads count."""
        with self._lock:
            return [
                log.take(name, meter.meter.name)
                for meter in self._meters
                for log, name in zip(meter.logs, meter.names, strict=True)
            ]

    def failures(self) -> dict[str, int]:
        """Failed reads per channel since the start."""
        with self._lock:
            return {
                name: count for meter in self._meters for name, count in zip(meter.names, meter.failures, strict=True)
            }

    def errors(self) -> dict[str, str]:
        """The last error of each meter that could not be read at all, what a meter says against its own values, and the
        channels that showed what cannot be; one that broke is read no more."""
        with self._lock:
            errors = {meter.meter.name: meter.error for meter in self._meters if meter.error is not None}
            for meter in self._meters:
                for name, log in zip(meter.names, meter.logs, strict=True):
                    if log.impossible:
                        errors[name] = _in_words(log)
                if isinstance(meter.meter, DoubtfulMeter):
                    errors.update(meter.meter.doubts())
            return errors

    def read_once(self) -> None:
        """Read now every meter whose next period has begun."""
        now_s = self._clock.now_s()
        for pace in self._paces:
            if pace.due_s <= now_s + 1e-9:
                self._read(pace)

    def sleep_and_read(self) -> None:
        """What the thread does once: wait for the next instant and read the meters whose instant it is."""
        wait_s = self._wait_s()
        if wait_s > 0:
            self._clock.sleep(wait_s)
        self._read_due()

    def _run(self) -> None:
        """Asleep, and not waiting for an event with a limit, which costs twice as much."""
        while not self._stopping:
            if self._wait_s() > LONGEST_SLEEP_S:
                self._clock.sleep(LONGEST_SLEEP_S)
            else:
                self.sleep_and_read()

    def _wait_s(self) -> float:
        """Until the fastest are next."""
        now_s = self._clock.now_s()
        for pace in self._paces:
            if math.isinf(pace.due_s):
                pace.begin(now_s, self._instants.random())
        return self._paces[0].at_s - now_s

    def _read_due(self) -> None:
        now_s = self._clock.now_s()
        for pace in self._paces:
            if pace.at_s <= now_s + 1e-9:
                self._read(pace)

    def _read(self, pace: _Pace) -> None:
        due_s = self._clock.now_s() if math.isinf(pace.due_s) else pace.due_s
        with self._lock:
            after_s = pace.read(self._clock)
        fastest = self._paces[0]
        late_s = 0.0 if pace is fastest else 2 * fastest.period_s  # it may have waited for the fastest
        pace.begin(_next_period_s(due_s, pace.period_s, after_s - late_s), self._instants.random())


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
