"""GPTQ against plain rounding; scales; the packing of MatMulNBits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattscribe.compression.levers.factor import factorise
from wattscribe.compression.levers.width import repaired, select
from wattscribe.compression.linears import pack, unpack
from wattscribe.compression.rounding import best_scale, descended, gptq, nearest, output_error


def correlated(rng: np.random.Generator, rows: int = 600, inputs: int = 48, rank: int = 12) -> np.ndarray:
    """Inputs as layers have them: a few directions hold most of the energy."""
    return rng.standard_normal((rows, rank)) @ rng.standard_normal((rank, inputs)) + 0.1 * rng.standard_normal(
        (rows, inputs)
    )


@pytest.mark.parametrize("bits", [4, 8])
def test_gptq_disturbs_the_output_less_than_rounding(bits: int) -> None:
    rng = np.random.default_rng(0)
    inputs = correlated(rng)
    weight = rng.standard_normal((48, 16)).astype(np.float32)
    gram = inputs.T @ inputs
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    scale = np.abs(weight).max(axis=0, keepdims=True) / high
    plain = nearest(weight, scale, low, high) * scale
    repaired_codes = gptq(weight, scale, gram, low, high)
    assert repaired_codes.min() >= low
    assert repaired_codes.max() <= high
    assert output_error(weight, repaired_codes * scale, gram) < 0.5 * output_error(weight, plain, gram)


@pytest.mark.parametrize("bits", [4, 8])
def test_what_is_hardly_asked_stays_as_it_is(bits: int) -> None:
    """Inputs that calibration hears faintly are free to make up for the others' rounding, and must not be: others hear them."""
    rng = np.random.default_rng(6)
    loud = correlated(rng, inputs=24)
    faint = 0.01 * loud[:, :24] + 0.001 * rng.standard_normal((600, 24))
    heard, other = np.hstack([loud, faint]), np.hstack([loud, rng.standard_normal((600, 24))])
    weight = rng.standard_normal((48, 16)).astype(np.float32)
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    scale = np.broadcast_to(np.abs(weight).max(axis=0, keepdims=True) / high, weight.shape)
    gram = heard.T @ heard
    plain, fitted = nearest(weight, scale, low, high), gptq(weight, scale, gram, low, high)
    fitted = descended(weight, fitted, scale, gram, low, high)
    assert output_error(weight, fitted * scale, gram) < output_error(weight, plain * scale, gram)
    assert output_error(weight, fitted * scale, other.T @ other) < 2 * output_error(
        weight, plain * scale, other.T @ other
    )


def test_gptq_survives_inputs_that_are_always_zero() -> None:
    rng = np.random.default_rng(1)
    inputs = correlated(rng)
    inputs[:, 5] = 0
    weight = rng.standard_normal((48, 4)).astype(np.float32)
    codes = gptq(weight, np.full((1, 4), 0.1, np.float32), inputs.T @ inputs, -127, 127)
    assert np.isfinite(codes).all()


def test_output_error_is_that_of_the_real_outputs() -> None:
    rng = np.random.default_rng(2)
    inputs = correlated(rng)
    weight = rng.standard_normal((48, 8)).astype(np.float32)
    other = weight + 0.01 * rng.standard_normal(weight.shape).astype(np.float32)
    real = np.linalg.norm(inputs @ (other - weight)) ** 2 / np.linalg.norm(inputs @ weight) ** 2
    assert output_error(weight, other, inputs.T @ inputs) == pytest.approx(real, rel=1e-4)


def test_a_clipped_scale_is_never_worse_than_the_largest_weight() -> None:
    rng = np.random.default_rng(3)
    weight = rng.standard_t(2, (32, 10)).astype(np.float32)
    flat = np.ones(32)
    largest = np.abs(weight).max(axis=0, keepdims=True) / 7

    def error(scale: np.ndarray) -> np.ndarray:
        lost = (weight - np.clip(np.rint(weight / scale), -8, 7) * scale) ** 2
        found: np.ndarray = lost.sum(axis=0)
        return found

    assert (error(best_scale(weight, flat, -8, 7)) <= error(largest) + 1e-9).all()
    assert error(best_scale(weight, flat, -8, 7)).sum() < error(largest).sum()


@settings(max_examples=40, deadline=None)
@given(inputs=st.integers(1, 70), outputs=st.integers(1, 9), bits=st.sampled_from([4, 8]), block=st.sampled_from([16, 32]),
       seed=st.integers(0, 99))  # fmt: skip
def test_packing_and_unpacking_are_inverse(inputs: int, outputs: int, bits: int, block: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    half = 1 << (bits - 1)
    codes = rng.integers(0, 2 * half, (inputs, outputs)).astype(np.int32)
    blocks = -(-inputs // block)
    scales = rng.uniform(0.1, 2, (outputs, blocks)).astype(np.float32)
    found = unpack(pack(codes, bits, block), scales.ravel(), inputs, outputs, bits, block)
    wanted = (codes - half) * np.repeat(scales, block, axis=1)[:, :inputs].T
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_least_squares_after_pruning_beats_plain_pruning() -> None:
    rng = np.random.default_rng(4)
    inputs = correlated(rng)
    weight = rng.standard_normal((48, 16)).astype(np.float32)
    gram = inputs.T @ inputs
    kept = select(weight, gram, 0.5)

    def error(rows: np.ndarray) -> float:
        return float(np.linalg.norm(inputs[:, kept] @ rows - inputs @ weight))

    assert len(kept) == 24
    assert error(repaired(weight, gram, kept, refit=True)) < 0.2 * error(repaired(weight, gram, kept, refit=False))


def test_svd_on_activations_beats_svd_of_the_weights() -> None:
    rng = np.random.default_rng(5)
    inputs = correlated(rng)
    weight = rng.standard_normal((48, 32)).astype(np.float32)
    first, second = factorise(weight, inputs.T @ inputs, 8)
    left, values, right = np.linalg.svd(weight, full_matrices=False)
    plain = (left[:, :8] * values[:8]) @ right[:8]
    assert first.shape == (48, 8)
    assert second.shape == (8, 32)
    assert np.linalg.norm(inputs @ (first @ second - weight)) < 0.5 * np.linalg.norm(inputs @ (plain - weight))
