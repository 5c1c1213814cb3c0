"""The component study's arithmetic: its law on points with known parameters, its band on models with known sizes."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks._components_law import fit_law, fit_many

SIZES = np.array([0.4, 0.8, 1.2, 1.6, 2.0]) * 1e6
TRUE = (-2.0, -0.9, 0.12)
UTTERANCES = 400


def wer_at(sizes: np.ndarray) -> np.ndarray:
    a, b, c = TRUE
    return np.exp(a * sizes / 1e6 + b) + c


def made_up(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Errors whose expected rate follows the law; an utterance that is hard is hard at every size."""
    rng = np.random.default_rng(seed)
    words = rng.integers(5, 25, UTTERANCES)
    hard = rng.gamma(4.0, 0.25, UTTERANCES)
    rates = np.minimum(wer_at(SIZES)[:, None] * hard, 0.95)
    return rng.binomial(words, rates).astype(float), words.astype(float)


def test_known_parameters_come_back_from_exact_points() -> None:
    a, b, c = fit_many(SIZES / 1e6, wer_at(SIZES)[None])[0]
    assert a == pytest.approx(TRUE[0], rel=0.03)  # the grid's step
    assert b == pytest.approx(TRUE[1], abs=0.05)
    assert c == pytest.approx(TRUE[2], abs=0.005)


def test_intervals_cover_what_the_points_were_made_with() -> None:
    """95 % intervals of 60 draws of utterances: 51 and more cover with a chance above 0.99."""
    laws = [fit_law(SIZES, *made_up(seed), draws=200, seed=seed) for seed in range(60)]
    for name, true in zip(("a_ci95", "b_ci95", "c_ci95"), TRUE, strict=True):
        covered = sum(law is not None and getattr(law, name)[0] <= true <= getattr(law, name)[1] for law in laws)
        assert covered >= 51, (name, covered)
    widths = [law.a_ci95[1] - law.a_ci95[0] for law in laws if law is not None]
    assert 0.1 < np.median(widths) < 4.0  # intervals that say something
    assert sum(law is not None and law.holds for law in laws) >= 54


def test_a_law_that_does_not_hold_is_said() -> None:
    errors, words = made_up(0)
    assert fit_law(SIZES, errors[::-1].copy(), words, draws=50) is None  # WER rises with size
    bent = errors.copy()
    bent[2] *= 1.6
    law = fit_law(SIZES, bent, words, draws=200)
    assert law is not None
    assert not law.holds
    with pytest.raises(ValueError, match="four sizes"):
        fit_law(SIZES[:3], errors[:3], words)
