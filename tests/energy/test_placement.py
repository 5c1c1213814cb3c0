"""The knapsack against brute force, weights against states and activations, and what moves as memory grows."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.energy.builders import ZIPFORMER, component, device, needs_zipformer, rates, workload
from wattscribe.energy import devices
from wattscribe.energy.files import of_directory
from wattscribe.energy.knapsack import Item, greedy, solve
from wattscribe.energy.placement import moves, place, reserved_bytes
from wattscribe.energy.rates import stated


def brute(items: list[Item], capacity: int) -> float:
    """Every set of whole items; in what it leaves, divisible ones in every order."""
    whole, fluid = ([item for item in items if item.divisible is each] for each in (False, True))
    best = 0.0
    for chosen in itertools.chain.from_iterable(itertools.combinations(whole, size) for size in range(len(whole) + 1)):
        left = capacity - sum(item.size for item in chosen)
        if left >= 0:
            value = sum(item.value for item in chosen)
            best = max(best, value + max(filled(order, left) for order in itertools.permutations(fluid)))
    return best


def filled(order: Sequence[Item], left: int) -> float:
    value = 0.0
    for item in order:
        part = min(item.size, left)
        value += item.value * part / item.size if item.size else item.value
        left -= part
    return value


def listed(divisible: bool, most: int) -> st.SearchStrategy[list[Item]]:
    return st.lists(st.tuples(st.integers(0, 60), st.integers(0, 40)), max_size=most).map(
        lambda pairs: [
            Item(name=f"{divisible}{index}", size=size, value=value / 8, divisible=divisible)
            for index, (size, value) in enumerate(pairs)
        ]
    )


@settings(max_examples=200, deadline=None)
@given(listed(False, 8), listed(True, 3), st.integers(0, 150))
def test_the_exact_solution_is_the_best_of_all(whole: list[Item], fluid: list[Item], capacity: int) -> None:
    found = [*whole, *fluid]
    best, bound = solve(found, capacity), greedy(found, capacity)
    assert best.value == pytest.approx(brute(found, capacity))
    assert best.size == sum(item.size for item in best.items) + sum(best.parts.values()) <= capacity
    inside = sum(item.value for item in best.items)
    parts = sum(item.value * best.parts[item.name] / item.size if item.size else item.value for item in fluid)
    assert best.value == pytest.approx(inside + parts)
    assert all(0 <= best.parts[item.name] <= item.size for item in fluid)
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


def test_weights_states_and_activations_are_weighed_by_hand() -> None:
    """Per byte and second: joiner 5, activations 1500/500 = 3, states 2, encoder 1; a byte near saves 9 nJ."""
    made = workload(
        component("encoder", [100], activation_bytes=1500.0, peak_activation_bytes=500, state_bytes=300),
        component("joiner", [400], peak_activation_bytes=50),
    )
    at = rates(encoder=(1, 1), joiner=(5, 5))
    expected = {
        399: ((), 0, 399, 399 / 500, 0.0, 3 * 399),  # the joiner does not fit
        400: (("joiner",), 400, 0, 0.0, 0.0, 2000),  # and displaces all activations as soon as it does
        700: (("joiner",), 400, 300, 0.6, 0.0, 2000 + 900),
        1000: (("joiner",), 400, 600, 1.0, 1 / 3, 2000 + 1500 + 200),
        1249: (("joiner",), 400, 800, 1.0, 1.0, 2000 + 1500 + 600),
        1251: (("encoder", "joiner"), 500, 751, 1.0, 251 / 300, 2000 + 1500 + 502 + 100),  # 100 B/s for 49 × 2 B/s
        1300: (("encoder", "joiner"), 500, 800, 1.0, 1.0, 2000 + 1500 + 600 + 100),
    }
    for capacity, (local, local_bytes, rest, activations, states, bytes_per_s) in expected.items():
        found = place(made, at, device().with_local_memory(capacity))
        assert (found.local, found.local_bytes, found.reserved_bytes) == (local, local_bytes, rest)
        assert found.local_shares() == pytest.approx((activations, states))
        assert found.saved_w == pytest.approx(bytes_per_s * 9e-9)
    assert reserved_bytes(made) == 800  # what they need, room or none


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
    for capacity in (700_000, 1_400_000, 2_000_000, 3_333_333):
        found = place(made, at, phone.with_local_memory(capacity), unit="tensor")
        assert found.local_bytes + found.reserved_bytes <= capacity
        assert found.greedy_saved_w <= found.saved_w <= found.bound_saved_w * (1 + 1e-12)
        assert "joiner/output_linear.weight" in found.local  # read 25 times a second, activations 11.5
        assert found.saved_w > 0.999 * found.bound_saved_w
