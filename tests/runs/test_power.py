"""Idle baselines and the cool-down rule, on a clock that only the test moves; then one run with a meter that runs."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wattscribe.journal import Journal, read_run
from wattscribe.metering import Channel, MonotonicClock, Sampler
from wattscribe.metering.window import energy
from wattscribe.runs.experiment import Experiment
from wattscribe.runs.power import MAX_SETTLE_S, Power
from wattscribe.runs.runner import run
from wattscribe.testing import FakeClock


class Board:
    """A total rail whose power is a function of time."""

    name = "board"

    def __init__(self, power_w: Callable[[float], float | None], clock: FakeClock | MonotonicClock) -> None:
        self._power_w = power_w
        self._clock = clock
        self.closed = False
        self.channel = Channel(
            name="in", covers="module total", kind="power", total=True, update_interval_s=0.1, averaging_s=0.0
        )

    def channels(self) -> list[Channel]:
        return [self.channel]

    def read(self) -> list[float | None]:
        return [self._power_w(self._clock.now_s())]

    def close(self) -> None:
        self.closed = True


class SteppingClock(FakeClock):
    """Sleeping lets the sampler read at its rate, as its thread would."""

    sampler: Sampler | None = None

    def sleep(self, duration_s: float) -> None:
        end_s = self.now_s() + duration_s
        while self.now_s() < end_s - 1e-9:
            self.advance(min(0.05, end_s - self.now_s()))
            if self.sampler is not None:
                self.sampler.read_once()


def power_of(power_w: Callable[[float], float | None], **rule: Any) -> tuple[Power, SteppingClock]:
    clock = SteppingClock(0.0)
    power = Power.of([Board(power_w, clock)], clock=clock, rate_hz=20.0, **rule)
    clock.sampler = power.sampler
    return power, clock


def test_the_first_trial_sets_the_baseline() -> None:
    power, clock = power_of(lambda _: 3.0, idle_s=2.0)
    window, cooldown = power.cool_down()
    assert window is not None
    assert window.duration_s == pytest.approx(2.0)
    assert cooldown.idle_w == {"board.in": pytest.approx(3.0)}
    assert power.first_idle_w == {"board.in": pytest.approx(3.0)}
    assert (cooldown.reached, clock.now_s()) == (True, pytest.approx(2.0))


def test_a_hot_machine_is_waited_for() -> None:
    """Idle falls from 5 W to 3 W at t = 20 s: the trial waits for the first window that lies behind it."""
    power, clock = power_of(lambda t: 5.0 if t < 20 else 3.0, idle_s=2.0, limit_s=60.0, band=0.05)
    power.first_idle_w = {"board.in": 3.0}
    window, cooldown = power.cool_down()
    assert cooldown.reached is True
    assert window is not None
    assert window.start_s >= 20 - 1e-9
    assert 22 - 1e-9 <= clock.now_s() <= 24.1
    assert cooldown.idle_w["board.in"] == pytest.approx(3.0)
    assert cooldown.waited_s == pytest.approx(clock.now_s())


def test_the_wait_has_a_limit_and_says_so() -> None:
    power, clock = power_of(lambda _: 5.0, idle_s=2.0, limit_s=10.0)
    power.first_idle_w = {"board.in": 3.0}
    _, cooldown = power.cool_down()
    assert cooldown.reached is False
    assert 10 - 1e-9 <= clock.now_s() <= 12.1
    assert cooldown.first_idle_w == {"board.in": 3.0}


@pytest.mark.parametrize(("idle_w", "reached"), [(3.14, True), (3.16, False), (2.86, True), (2.84, False)])
def test_the_band(idle_w: float, reached: bool) -> None:
    power, _ = power_of(lambda _: idle_w, idle_s=2.0, limit_s=0.0, band=0.05)
    power.first_idle_w = {"board.in": 3.0}
    assert power.cool_down()[1].reached is reached


def test_a_failing_sensor_is_not_waited_for() -> None:
    power, clock = power_of(lambda _: None, idle_s=2.0)
    power.first_idle_w = {"board.in": 3.0}
    assert power.cool_down()[1].reached is None
    assert clock.now_s() == pytest.approx(2.0)


def test_without_a_sensor_nothing_is_waited_for() -> None:
    clock = SteppingClock(0.0)
    power = Power.of([], clock=clock, rate_hz=20.0)
    window, cooldown = power.cool_down()
    power.settle()
    assert (window, cooldown.reached, clock.now_s(), power.drain()) == (None, None, 0.0, [])


def test_idle_windows_are_long_enough_for_a_slow_sensor() -> None:
    power, clock = power_of(lambda _: 1.0, idle_s=0.5)
    assert power.rest() is not None
    assert clock.now_s() == pytest.approx(0.6), "six updates of 0.1 s"
    power.settle()
    assert 0 < clock.now_s() - 0.6 <= MAX_SETTLE_S


def test_samples_between_trials_are_dropped_and_none_is_lost_within() -> None:
    power, clock = power_of(lambda t: t, idle_s=1.0)
    clock.sleep(1.0)
    power.forget()
    clock.sleep(1.0)
    first = power.drain()[0].t_s
    clock.sleep(1.0)
    second = power.drain()[0].t_s
    times = first + second
    assert min(times) > 1.0
    assert max(times) == pytest.approx(3.0)
    steps = [b - a for a, b in itertools.pairwise(times)]
    assert max(steps) < 0.051


def test_a_run_with_a_meter(experiment: Callable[..., Experiment], tmp_path: Path) -> None:
    """Raw samples cover idle, window and idle; the energy that comes out of the journal is the board's."""
    clock = MonotonicClock()
    board = Board(lambda _: 4.0, clock)
    plan = experiment(models=["fake:a?text=x&latency=0.5"], idle_s=0.7, sample_rate_hz=50.0, repeats=2)
    facts = read_run(run(plan, tmp_path / "r", meters=[board], clock=clock))
    assert not board.closed, "meters that were handed in belong to the caller"
    for trial in facts.trials:
        assert trial.window is not None
        assert trial.idle_before is not None
        assert trial.idle_after is not None
        assert trial.idle_before.end_s <= trial.window.start_s
        assert trial.window.end_s <= trial.idle_after.start_s
        (trace,) = trial.traces
        assert trace.t_s[0] <= trial.idle_before.start_s + 0.2
        assert trace.t_s[-1] >= trial.idle_after.end_s - 0.2
        reading = energy(trace, trial.window, idle_before=trial.idle_before, idle_after=trial.idle_after)
        assert reading.energy_j == pytest.approx(4.0 * trial.window.duration_s, rel=1e-6)
        assert reading.idle_j == pytest.approx(reading.energy_j, rel=1e-6)
        assert trial.surroundings is not None
        assert trial.surroundings["cooldown"]["reached"] is True
    with Journal.resume(tmp_path / "r") as journal:
        assert journal.noted("first_idle_w") == {"board.in": pytest.approx(4.0)}


def test_a_sensor_that_broke_is_told_in_its_trial(experiment: Callable[..., Experiment], tmp_path: Path) -> None:
    clock = MonotonicClock()
    began_s = clock.now_s()

    def power_w(now_s: float) -> float:
        if now_s > began_s + 0.3:
            raise RuntimeError("cable")
        return 4.0

    plan = experiment(models=["fake:a?text=x&latency=0.2"], idle_s=0.3, sample_rate_hz=50.0)
    (trial,) = read_run(run(plan, tmp_path / "r", meters=[Board(power_w, clock)], clock=clock)).trials
    assert trial.status == "done"
    assert trial.surroundings is not None
    assert "cable" in trial.surroundings["sensor_errors"]["board"]
