"""The knapsack against brute force, room for states, and what moves as memory grows."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.energy.builders import ZIPFORMER, component, device, needs_zipformer, rates, workload
from wattscribe.energy import devices
from wattscribe.energy.knapsack import Item, greedy, solve
from wattscribe.energy.placement import moves, place
from wattscribe.energy.rates import stated
from wattscribe.energy.workload import of_directory


def brute(items: list[Item], capacity: int) -> float:
    best = 0.0
    for size in range(len(items) + 1):
        for chosen in itertools.combinations(items, size):
            if sum(item.size for item in chosen) <= capacity:
                best = max(best, sum(item.value for item in chosen))
    return best


items = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 40)), max_size=9).map(
    lambda pairs: [Item(name=str(index), size=size, value=value / 8) for index, (size, value) in enumerate(pairs)]
)


@settings(max_examples=300, deadline=None)
@given(items, st.integers(0, 150))
def test_the_exact_solution_is_the_best_of_all(found: list[Item], capacity: int) -> None:
    best, bound = solve(found, capacity), greedy(found, capacity)
    assert best.value == pytest.approx(brute(found, capacity))
    assert best.size == sum(item.size for item in best.items) <= capacity
    assert best.value == pytest.approx(sum(item.value for item in best.items))
    assert bound.value <= best.value + 1e-12
    assert best.value <= bound.upper_bound + 1e-12


def test_greedy_is_only_a_bound() -> None:
    """A small dense item blocks two that would fill the room."""
    found = [Item(name="a", size=6, value=7.0), Item(name="b", size=5, value=5.0), Item(name="c", size=5, value=5.0)]
    assert greedy(found, 10).value == 7.0
    assert solve(found, 10).value == 10.0


def test_many_tensors_of_equal_density_are_solved() -> None:
    """As in an encoder, whose every tensor is read once: the best is the fullest."""
    sizes = np.random.default_rng(0).integers(1, 20_000, size=200) * 4
    found = [Item(name=str(index), size=int(size), value=float(size) * 1e-9) for index, size in enumerate(sizes)]
    best = solve(found, 3_000_000)
    assert best.size == 3_000_000


def test_room_is_kept_for_states_and_the_largest_activations() -> None:
    made = workload(
        component("encoder", [100], state_bytes=300, peak_activation_bytes=500),
        component("joiner", [200], peak_activation_bytes=50),
    )
    at = rates(encoder=(1, 1), joiner=(1, 1))
    found = place(made, at, device())  # 1000 B − 300 − 500 leave 200
    assert (found.reserved_bytes, found.local, found.local_bytes) == (800, ("joiner",), 200)
    assert place(made, at, device().with_local_memory(1099)).local == ("joiner",)
    assert place(made, at, device().with_local_memory(1100)).local == ("encoder", "joiner")
    assert place(made, at, device().with_local_memory(700)).local == ()


def test_by_tensor_is_at_least_as_good_as_by_component() -> None:
    made = workload(component("encoder", [400, 500]), component("joiner", [700]))
    at = rates(encoder=(5, 5), joiner=(4, 4))
    whole, split = place(made, at, device()), place(made, at, device(), unit="tensor")
    assert whole.local == ("encoder",)
    assert split.saved_w >= whole.saved_w
    small = device().with_local_memory(600)
    assert place(made, at, small).local == ()
    assert place(made, at, small, unit="tensor").local == ("encoder/w1",)


def test_what_moves_as_capacity_grows() -> None:
    """A small component gives way to one that is read more, and comes back when both fit."""
    made = workload(component("predictor", [300]), component("joiner", [600]))
    at = rates(predictor=(1, 1), joiner=(10, 10))
    found = moves(made, at, device(), [0, 300, 600, 900])
    assert [(move.moved_in, move.moved_out) for move in found] == [
        ((), ()),
        (("predictor",), ()),
        (("joiner",), ("predictor",)),
        (("predictor",), ()),
    ]


@needs_zipformer
def test_the_real_zipformer_by_tensor_is_solved_exactly() -> None:
    made = of_directory(ZIPFORMER)
    phone = devices.load("phone")
    at = stated(made, decoding="frame-by-frame")
    for capacity in (1_400_000, 2_000_000, 3_333_333):
        found = place(made, at, phone.with_local_memory(capacity), unit="tensor")
        assert found.local_bytes + found.reserved_bytes <= capacity
        assert found.greedy_saved_w <= found.saved_w <= found.bound_saved_w * (1 + 1e-12)
        if capacity > 2_000_000:  # below, the joiner's one matrix does not fit and leaves a gap
            assert found.saved_w > 0.999 * found.bound_saved_w
