"""Recorded power played back as a meter: for tests, for demonstrations, and to apply a better rule to an old run."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence

from wattscribe.errors import InputError, MeterError
from wattscribe.metering.base import Channel, Clock, MonotonicClock, Probe
from wattscribe.metering.host import Host
from wattscribe.records import PowerTrace

NAME = "replay"


class ReplayMeter:
    """Plays traces against a clock: each read gives the value that the recorded sensor showed then.

    The recording starts when the meter is made, or at `start_s` on the clock. After its end a read raises MeterError, unless
    `loop` starts it anew. A recorded failure is a failure again.
    """

    def __init__(
        self,
        traces: Sequence[PowerTrace],
        clock: Clock | None = None,
        *,
        name: str = "replay",
        start_s: float | None = None,
        loop: bool = False,
    ) -> None:
        if not traces or not any(trace.t_s for trace in traces):
            raise InputError("there is nothing to replay", where=name, fix="Give at least one trace with samples")
        self.name = name
        self._traces = list(traces)
        self._clock: Clock = clock if clock is not None else MonotonicClock()
        self._start_s = self._clock.now_s() if start_s is None else start_s
        self._loop = loop
        self._first_s = min(trace.t_s[0] for trace in self._traces if trace.t_s)
        self._length_s = max(trace.t_s[-1] for trace in self._traces if trace.t_s) - self._first_s

    def channels(self) -> Sequence[Channel]:
        return [
            Channel(
                name=trace.channel.rsplit(".", 1)[-1],
                covers=trace.covers,
                kind="power",
                total=trace.total,
                update_interval_s=trace.update_interval_s,
                resolution=trace.resolution_w,
                evidence=trace.evidence,
                averaging_s=trace.averaging_s,
                processors=trace.processors,
                gpu_index=trace.gpu_index,
            )
            for trace in self._traces
        ]

    def read(self) -> Sequence[float | None]:
        offset_s = self._clock.now_s() - self._start_s
        if self._loop and self._length_s > 0:
            offset_s %= self._length_s
        if offset_s > self._length_s + self._traces[0].update_interval_s:
            raise MeterError(f"the recording of {self._length_s:.3g} s has ended", where=self.name)
        return [_value_at(trace, self._first_s + offset_s) for trace in self._traces]

    def close(self) -> None:
        """Nothing is open."""


def _value_at(trace: PowerTrace, t_s: float) -> float | None:
    index = bisect_right(trace.t_s, t_s + 1e-9) - 1
    if trace.interval_means:  # The mean up to the next point holds now.
        power_w = trace.power_w[min(index + 1, len(trace.t_s) - 1)] if trace.t_s and index >= 0 else math.nan
        return None if math.isnan(power_w) else power_w
    if index < 0:
        return None
    failed = bisect_right(trace.failed_t_s, t_s + 1e-9) - 1
    if failed >= 0 and trace.failed_t_s[failed] > trace.t_s[index]:
        return None
    return trace.power_w[index]


def probe(host: Host) -> Probe:
    """Always a row: a replay needs no sensor, but recorded traces."""
    return Probe(
        meter=NAME,
        available=False,
        reason="plays recorded traces back, for tests and demonstrations: wattscribe.testing.ReplayMeter(traces)",
    )
