"""`with wattscribe.measure() as m`: any code of this process between the runner's sampler and the window's arithmetic."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Sequence
from dataclasses import dataclass

from wattscribe.errors import InputError
from wattscribe.metering import Clock, Host, Meter, MonotonicClock, open_meters, probe
from wattscribe.metering import machine as machines
from wattscribe.metering import window as windows
from wattscribe.metering.modelled import cpu_reading
from wattscribe.metering.sampler import DEFAULT_RATE_HZ
from wattscribe.records import Evidence, Interval, PowerTrace, Reading, Window
from wattscribe.runs.power import Power


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelReading:
    """One rail of the block. Rails lie inside each other: they are never added up."""

    channel: str
    total: bool
    """Whether the rail may stand for the device."""
    reading: Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """What was recorded of one block of code, all times on the monotonic clock."""

    window: Window
    idle_before: Window | None
    cpu_s: float
    traces: tuple[PowerTrace, ...]
    chosen: Reading
    """Of the one rail that stands for the device; `unavailable` with the reasons where there is none."""
    channel: str | None
    """That rail's name."""
    seen_share: float | None
    """How much of the block that rail saw: what failed reads and set-back counters left out is missing in it."""
    channels: tuple[ChannelReading, ...]
    modelled: Reading
    """CPU seconds × watts per core."""


class Measurement:
    """A block of code whose joules are read when it ends. A context manager, entered once.

    The figures are there once the block has ended. One that no sensor can answer is None: never zero, never a guess.
    """

    def __init__(
        self,
        *,
        host: Host | None = None,
        meters: Sequence[Meter] | None = None,
        stated: Sequence[str] = (),
        clock: Clock | None = None,
        idle_s: float = 0.0,
        idle: Measurement | None = None,
        device: str = "cpu",
        sample_rate_hz: float = DEFAULT_RATE_HZ,
    ) -> None:
        """`meters` None: every sensor of `host` that can be read, and what is `stated` (`metering.stated`), opened on entering
        and closed on leaving."""
        if idle_s < 0:
            raise InputError(f"idle_s is {idle_s:g}", fix="Give seconds: 0 or more")
        if idle is not None and idle_s > 0:
            raise InputError("both idle and idle_s are given", fix="Give one of them")
        self._host = host or Host.of_root()
        self._meters, self._stated = meters, stated
        self._clock: Clock = clock or MonotonicClock()
        self._idle = None if idle is None else idle.block
        self._idle_s, self._device, self._rate_hz = idle_s, device, sample_rate_hz
        self._open = contextlib.ExitStack()
        self._power: Power | None = None
        self._block: Block | None = None

    def __enter__(self) -> Measurement:
        if self._power is not None:
            raise InputError("this measurement was already used", fix="Make a new one for each block")
        meters = self._meters
        if meters is None:
            meters = open_meters(host=self._host, stated=self._stated)
            for meter in meters:
                self._open.callback(meter.close)
        evidence: Evidence | None = None if self._host.simulated is None else "simulated"
        try:
            self._power = power = Power.of(
                meters, clock=self._clock, rate_hz=self._rate_hz, evidence=evidence, idle_s=self._idle_s
            )
            self._open.callback(power.stop)
            power.start()
            power.settle()
            self._idle_before = power.rest()
        except BaseException:  # Ctrl-C while idle is measured: the sensors are let go all the same
            self._open.close()
            raise
        self._cpu_before_s, self._start_s = _cpu_s(), self._clock.now_s()
        return self

    def __exit__(self, *_: object) -> None:
        window, cpu_s = Window(start_s=self._start_s, end_s=self._clock.now_s()), _cpu_s() - self._cpu_before_s
        if (power := self._power) is None:
            return
        with self._open:
            power.settle()
            power.stop()
            traces = tuple(trace for trace in power.drain() if trace.t_s or trace.failed_t_s)
        self._block = self._of(window, cpu_s, traces)

    def _of(self, window: Window, cpu_s: float, traces: tuple[PowerTrace, ...]) -> Block:
        before = self._idle_before if self._idle is None else self._idle.window
        pieces = () if self._idle is None else self._idle.traces
        readings = {
            trace.channel: windows.energy(trace, window, idle_before=before, idle_traces=pieces) for trace in traces
        }
        stands = windows.preferred(traces, self._device)
        chosen = self._unavailable(window) if stands is None else readings[stands.channel]
        files = self._host.files
        name, product = machines.cpu_name(files), machines.product(files)
        return Block(
            window=window,
            idle_before=before,
            cpu_s=cpu_s,
            traces=traces,
            chosen=chosen,
            channel=None if stands is None else stands.channel,
            seen_share=None if stands is None or chosen.energy_j is None else windows.seen_share(stands, window),
            channels=tuple(
                ChannelReading(channel=trace.channel, total=trace.total, reading=readings[trace.channel])
                for trace in traces
            ),
            modelled=cpu_reading(cpu_s, window.duration_s, cpu_name=name, machine=product),
        )

    def _unavailable(self, window: Window) -> Reading:
        """Why there is no figure: what each kind of sensor says."""
        lacking = [f"{meter.meter}: {meter.reason}" for meter in probe(host=self._host) if not meter.available]
        failed = [f"{name}: {error}" for name, error in (self._power.errors() if self._power else {}).items()]
        return Reading.unavailable(window_s=window.duration_s, reason="; ".join(failed or lacking))

    @property
    def block(self) -> Block:
        """All that was recorded. Raises InputError while the block has not ended."""
        if self._block is None:
            raise InputError("the block has not ended", fix="Read the figures after the with statement")
        return self._block

    @property
    def energy_j(self) -> float | None:
        """Gross joules of the block, of what `covers` names."""
        return self.block.chosen.energy_j

    @property
    def energy_ci95_j(self) -> Interval | None:
        return self.block.chosen.energy_ci95_j

    @property
    def net_energy_j(self) -> float | None:
        """Joules above idle; None where idle was not measured."""
        return self.block.chosen.net_j

    @property
    def net_energy_ci95_j(self) -> Interval | None:
        return self.block.chosen.net_ci95_j

    @property
    def power_w(self) -> float | None:
        """Mean power of the block, gross."""
        return None if self.energy_j is None else self.energy_j / self.duration_s

    @property
    def power_ci95_w(self) -> Interval | None:
        return None if self.energy_ci95_j is None else _over(self.energy_ci95_j, self.duration_s)

    @property
    def idle_power_w(self) -> float | None:
        """What the idle machine drew; None where idle was not measured."""
        idle_j = self.block.chosen.idle_j
        return None if idle_j is None else idle_j / self.duration_s

    @property
    def evidence(self) -> Evidence:
        return self.block.chosen.evidence

    @property
    def covers(self) -> str:
        """What the sensor sees, in words: `CPU package 0`, `module total`."""
        return self.block.chosen.covers

    @property
    def reason(self) -> str | None:
        """Why the figure is missing, or what is to be known of it."""
        return self.block.chosen.reason

    @property
    def channels(self) -> tuple[ChannelReading, ...]:
        """Every rail that was read."""
        return self.block.channels

    @property
    def duration_s(self) -> float:
        return self.block.window.duration_s

    @property
    def cpu_s(self) -> float:
        """CPU seconds of this process, with its threads, and of its children that have ended. The sampler's own are in it."""
        return self.block.cpu_s

    @property
    def cpu_energy_j(self) -> float | None:
        """Modelled, never measured: CPU seconds × watts per core; None where the CPU is not in the table."""
        return self.block.modelled.energy_j

    @property
    def cpu_energy_ci95_j(self) -> Interval | None:
        """The range of the watts per core; not a statistical interval."""
        return self.block.modelled.energy_ci95_j

    def __repr__(self) -> str:
        if self._block is None:
            return "<Measurement: not ended>"
        times = f"{self.duration_s:.3g} s, {self.cpu_s:.3g} CPU s"
        if self.energy_j is None:
            return f"<Measurement: energy unavailable, {times}>"
        return f"<Measurement: {self.energy_j:.4g} J {self.evidence} ({self.covers}), {times}>"


def _over(interval_j: Interval, duration_s: float) -> Interval:
    return interval_j[0] / duration_s, interval_j[1] / duration_s


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)
