"""Power worked out by hand, conservation, and the directions in which it must move."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.energy.builders import component, constant, device, device_data, rates, workload
from wattscribe.energy import breakdown
from wattscribe.energy.breakdown import analyse, power_w
from wattscribe.energy.knapsack import solve
from wattscribe.energy.options import Unit
from wattscribe.energy.placement import Placement, activation_room_bytes, items, reserved_bytes
from wattscribe.energy.rates import Rates
from wattscribe.energy.workload import WeightTensor, Workload


def two_layers() -> Workload:
    """A joiner of 600 B read from local memory and an encoder of 5000 B read from far memory, states and activations."""
    encoder = component("encoder", [2000, 3000], macs=50_000, dtype="int8", activation_bytes=100.0, state_bytes=20)
    joiner = component("joiner", [600], macs=150, activation_bytes=40.0, peak_activation_bytes=80)
    return workload(encoder, joiner)


AT = rates(encoder=(2, 2), joiner=(10, 30))


def test_two_layers_by_hand_to_the_last_microjoule() -> None:
    found = analyse(two_layers(), AT, device())
    encoder, joiner = found.component("encoder"), found.component("joiner")
    assert found.placement.local == ("joiner",)  # 600 B beside the 20 + 80 B of states and activations
    # encoder: 2 calls/s × 5000 B × 10 nJ/B; (100 + 2 × 20) B × 2 rows × 1 nJ/B; 50 000 × 2 × 1 pJ
    assert encoder.weight_reads_w["far"].value == pytest.approx(100e-6, abs=1e-15)
    assert encoder.weight_reads_w["near"].value == 0
    assert encoder.activations_w.value == pytest.approx(0.28e-6, abs=1e-15)
    assert encoder.arithmetic_w.value == pytest.approx(0.1e-6, abs=1e-15)
    # busy: 10 000 B / 1 MB/s + 280 B / 2 MB/s + 100 000 MAC / 4 MMAC/s = 0.01 + 0.00014 + 0.025 s, at 1 mW
    assert encoder.busy == pytest.approx(0.03514)
    assert encoder.idle_w.value == pytest.approx(35.14e-6, abs=1e-15)
    assert encoder.total_w.value == pytest.approx(135.52e-6, abs=1e-15)
    assert encoder.per_call_j == pytest.approx(67.76e-6, abs=1e-15)
    # joiner: 10 × 600 B × 1 nJ/B; 40 B × 30 × 1 nJ/B; 150 × 30 × 4 pJ; busy 6000/2e6 + 1200/2e6 + 4500/1e6 = 0.0081 s
    assert joiner.weight_reads_w["near"].value == pytest.approx(6e-6, abs=1e-15)
    assert joiner.activations_w.value == pytest.approx(1.2e-6, abs=1e-15)
    assert joiner.arithmetic_w.value == pytest.approx(0.018e-6, abs=1e-15)
    assert joiner.idle_w.value == pytest.approx(8.1e-6, abs=1e-15)
    assert found.total_w.value == pytest.approx((135.52 + 15.318) * 1e-6, abs=1e-15)
    assert found.per_word_j == pytest.approx(150.838e-6 / 2)


def test_embedding_rows_scale_with_rows_and_the_rest_with_calls() -> None:
    table = WeightTensor(name="table", dtype="float32", shape=(100, 4), size_bytes=1600, call_bytes=0.0, row_bytes=16.0)
    predictor = dataclasses.replace(component("predictor", [2000]), weights=(table, component("x", [2000]).weights[0]))
    found = analyse(workload(predictor), rates(predictor=(3, 12)), device())
    assert found.component("predictor").bytes_per_s == 3 * 2000 + 12 * 16


def test_states_and_activations_beyond_local_memory_go_to_the_far_tier() -> None:
    """Activations take their 600 B (3000 B/s: 5 per byte), states the other 400 of 2000 B (4000 B/s: 2 per byte)."""
    heavy = component("encoder", [100], activation_bytes=3000.0, peak_activation_bytes=600, state_bytes=2000)
    found = analyse(workload(heavy), rates(encoder=(1, 1)), device())
    assert found.placement.local_shares() == (1.0, 0.2)
    encoder = found.component("encoder")
    # near 3000 + 0.2 × 4000 = 3800 B/s at 1 nJ/B, far 3200 B/s at 10 nJ/B; 100 B of weights far
    assert encoder.activations_w.value == pytest.approx(35.8e-6, abs=1e-15)
    # busy: 100/1e6 + 3800/2e6 + 3200/1e6 = 5.2 ms, at 1 mW
    assert encoder.idle_w.value == pytest.approx(5.2e-6, abs=1e-15)
    assert found.total_w.value == pytest.approx((1 + 35.8 + 5.2) * 1e-6, abs=1e-15)


def test_a_joiner_displaces_activations_by_hand() -> None:
    """1000 B: the joiner's 700 B are read 10 times a second, the encoder's 500 B of activations serve 4 B/s each."""
    encoder = component("encoder", [5000], activation_bytes=2000.0, peak_activation_bytes=500)
    found = analyse(workload(encoder, component("joiner", [700])), rates(encoder=(1, 1), joiner=(10, 10)), device())
    assert found.placement.local == ("joiner",)
    assert found.placement.local_shares() == (0.6, 1.0)
    assert found.placement.saved_w == pytest.approx((7000 + 0.6 * 2000) * 9e-9, abs=1e-15)
    # encoder: 5000 B × 10 nJ/B + 1200 B × 1 nJ/B + 800 B × 10 nJ/B; joiner: 7000 B × 1 nJ/B
    assert found.component("encoder").activations_w.value == pytest.approx(9.2e-6, abs=1e-15)
    # busy: 5000/1e6 + 1200/2e6 + 800/1e6 = 6.4 ms and 7000/2e6 = 3.5 ms, at 1 mW
    assert found.total_w.value == pytest.approx((50 + 9.2 + 7 + 6.4 + 3.5) * 1e-6, abs=1e-15)


def test_a_placement_without_shares_fills_the_room_evenly() -> None:
    """As one does who keeps room first: 1000 B for needs of 2600 B."""
    heavy = component("encoder", [100], activation_bytes=3000.0, peak_activation_bytes=600, state_bytes=2000)
    kept = Placement(
        unit="component", capacity_bytes=1000, reserved_bytes=2600, local=(), local_bytes=0, saved_w=0.0,
        greedy_saved_w=0.0, bound_saved_w=0.0,
    )  # fmt: skip
    found = analyse(workload(heavy), rates(encoder=(1, 1)), device(), placement=kept)
    near = 7000 * 1000 / 2600
    assert found.component("encoder").activations_w.value == pytest.approx((near + 10 * (7000 - near)) * 1e-9)


def test_a_dtype_without_its_own_cost_pays_for_the_next_wider() -> None:
    half = analyse(workload(component("encoder", [8], macs=1000, dtype="float16")), rates(encoder=(1, 1)), device())
    assert half.component("encoder").arithmetic_w.value == pytest.approx(1000 * 4e-12)


def test_intervals_hold_the_figure_follow_the_ranges_and_repeat() -> None:
    wide = device(idle=constant(1, "mW", 0, 5))
    one, again = analyse(two_layers(), AT, wide), analyse(two_layers(), AT, wide)
    assert one == again
    low, high = one.total_w.ci95
    assert low < one.total_w.value < high
    assert one.component("joiner").weight_reads_w["near"].ci95 == (6e-6, 6e-6)  # its constants have no range
    assert analyse(two_layers(), AT, wide, seed=1).total_w.ci95 != one.total_w.ci95


def test_an_interval_is_that_of_the_triangle() -> None:
    """One constant with a range, nothing else: the 95 % interval of a symmetric triangle over 1 to 9 mW is known."""
    flat = device(idle=constant(5, "mW", 0, 10))
    found = analyse(workload(component("encoder", [], macs=1e6)), rates(encoder=(1, 1)), flat, draws=60_000)
    low, high = found.component("encoder").idle_w.ci95
    assert low == pytest.approx(10e-3 * (0.025 / 2) ** 0.5, rel=0.03)
    assert high == pytest.approx(10e-3 - low, rel=0.03)


sizes = st.lists(st.integers(1, 4000), min_size=1, max_size=4)
calls = st.floats(0.1, 100)


@settings(max_examples=60, deadline=None)
@given(sizes, sizes, calls, calls, st.integers(0, 9000), st.sampled_from(["component", "tensor"]))
def test_parts_sum_to_the_total(
    one: list[int], other: list[int], first: float, second: float, capacity: int, unit: Unit
) -> None:
    made = workload(
        component("encoder", one, macs=1234, activation_bytes=77.0, state_bytes=9),
        component("joiner", other, macs=55, dtype="int8", activation_bytes=11.0),
    )
    found = analyse(
        made,
        rates(encoder=(first, first), joiner=(second, 2 * second)),
        device().with_local_memory(capacity),
        unit=unit,
    )
    for each in found.components:
        parts = sum(part.value for part in each.weight_reads_w.values())
        parts += each.activations_w.value + each.arithmetic_w.value + each.idle_w.value
        assert parts == pytest.approx(each.total_w.value, rel=1e-12)
    assert sum(each.total_w.value for each in found.components) == pytest.approx(found.total_w.value, rel=1e-12)
    read = sum(each.bytes_per_s for each in found.components)
    assert read == pytest.approx(sum(one) * first + sum(other) * second, rel=1e-9)


@st.composite
def workloads(draw: st.DrawFn) -> tuple[Workload, Rates]:
    """Two components with weights, activations and states of any proportion."""
    made = [
        component(
            name,
            draw(sizes),
            activation_bytes=draw(st.floats(0, 20_000)),
            peak_activation_bytes=draw(st.integers(0, 4000)),
            state_bytes=draw(st.integers(0, 4000)),
        )
        for name in ("encoder", "joiner")
    ]
    return workload(*made), rates(encoder=(draw(calls), draw(calls)), joiner=(draw(calls), draw(calls)))


@settings(max_examples=60, deadline=None)
@given(workloads(), st.integers(0, 20_000), st.integers(1, 20_000), st.sampled_from(["component", "tensor"]))
def test_more_local_memory_never_costs_more(
    found: tuple[Workload, Rates], capacity: int, more: int, unit: Unit
) -> None:
    small = sum(power_w(*found, device().with_local_memory(capacity), unit=unit).values())
    large = sum(power_w(*found, device().with_local_memory(capacity + more), unit=unit).values())
    assert large <= small * (1 + 1e-12)


@settings(max_examples=60, deadline=None)
@given(workloads(), st.integers(0, 20_000), st.sampled_from(["component", "tensor"]))
def test_weighing_costs_no_more_than_keeping_room_first(
    found: tuple[Workload, Rates], capacity: int, unit: Unit
) -> None:
    """The other rule: states and activations take what they need, weights the rest; and power saved is power saved."""
    made, at = found
    near = device().with_local_memory(capacity)
    need = reserved_bytes(made)
    packed = solve(items(made, at, near, unit), max(0, capacity - need))
    first = Placement(
        unit=unit, capacity_bytes=capacity, reserved_bytes=need, local=tuple(item.name for item in packed.items),
        local_bytes=packed.size, saved_w=0.0, greedy_saved_w=0.0, bound_saved_w=0.0,
    )  # fmt: skip
    best = analyse(made, at, near, unit=unit, draws=0)
    assert best.total_w.value <= analyse(made, at, near, unit=unit, placement=first, draws=0).total_w.value * (
        1 + 1e-12
    )
    far = dataclasses.replace(first, local=(), activations_local=0.0, states_local=0.0)
    nothing = analyse(made, at, near, unit=unit, placement=far, draws=0)
    free = need == 0 or not activation_room_bytes(made)  # activations without a size lie near, whatever the capacity
    if not free:
        saved = sum(_without_idle(nothing)) - sum(_without_idle(best))
        assert saved == pytest.approx(best.placement.saved_w, rel=1e-9, abs=1e-15)


def _without_idle(found: breakdown.Breakdown) -> list[float]:
    return [each.total_w.value - each.idle_w.value for each in found.components]


@settings(max_examples=60, deadline=None)
@given(sizes, calls, st.floats(1.0, 5.0), st.integers(0, 9000))
def test_more_bytes_and_more_calls_never_cost_less(one: list[int], per_s: float, factor: float, capacity: int) -> None:
    near = device().with_local_memory(capacity)
    base = component("encoder", one, macs=100, activation_bytes=10.0)
    before = sum(power_w(workload(base), rates(encoder=(per_s, per_s)), near).values())
    for made, at in (
        (base.scaled(factor), rates(encoder=(per_s, per_s))),
        (base, rates(encoder=(per_s * factor, per_s * factor))),
        (base, rates(encoder=(per_s, per_s * factor))),
    ):
        assert sum(power_w(workload(made), at, near).values()) >= before * (1 - 1e-9)


def test_one_tier_needs_room_for_everything() -> None:
    from wattscribe.errors import InputError

    lonely = device(tiers=device_data()["tiers"][:1])
    assert analyse(workload(component("encoder", [900])), rates(encoder=(1, 1)), lonely).placement.local == ("encoder",)
    with pytest.raises(InputError, match="101 bytes more than its only memory"):
        analyse(workload(component("encoder", [1101])), rates(encoder=(1, 1)), lonely)
