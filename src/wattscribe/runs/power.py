"""Power during a run: raw samples for the journal, idle baselines, and the wait until the machine has cooled down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from wattscribe.errors import MeterError
from wattscribe.metering import Channel, Clock, Meter, Sampler, join
from wattscribe.metering.window import mean_power_w
from wattscribe.records import Evidence, PowerTrace, Window

MIN_IDLE_UPDATES = 6
"""An idle window holds at least so many updates of the slowest total rail, else its mean is a guess."""
MAX_IDLE_S = 15.0
SETTLE_UPDATES = 2
"""Updates after which a sensor has forgotten what was before, besides the span that it averages over."""
MAX_SETTLE_S = 5.0
EXTERNAL_SETTLE_S = 0.5
"""For an external meter: five samples of a slow USB meter, and capacitors have long been discharged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cooldown:
    """The wait before a trial: the machine should start it from the state in which it started the first."""

    waited_s: float
    reached: bool | None
    """None: no sensor can tell."""
    idle_w: Mapping[str, float]
    first_idle_w: Mapping[str, float]


@dataclass(slots=True, kw_only=True)
class Power:
    """The sampler with what a trial needs of it. Without meters every wait is nothing and every baseline None."""

    sampler: Sampler | None
    channels: Sequence[Channel] = ()
    """Those that the sampler reads."""
    clock: Clock
    idle_s: float = 2.0
    limit_s: float = 60.0
    band: float = 0.05
    first_idle_w: dict[str, float] = field(default_factory=dict)
    """The run's first idle baseline per total rail; a resumed run is given the one that it began with."""
    recorded_elsewhere: bool = False
    """An external meter sees what no sensor here does: baselines are kept even without a sensor."""
    _pending: list[PowerTrace] = field(default_factory=list)

    @classmethod
    def of(
        cls, meters: Sequence[Meter], *, clock: Clock, rate_hz: float, evidence: Evidence | None = None, **rule: Any
    ) -> Power:
        """Sample these meters, `evidence` in place of what they say; `rule` are the remaining fields."""
        sampler = Sampler(meters, rate_hz=rate_hz, clock=clock, evidence=evidence) if meters else None
        channels = [channel for meter in meters for channel in meter.channels()]
        return cls(sampler=sampler, channels=channels, clock=clock, **rule)

    def start(self) -> None:
        if self.sampler is not None:
            self.sampler.start()

    def stop(self) -> None:
        if self.sampler is not None:
            self.sampler.stop()

    def errors(self) -> dict[str, str]:
        """Why sensors cannot be read, by sensor."""
        return self.sampler.errors() if self.sampler is not None else {}

    def forget(self) -> None:
        """Drop what was sampled between two trials."""
        self._collect()
        self._pending.clear()

    def drain(self) -> list[PowerTrace]:
        """What came since the last drain, for the journal."""
        self._collect()
        pending, self._pending = self._pending, []
        return join(pending)

    @property
    def memory_s(self) -> float:
        """How long the slowest sensor still shows what is over."""
        memories_s = [_memory_s(channel) for channel in self._total_channels()] if self.sampler is not None else []
        if self.recorded_elsewhere:
            memories_s.append(EXTERNAL_SETTLE_S)
        return min(MAX_SETTLE_S, max(memories_s, default=0.0))

    def settle(self) -> None:
        """Let the sensors forget what came before a window."""
        if memory_s := self.memory_s:
            self.clock.sleep(memory_s)

    def rest(self) -> Window | None:
        """Do nothing for one idle baseline; None where no sensor would see it."""
        if (self.sampler is None and not self.recorded_elsewhere) or self.idle_s == 0:
            return None
        slowest_s = max((channel.update_interval_s for channel in self._total_channels()), default=0.0)
        start_s = self.clock.now_s()
        self.clock.sleep(max(self.idle_s, min(MAX_IDLE_S, MIN_IDLE_UPDATES * slowest_s)))
        return Window(start_s=start_s, end_s=self.clock.now_s())

    def await_steady(self) -> None:
        """After the machine was set otherwise: idle windows until two in a row agree within the band, or the limit is over.

        What was hot from the mode before would else be this one's baseline.
        """
        start_s, before_w = self.clock.now_s(), dict[str, float]()
        while self.clock.now_s() - start_s < self.limit_s:
            self._collect()
            seen = len(self._pending)
            if (window := self.rest()) is None:
                return
            self._collect()
            idle_w = _means_w(self._pending[seen:], window)
            if not idle_w or self._is_back(idle_w, before_w):
                return
            before_w = idle_w

    def cool_down(self) -> tuple[Window | None, Cooldown]:
        """Idle windows until one is within the band of the first baseline, or the limit is over; the last one counts."""
        start_s = self.clock.now_s()
        while True:
            self._collect()
            seen = len(self._pending)
            window = self.rest()
            self._collect()
            idle_w = {} if window is None else _means_w(self._pending[seen:], window)
            if not self.first_idle_w:
                self.first_idle_w = dict(idle_w)
            back = self._is_back(idle_w, self.first_idle_w)
            waited_s = self.clock.now_s() - start_s
            if back is not False or waited_s >= self.limit_s:
                cooldown = Cooldown(
                    waited_s=waited_s, reached=back, idle_w=idle_w, first_idle_w=dict(self.first_idle_w)
                )
                return window, cooldown

    def _is_back(self, idle_w: Mapping[str, float], first_w: Mapping[str, float]) -> bool | None:
        """Whether each rail is within the band around its first baseline; None where none has one."""
        steps = [channel.resolution or 0.0 for channel in self._total_channels() if channel.kind == "power"]
        least_w = 2 * max(steps, default=0.0)
        known = [name for name in idle_w if name in first_w]
        if not known:
            return None
        return all(abs(idle_w[name] - first_w[name]) <= max(self.band * first_w[name], least_w) for name in known)

    def _collect(self) -> None:
        if self.sampler is not None:
            self._pending += self.sampler.drain()

    def _total_channels(self) -> list[Channel]:
        return [channel for channel in self.channels if channel.total]


def _means_w(traces: Sequence[PowerTrace], window: Window) -> dict[str, float]:
    means = {}
    for trace in join(traces):
        if trace.total and trace.evidence in ("measured", "calibrated", "simulated"):
            try:
                means[trace.channel] = mean_power_w(trace, window)
            except MeterError:
                continue  # this rail cannot tell; the trial's own reading will say why
    return means


def _memory_s(channel: Channel) -> float:
    return SETTLE_UPDATES * channel.update_interval_s + (channel.averaging_s or 0.0)
