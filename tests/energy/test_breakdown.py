"""Power worked out by hand, conservation, and the directions in which it must move."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.energy.builders import component, constant, device, device_data, rates, workload
from wattscribe.energy import breakdown
from wattscribe.energy.breakdown import analyse, power_w
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
    heavy = component("encoder", [100], activation_bytes=1000.0, state_bytes=2000)
    found = analyse(workload(heavy), rates(encoder=(1, 1)), device())
    # 2000 B of states in 1000 B of local memory: half of the 5000 B moved is near, half far
    assert found.component("encoder").activations_w.value == pytest.approx(2500 * 1e-9 + 2500 * 10e-9)


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
    one: list[int], other: list[int], first: float, second: float, capacity: int, unit: breakdown.Unit
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


@settings(max_examples=60, deadline=None)
@given(sizes, sizes, calls, calls, st.integers(0, 9000), st.integers(1, 9000), st.sampled_from(["component", "tensor"]))
def test_more_local_memory_never_costs_more(
    one: list[int], other: list[int], first: float, second: float, capacity: int, more: int, unit: breakdown.Unit
) -> None:
    made = workload(component("encoder", one), component("joiner", other))
    at = rates(encoder=(first, first), joiner=(second, second))
    free = device(idle=constant(0, "W"))
    small = sum(power_w(made, at, free.with_local_memory(capacity), unit=unit).values())
    large = sum(power_w(made, at, free.with_local_memory(capacity + more), unit=unit).values())
    assert large <= small * (1 + 1e-12)


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
