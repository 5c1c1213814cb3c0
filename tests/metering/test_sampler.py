"""The sampler and the counters: nothing drifts, no joule is lost, a failed read is no zero."""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Sequence
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.known import known
from tests.metering.recording import START_S, record, trace
from wattscribe.errors import InputError, MeterError
from wattscribe.metering import Channel, Sampler, join, window
from wattscribe.metering.counter import CounterEdges
from wattscribe.records import Window
from wattscribe.testing import FakeClock, ReplayMeter, SimulatedMeter, loads


class ScriptedMeter:
    """Gives one value after the other; an exception is raised."""

    def __init__(
        self,
        values: Sequence[float | Exception | None],
        *,
        kind: Literal["power", "energy"] = "power",
        name: str = "scripted",
    ) -> None:
        self.name = name
        self._values = list(values)
        self._kind = kind
        self.reads = 0
        self.closed = False

    def channels(self) -> list[Channel]:
        return [Channel(name="a", covers="all", kind=self._kind, total=True, update_interval_s=0.05)]

    def read(self) -> list[float | None]:
        self.reads += 1
        value = self._values.pop(0) if self._values else None
        if isinstance(value, Exception):
            raise value
        return [value]

    def close(self) -> None:
        self.closed = True


def step(sampler: Sampler, clock: FakeClock, reads: int, period_s: float = 0.05) -> None:
    for _ in range(reads):
        sampler.read_once()
        clock.sleep(period_s)


def test_the_stamp_is_the_middle_of_a_slow_read() -> None:
    clock = FakeClock(100.0)
    meter = SimulatedMeter(loads.constant(5.0), clock, read_s=0.023)
    sampler = Sampler([meter], 20, clock)
    sampler.read_once()
    assert sampler.drain()[0].t_s == pytest.approx((100.0115,))


def test_deadlines_are_absolute_so_that_slow_reads_do_not_make_the_rate_drift() -> None:
    clock = FakeClock(100.0)
    meter = SimulatedMeter(loads.constant(5.0), clock, read_s=0.007)
    sampler = Sampler([meter], 20, clock)
    for _ in range(4000):
        sampler.read_once()
        clock.advance(0.001)
    times = sampler.drain()[0].t_s
    offsets = [(t - times[0]) % 0.05 for t in times]
    assert max(min(offset, 0.05 - offset) for offset in offsets) <= 0.0081
    assert len(times) == pytest.approx((times[-1] - times[0]) * 20 + 1, abs=1)


def test_a_missed_deadline_is_left_out_and_not_made_up_for() -> None:
    clock = FakeClock(100.0)
    sampler = Sampler([SimulatedMeter(loads.constant(5.0), clock)], 20, clock)
    sampler.read_once()
    clock.advance(1.01)
    sampler.read_once()
    sampler.read_once()
    clock.advance(0.041)
    sampler.read_once()
    assert sampler.drain()[0].t_s == pytest.approx((100.0, 101.01, 101.051))


def test_failures_are_counted_kept_with_their_times_and_are_no_samples() -> None:
    clock = FakeClock(100.0)
    sampler = Sampler([ScriptedMeter([5.0, None, MeterError("the sensor is gone", where="/sys/x"), 6.0])], 20, clock)
    step(sampler, clock, 4)
    drained = sampler.drain()[0]
    assert drained.power_w == (5.0, 6.0)
    assert drained.failed_t_s == pytest.approx((100.05, 100.10))
    assert sampler.failures() == {"scripted.a": 2}
    assert sampler.errors() == {"scripted": "/sys/x: the sensor is gone"}


@pytest.mark.parametrize("error", [OSError("bus"), ValueError("no number"), MeterError("gone")])
def test_a_meter_that_breaks_does_not_end_the_sampling_of_the_others(error: Exception) -> None:
    clock = FakeClock(100.0)
    sampler = Sampler([ScriptedMeter([error] * 5, name="broken"), ScriptedMeter([1.0] * 5)], 20, clock)
    step(sampler, clock, 5)
    broken, good = sampler.drain()
    assert (len(broken.failed_t_s), len(good.t_s)) == (5, 5)


@pytest.mark.parametrize("error", [RuntimeError("boom"), AttributeError("no such field")], ids=repr)
def test_a_meter_with_a_mistake_ends_alone_and_says_why(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock(100.0)
    wrong = ScriptedMeter([*[1.0] * 20, error, *[1.0] * 19], name="wrong")
    sampler = Sampler([wrong, ScriptedMeter([1.0] * 40)], 20, clock)
    step(sampler, clock, 40)
    broken, good = sampler.drain()
    assert (len(broken.t_s), len(broken.failed_t_s), len(good.t_s)) == (20, 20, 40)
    assert wrong.reads == 21
    assert sampler.errors() == {"wrong": f"{type(error).__name__}: {error}"}
    assert [record.getMessage() for record in caplog.records] == [
        f"wrong broke and is read no more: {type(error).__name__}: {error}"
    ]
    reading = window.energy(broken, Window(start_s=100.2, end_s=101.7))
    assert "ends 0.75 s before the window does (15 reads failed)" in known(reading.reason)


@pytest.mark.parametrize("answer", [None, "text", ["a"]], ids=repr)
def test_an_answer_that_is_no_list_of_numbers_does_not_end_the_sampling(answer: object) -> None:
    clock = FakeClock(100.0)
    wrong = ScriptedMeter([], name="wrong")
    wrong.read = lambda: answer  # type: ignore[assignment, method-assign, return-value]
    sampler = Sampler([wrong, ScriptedMeter([1.0] * 5)], 20, clock)
    step(sampler, clock, 5)
    assert [len(each.t_s) for each in sampler.drain()] == [0, 5]
    assert "wrong" in sampler.errors()


def test_drain_hands_over_once_and_pieces_join_to_the_whole() -> None:
    clock = FakeClock(100.0)
    sampler = Sampler([ScriptedMeter([float(i) for i in range(60)])], 20, clock)
    pieces = []
    for reads in (10, 0, 25, 25):
        step(sampler, clock, reads)
        pieces += sampler.drain()
    (whole,) = join(pieces)
    assert whole.power_w == tuple(float(i) for i in range(60))
    assert len(set(whole.t_s)) == 60
    assert sampler.drain()[0].t_s == ()


def test_two_meters_of_one_name_stay_apart() -> None:
    sampler = Sampler([ScriptedMeter([1.0]), ScriptedMeter([2.0])], 20, FakeClock())
    sampler.read_once()
    assert [trace.channel for trace in sampler.drain()] == ["scripted.a", "scripted#2.a"]


def test_a_meter_that_is_dear_to_read_keeps_its_own_pace() -> None:
    clock = FakeClock(100.0)
    slow, fast = ScriptedMeter([1.0] * 100, name="slow"), ScriptedMeter([1.0] * 100)
    slow.min_period_s = 0.5  # type: ignore[attr-defined]
    sampler = Sampler([slow, fast], 20, clock)
    step(sampler, clock, 40)
    assert slow.reads == 4
    assert fast.reads == 40


@pytest.mark.parametrize("rate_hz", [0.0, -1.0, 5000.0, math.nan])
def test_an_impossible_rate_is_refused(rate_hz: float) -> None:
    with pytest.raises(InputError, match="rate"):
        Sampler([], rate_hz)


def test_the_thread_reads_until_stopped_and_can_start_again() -> None:
    meter = ScriptedMeter([1.0] * 10_000)
    sampler = Sampler([meter], 500)
    with sampler:
        deadline = time.monotonic() + 10
        while meter.reads < 5 and time.monotonic() < deadline:
            time.sleep(0.005)
    assert meter.reads >= 5
    assert not any(thread.name == "wattscribe-sampler" for thread in threading.enumerate())
    reads = meter.reads
    sampler.start()
    sampler.start()
    while meter.reads < reads + 3 and time.monotonic() < deadline:
        time.sleep(0.005)
    sampler.stop()
    sampler.stop()
    assert meter.reads >= reads + 3
    times = sampler.drain()[0].t_s
    assert list(times) == sorted(times)
    assert not meter.closed


def test_a_sampler_without_meters_does_nothing() -> None:
    with Sampler([]) as sampler:
        assert sampler.drain() == []


# --- counters -------------------------------------------------------------------------------------------------------
@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.floats(0.001, 30.0), min_size=12, max_size=40),
    st.sets(st.integers(2, 9)),
    st.sampled_from([0.001, 0.05, 0.13]),
)
def test_no_joule_is_lost_between_the_first_and_the_last_update(
    powers: list[float], failing: set[int], update_s: float
) -> None:
    clock = FakeClock(100.0)
    load = loads.Load(powers_w=tuple(powers), edges_s=tuple(100.0 + 0.1 * (i + 1) for i in range(len(powers) - 1)))
    meter = SimulatedMeter(load, clock, update_interval_s=update_s, kind="energy", failing=sorted(failing))
    shown: list[float] = []
    for index in range(len(powers) * 2):
        value = meter.value_at(clock.now_s() + 0.05 * index)
        if index not in failing and value not in shown:
            shown.append(value)
    sampler = Sampler([meter], 20, clock)
    step(sampler, clock, len(powers) * 2)
    recorded = sampler.drain()[0]
    steps = zip(itertools.pairwise(recorded.t_s), recorded.power_w[1:], strict=True)
    assert math.fsum(power * (b - a) for (a, b), power in steps) == pytest.approx(shown[-1] - shown[1], rel=1e-6)
    assert min(recorded.power_w) >= 0


def test_a_counter_that_stands_still_gives_no_zero_power() -> None:
    clock = FakeClock(100.0)
    sampler = Sampler([ScriptedMeter([7.0] * 50, kind="energy")], 20, clock)
    step(sampler, clock, 50)
    (recorded,) = sampler.drain()
    assert recorded.power_w == ()
    assert window.energy(recorded, Window(start_s=100.5, end_s=101.5)).evidence == "unavailable"


def test_energy_that_a_pause_of_reads_hid_arrives_with_the_next_update() -> None:
    edges = CounterEdges(0.05)
    points = [p for t, value in ((0.0, 0.0), (0.1, 1.0), (0.2, 2.0), (1.2, 12.0)) for p in edges.see(t, value)]
    energy_j = sum(power * (b - a) for (a, _), (b, power) in itertools.pairwise(points))
    assert energy_j == pytest.approx(11.0)
    assert points[0][0] == pytest.approx(0.075)


@pytest.mark.parametrize("told", [2.0, math.nan], ids=["falls", "says so"])
def test_a_counter_that_was_set_back_starts_anew_with_an_unknown_power(told: float) -> None:
    edges = CounterEdges(0.001)
    values = [100.0, 101.0, 102.0, 103.0, told, 3.0, 4.0, 5.0]
    points = [p for index, value in enumerate(values) for p in edges.see(0.1 * index, value)]
    powers = [power for _, power in points]
    assert powers[:3] == pytest.approx([10.0] * 3)
    assert math.isnan(powers[3])
    assert powers[4:] == pytest.approx([10.0] * len(powers[4:]))
    assert len(powers) == (6 if told == 2.0 else 5)


def test_a_counter_s_pieces_join_without_a_seam() -> None:
    load = loads.pulses(5.0, 13.0, start_s=START_S + 1, end_s=START_S + 5, period_s=0.5)
    clock = FakeClock(START_S)
    sampler = Sampler([SimulatedMeter(load, clock, update_interval_s=0.01, kind="energy")], 20, clock)
    pieces = []
    for _ in range(6):
        step(sampler, clock, 20)
        pieces += sampler.drain()
    span = Window(start_s=START_S + 0.9, end_s=START_S + 5.1)
    whole = record(load, rate_hz=20, duration_s=6, update_interval_s=0.01, kind="energy")
    assert window.measured_energy_j(join(pieces)[0], span) == pytest.approx(
        window.measured_energy_j(whole, span), rel=1e-9
    )
    assert window.measured_energy_j(whole, span) == pytest.approx(load.window_j(span), rel=0.002)


# --- replay ---------------------------------------------------------------------------------------------------------
def test_a_replay_measures_what_the_recording_measured_with_its_gaps() -> None:
    load = loads.box(5.0, 13.0, START_S + 2, START_S + 4)
    recorded = record(load, rate_hz=20, duration_s=6, update_interval_s=0.05, averaging_s=0.0, failing=[50, 51])
    clock = FakeClock(5000.0)
    sampler = Sampler([ReplayMeter([recorded], clock)], 20, clock)
    step(sampler, clock, 119)
    (again,) = sampler.drain()
    assert again.power_w == recorded.power_w[: len(again.power_w)]
    assert len(again.failed_t_s) == 2
    span = Window(start_s=START_S + 1.5, end_s=START_S + 4.5)
    moved = Window(start_s=5001.5, end_s=5004.5)
    assert window.energy(again, moved).energy_j == pytest.approx(window.energy(recorded, span).energy_j, rel=1e-6)


def test_a_replay_of_a_counter_that_was_set_back_fails_where_its_power_is_unknown() -> None:
    clock = FakeClock(0.0)
    recorded = trace([0.0, 0.1, 0.2, 0.3], [5.0, 5.0, math.nan, 5.0], interval_means=True)
    meter = ReplayMeter([recorded], clock)
    played: list[float | None] = []
    for _ in range(3):
        played += meter.read()
        clock.advance(0.1)
    assert played == [5.0, None, 5.0]


def test_a_replay_that_has_ended_says_so_and_a_loop_goes_on() -> None:
    recorded = record(loads.constant(5.0), rate_hz=20, duration_s=1)
    clock = FakeClock(0.0)
    once, loop = ReplayMeter([recorded], clock), ReplayMeter([recorded], clock, loop=True)
    clock.advance(30.0)
    with pytest.raises(MeterError, match="has ended"):
        once.read()
    assert loop.read() == [5.0]
    with pytest.raises(InputError):
        ReplayMeter([])
