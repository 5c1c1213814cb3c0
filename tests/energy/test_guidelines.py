"""What the advice says of an order of compression, against steps made by hand."""

from __future__ import annotations

from wattscribe.energy.guidelines import _steps
from wattscribe.energy.sensitivity import MB, Step


def step(component: str, start_mb: float, saved_mw: float) -> Step:
    """A tenth of a megabyte less."""
    end_mb = start_mb - 0.1
    return Step(
        component=component, from_bytes=round(start_mb * MB), to_bytes=round(end_mb * MB), saved_mw=saved_mw,
        saved_mw_per_mb=10 * saved_mw, wer_increase=None, ratio=10 * saved_mw, fits=False,
    )  # fmt: skip


def test_steps_told_together_say_what_they_save_together() -> None:
    (said,) = _steps([step("joiner", 1.0 - 0.1 * n, 0.0736) for n in range(8)], None)
    assert "the joiner from 1.00 to 0.20 MB, which saves 0.589 mW; at the start that is 0.736 mW per MB." in said


def test_steps_that_save_unequally_are_told_apart() -> None:
    (said,) = _steps([step("joiner", 1.0, 5.0), step("joiner", 0.9, 0.07), step("joiner", 0.8, 0.07)], None)
    assert (
        "the joiner from 1.00 to 0.90 MB, which saves 5 mW, then the joiner from 0.90 to 0.70 MB, which saves 0.14 mW"
        in said
    )
