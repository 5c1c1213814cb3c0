"""Slopes, jumps, orders and accuracy laws, against functions whose answer is known."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.energy.builders import component, constant, device, rates, workload
from wattscribe.energy import curves
from wattscribe.energy.accuracy import AccuracyLaw, fit
from wattscribe.energy.placement import place
from wattscribe.energy.sensitivity import first_mentions, of_component, order
from wattscribe.energy.workload import Workload
from wattscribe.errors import InputError

FREE = device(idle=constant(0, "W"))


def three() -> Workload:
    return workload(component("encoder", [8000]), component("predictor", [2000]), component("joiner", [1500]))


AT = rates(encoder=(3, 3), predictor=(5, 5), joiner=(25, 25))


def test_slope_and_jump_by_hand() -> None:
    found = of_component(three(), "joiner", AT, FREE)
    assert found.mw_per_mb == pytest.approx(1e3 * 1e6 * 25 * 10e-9)  # 25 reads/s × 10 nJ/B
    assert (found.is_local, found.fits_at_bytes) == (False, 1000)
    assert found.jump_mw == pytest.approx(1e3 * 1000 * 25 * 9e-9)  # 1000 B, 9 nJ/B cheaper
    local = of_component(workload(component("joiner", [900])), "joiner", AT, FREE)
    assert local.is_local
    assert local.fits_at_bytes is None
    assert local.mw_per_mb == pytest.approx(1e3 * 1e6 * 25 * 1e-9)


def test_a_component_enters_where_it_is_worth_more_than_what_gives_way() -> None:
    """1000 B of memory: activations 3 B/s for each of 600 B, states 1 B/s for each of 400 B, the joiner 2 B/s for each.

    Of size x ≤ 400 it displaces states and gains x; beyond, activations too: 400 − (x − 400) ≥ 0 up to x = 800. There the
    gain is nothing; a joiner read 5 times a second is worth more than both and enters as soon as it fits."""
    encoder = component("encoder", [8000], activation_bytes=1800.0, peak_activation_bytes=600)
    predictor = component("predictor", [8000], state_bytes=400)
    made = workload(encoder, predictor, component("joiner", [3000]))
    at = rates(encoder=(1e-3, 1), predictor=(1e-3, 0.5), joiner=(2, 2))
    found = of_component(made, "joiner", at, FREE)
    assert (found.is_local, found.fits_at_bytes, found.jump_mw) == (False, 799, pytest.approx(1e3 * 1 * 9e-9))
    keen = of_component(made, "joiner", rates(encoder=(1e-3, 1), predictor=(1e-3, 0.5), joiner=(5, 5)), FREE)
    assert (keen.fits_at_bytes, keen.jump_mw) == (1000, pytest.approx(1e3 * (5000 - 1800 - 400) * 9e-9))
    never = of_component(made, "joiner", rates(encoder=(1e-3, 1), predictor=(1e-3, 0.5), joiner=(0.9, 0.9)), FREE)
    assert (never.is_local, never.fits_at_bytes, never.jump_mw) == (False, None, None)


def test_a_component_enters_beside_another_or_in_its_stead() -> None:
    """1000 B of memory, of which a predictor read 3 times a second has 400."""
    made = workload(component("predictor", [400]), component("joiner", [3000]))
    beside = of_component(made, "joiner", rates(predictor=(3, 3), joiner=(1.1, 1.1)), FREE)
    assert (beside.fits_at_bytes, beside.jump_mw) == (600, pytest.approx(1e3 * 660 * 9e-9))
    instead = of_component(made, "joiner", rates(predictor=(3, 3), joiner=(2, 2)), FREE)
    assert (instead.fits_at_bytes, instead.jump_mw) == (1000, pytest.approx(1e3 * (2000 - 1200) * 9e-9))


def test_a_local_component_that_shrinks_lets_activations_in() -> None:
    """Near, a byte of the joiner costs 10 × 1 nJ; what it leaves takes activations in, 4 B/s at 9 nJ less."""
    encoder = component("encoder", [5000], activation_bytes=2000.0, peak_activation_bytes=500)
    made = workload(encoder, component("joiner", [700]))
    found = of_component(made, "joiner", rates(encoder=(1, 1), joiner=(10, 10)), FREE)
    assert found.is_local
    assert found.mw_per_mb == pytest.approx(1e3 * 1e6 * (10 * 1e-9 + 4 * 9e-9))


part = st.tuples(
    st.lists(st.integers(1, 3000), min_size=1, max_size=1),
    st.integers(0, 1500),
    st.floats(0, 9000),
    st.integers(0, 900),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(part, min_size=3, max_size=3), st.lists(st.floats(0.1, 20), min_size=3, max_size=3), st.data())
def test_a_component_is_in_the_optimum_where_it_is_said_to_enter_and_at_no_larger_size(
    parts: list[tuple[list[int], int, float, int]], per_s: list[float], data: st.DataObject
) -> None:
    names = ("encoder", "predictor", "joiner")
    made = workload(
        *(
            component(name, size, peak_activation_bytes=peak, activation_bytes=moved, state_bytes=states)
            for name, (size, peak, moved, states) in zip(names, parts, strict=True)
        )
    )
    at = rates(**{name: (each, each) for name, each in zip(names, per_s, strict=True)})
    near = FREE.with_local_memory(data.draw(st.integers(1, 4000)))
    name = data.draw(st.sampled_from(names))
    whole = made.component(name)
    found = of_component(made, name, at, near)
    if found.is_local:
        return
    fits = found.fits_at_bytes or 0

    def gain(size: int) -> float:
        shrunk = made.replace(whole.scaled(size / whole.size_bytes))
        best = place(shrunk, at, near)
        without = place(made.replace(whole.scaled(1e-12)), at, near)  # of no bytes and no reads worth a place
        return (best.saved_w - without.saved_w) / without.saved_w if name in best.local else 0.0

    if fits:
        assert gain(fits) > 0
    if fits < whole.size_bytes - 1:
        assert gain(data.draw(st.integers(fits + 1, whole.size_bytes))) < 1e-6


def test_the_order_is_the_study_s_joiner_until_it_fits_then_predictor_then_encoder() -> None:
    steps = order(three(), AT, FREE, floor=0.5)
    assert steps[0].component == "joiner"
    assert steps[0].fits
    assert steps[0].to_bytes == 1000
    assert first_mentions(steps, three()) == ["joiner", "predictor", "encoder"]
    for before, after in itertools.pairwise(steps):
        assert after.component != before.component or after.from_bytes == before.to_bytes
    assert {step.component: step.to_bytes for step in steps} == {"joiner": 750, "predictor": 1000, "encoder": 4000}


def law(a_per_mb: float, c: float = 0.05) -> AccuracyLaw:
    exact = {"a_ci95": (a_per_mb, a_per_mb), "b_ci95": (-3.0, -3.0), "c_ci95": (c, c)}
    return AccuracyLaw(a_per_mb=a_per_mb, b=-3.0, c=c, r2=1.0, residual=0.0, points=5, **exact)


def test_accuracy_turns_the_order_round() -> None:
    """A joiner whose every byte carries words is left until last, whatever power it takes."""
    laws = {"encoder": law(-1.0), "predictor": law(-1.0), "joiner": law(-2000.0)}
    steps = order(three(), AT, FREE, laws=laws, floor=0.5)
    assert first_mentions(steps, three())[-1] == "joiner"
    assert all(step.wer_increase is not None and step.wer_increase >= 0 for step in steps)
    with pytest.raises(InputError, match="no accuracy law for predictor, joiner"):
        order(three(), AT, FREE, laws={"encoder": law(-1.0)})


# --- WER = exp(a·size + b) + c ----------------------------------------------------------------------------------------
def points(a: float, b: float, c: float, sizes: list[float], noise: float = 0.0) -> list[tuple[float, float]]:
    error = np.random.default_rng(1).normal(0, noise, len(sizes))
    return [(size * 1e6, math.exp(a * size + b) + c + float(each)) for size, each in zip(sizes, error, strict=True)]


def test_an_exact_law_is_recovered() -> None:
    found = fit(points(-0.3, -1.5, 0.04, [1, 2, 4, 6, 8, 12, 20]))
    assert (found.a_per_mb, found.b, found.c) == pytest.approx((-0.3, -1.5, 0.04), rel=1e-3)
    assert found.r2 > 0.999999
    assert found.wer(4e6) == pytest.approx(math.exp(-2.7) + 0.04, rel=1e-4)


def test_intervals_hold_the_truth_nineteen_times_in_twenty() -> None:
    sizes = np.linspace(1, 20, 12)
    hits = 0
    for seed in range(40):
        error = np.random.default_rng(seed).normal(0, 0.002, len(sizes))
        wers = np.exp(-0.3 * sizes - 1.5) + 0.04 + error
        found = fit([(size * 1e6, float(wer)) for size, wer in zip(sizes, wers, strict=True)])
        hits += found.a_ci95[0] <= -0.3 <= found.a_ci95[1]
    assert 35 <= hits <= 40


def test_fits_that_are_refused() -> None:
    with pytest.raises(InputError, match="needs 4 sizes, 3 were given"):
        fit(points(-0.3, -1.5, 0.04, [1, 2, 4]))
    with pytest.raises(InputError, match="needs 4 sizes, 2 were given"):
        fit(points(-0.3, -1.5, 0.04, [1, 1, 2, 2, 1]))
    with pytest.raises(InputError, match="does not fall as the component grows"):
        fit([(size * 1e6, 0.05 + 0.01 * size) for size in (1.0, 2.0, 3.0, 4.0)])
    with pytest.raises(InputError, match="WER a fraction"):
        fit([(1e6, 0.1), (2e6, -0.1), (3e6, 0.1), (4e6, 0.1)])


# --- curves -----------------------------------------------------------------------------------------------------------
def test_vocabulary_scales_the_tensors_with_a_row_per_token() -> None:
    made = workload(component("encoder", [300]), component("joiner", [500, 40], macs=500), vocabulary=500)
    small = curves.with_vocabulary(made, 250)
    assert small.component("joiner").size_bytes == 250 + 40
    assert small.component("encoder").size_bytes == 300
    assert small.vocabulary == 250


def test_longer_segments_read_the_encoder_less_often() -> None:
    made = workload(component("encoder", [4000], macs=0), segment_s=0.32)
    one, two = curves.segment_length(made, rates(encoder=(3.125, 3.125)), FREE, [1.0, 2.0])
    assert (one.x, two.x) == (0.32, 0.64)
    assert one.power_w["encoder"] == pytest.approx(2 * two.power_w["encoder"])
