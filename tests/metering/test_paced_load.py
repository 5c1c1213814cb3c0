"""Loads with a beat of their own: live recognition works for a moment of every chunk and waits for the next one."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.known import known
from tests.metering.recording import START_S
from wattscribe.metering import Sampler, window
from wattscribe.records import PowerTrace, Reading, Window
from wattscribe.testing import FakeClock, SimulatedMeter, loads
from wattscribe.testing.loads import Load

DRAWS = 40
IDLE_W, BUSY_W = 5.0, 13.0
INA3221: dict[str, Any] = {"update_interval_s": 0.0066, "averaging_s": 0.0066}
"""As it comes: a conversion of 6.6 ms, and nothing of the other 43 ms between two reads."""


def read_at_instants(load: Load, duration_s: float, seed: int) -> PowerTrace:
    clock = FakeClock(START_S)
    sampler = Sampler([SimulatedMeter(load, clock, **INA3221)], 20, clock, seed=seed)
    while clock.now_s() < START_S + duration_s:
        sampler.sleep_and_read()
    return sampler.drain()[0]


def read_at_a_beat(load: Load, duration_s: float, seed: int) -> PowerTrace:
    del seed
    clock = FakeClock(START_S)
    sampler = Sampler([SimulatedMeter(load, clock, **INA3221)], 20, clock)
    while clock.now_s() < START_S + duration_s:
        sampler.read_once()
        clock.sleep(0.05)
    return sampler.drain()[0]


def covers(interval: tuple[float, float] | None, true_j: float) -> bool:
    return interval is not None and interval[0] - 1e-9 <= true_j <= interval[1] + 1e-9


def trial(load: Load, start_s: float, end_s: float, read: PowerTrace) -> Reading:
    return window.energy(
        read,
        Window(start_s=start_s, end_s=end_s),
        idle_before=Window(start_s=start_s - 3.0, end_s=start_s - 0.5),
        idle_after=Window(start_s=end_s + 0.5, end_s=end_s + 3.5),
    )


def shares_covered(
    period_s: float,
    duty: float,
    window_s: float,
    reader: Callable[[Load, float, int], PowerTrace] = read_at_instants,
    *,
    always: bool = False,
) -> tuple[float, float, float]:
    """Gross and net covered, and the mean error of net. `always`: the beat is the background's, idle windows see it too."""
    gross, net, errors = [], [], []
    for seed in range(DRAWS):
        start_s = START_S + 4 + period_s * random.Random(seed).random()
        end_s = start_s + window_s
        spans = {"start_s": START_S - 1.0, "end_s": end_s + 9.0} if always else {"start_s": start_s, "end_s": end_s}
        load = loads.pulses(IDLE_W, BUSY_W, **spans, period_s=period_s, duty=duty)
        reading = trial(load, start_s, end_s, reader(load, window_s + 9, seed))
        true_j = load.energy_j(start_s, end_s)
        before_w = load.energy_j(start_s - 3.0, start_s - 0.5) / 2.5
        after_w = load.energy_j(end_s + 0.5, end_s + 3.5) / 3.0
        true_net_j = true_j - (before_w + after_w) / 2 * window_s
        gross.append(covers(reading.energy_ci95_j, true_j))
        net.append(covers(reading.net_ci95_j, true_net_j))
        errors.append((known(reading.net_j) - true_net_j) / (true_j - IDLE_W * window_s))
    return float(np.mean(gross)), float(np.mean(net)), float(np.mean(errors))


@pytest.mark.parametrize("duty", [0.1, 0.3, 0.5])
@pytest.mark.parametrize("period_s", [0.1, 0.2, 0.25])
def test_the_interval_covers_a_paced_load(period_s: float, duty: float) -> None:
    gross, net, error = shares_covered(period_s, duty, 4.0)
    assert gross >= 0.9
    assert net >= 0.9
    assert abs(error) < 0.15


@pytest.mark.parametrize("period_s", [0.1, 0.2, 0.25])
def test_a_paced_background_is_covered_in_idle_windows_too(period_s: float) -> None:
    gross, net, _ = shares_covered(period_s, 0.2, 4.0, always=True)
    assert gross >= 0.9
    assert net >= 0.9


@pytest.mark.parametrize("window_s", [0.4, 2.0])
@pytest.mark.parametrize("shape", ["flat", "wandering"])
def test_the_load_s_own_edges_and_the_sensor_s_step_are_covered(shape: str, window_s: float) -> None:
    """An averaging sensor at jittered instants: a short, flat load is all edges, and keeps the rounding of its one level."""
    covered = []
    for seed in range(DRAWS):
        draw = random.Random(seed)
        start_s = START_S + 4 + draw.random()
        count = 1 if shape == "flat" else max(1, round(window_s / 0.2))
        edges = [start_s + window_s * k / count for k in range(count + 1)]
        load = Load(powers_w=(4.2, *(4.2 + draw.uniform(0.5, 2.0) for _ in range(count)), 4.2), edges_s=tuple(edges))
        clock = FakeClock(START_S)
        sampler = Sampler(
            [SimulatedMeter(load, clock, update_interval_s=0.05, averaging_s=0.05, step=0.04)], 20, clock, seed=seed
        )
        while clock.now_s() < START_S + window_s + 9:
            sampler.sleep_and_read()
        reading = trial(load, start_s, start_s + window_s, sampler.drain()[0])
        covered.append(covers(reading.energy_ci95_j, load.energy_j(start_s, start_s + window_s)))
    assert np.mean(covered) >= 0.9


@pytest.mark.parametrize("update_interval_s", [0.001, 0.02, 0.1])
def test_the_age_of_a_counter_s_value_is_covered(update_interval_s: float) -> None:
    """RAPL's counter is exact, but of some moment up to an update ago: so much of idle power is inside or outside."""
    covered = []
    for seed in range(DRAWS):
        draw = random.Random(seed)
        start_s = START_S + 4 + draw.random()
        load = Load(powers_w=(6.0, 6 + draw.uniform(2, 12), 6.0), edges_s=(start_s, start_s + 0.6))
        clock = FakeClock(START_S)
        meter = SimulatedMeter(load, clock, update_interval_s=update_interval_s, kind="energy")
        sampler = Sampler([meter], 20, clock, seed=seed)
        while clock.now_s() < START_S + 9.6:
            sampler.sleep_and_read()
        reading = trial(load, start_s, start_s + 0.6, sampler.drain()[0])
        covered.append(covers(reading.energy_ci95_j, load.energy_j(start_s, start_s + 0.6)))
    assert np.mean(covered) >= 0.9


def test_at_a_steady_beat_it_would_not_be() -> None:
    """What the instants are for: the beat of 20 Hz meets a beat of 10 Hz at two moments of it alone."""
    gross, _, _ = shares_covered(0.1, 0.1, 4.0, read_at_a_beat)
    assert gross < 0.3


def _numpy_state() -> NDArray[np.uint32]:
    state: Any = np.random.get_state()
    return np.array(state[1])


def test_instants_are_the_sampler_s_own_and_repeat_with_its_seed() -> None:
    random.seed(7)
    np.random.seed(7)
    state, other_state = random.getstate(), _numpy_state()
    load = loads.constant(5.0)
    first, again, other = (read_at_instants(load, 5.0, seed) for seed in (1, 1, 2))
    assert first.t_s == again.t_s != other.t_s
    assert random.getstate() == state
    assert (_numpy_state() == other_state).all()


def test_each_period_holds_one_read_and_the_rate_does_not_drift() -> None:
    times = np.asarray(read_at_instants(loads.constant(5.0), 60.0, 3).t_s)
    assert (np.floor((times - START_S) / 0.05 + 1e-6) == np.arange(times.size)).all()
    phases = (times - START_S) % 0.05
    assert np.histogram(phases, bins=5, range=(0, 0.05))[0].min() > 0.7 * times.size / 5
