"""An external meter's clock on the machine's, with the residual stated; here by cross-correlation, in `marks` by marked loads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from wattscribe.errors import MeterError
from wattscribe.metering.window.signal import Floats
from wattscribe.records import PowerTrace

if TYPE_CHECKING:
    from wattscribe.metering.recordings.recording import Recording

MIN_CORRELATION = 0.5
"""Below this the two signals do not show the same load."""
RIVAL_SHARE = 0.97
"""A second peak as high as this share of the first, elsewhere, leaves the offset open: a periodic load."""
MAX_DRIFT = 0.01
"""Clocks that differ by more than 1 % were matched at wrong edges."""
MAX_QUARTZ_DRIFT = 2e-4
"""What two quartz clocks can differ by: ±100 ppm each, twice the usual grade (±50 ppm over temperature, as of an HC-49 crystal's
data sheet). More is no drift: a clock was set between, or samples were lost."""
MAX_POINTS = 1 << 19
"""Of a grid that is searched: its transforms stay below 100 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """monotonic = offset_s + rate · recorded, with how well it fits."""

    offset_s: float
    rate: float
    residual_s: float
    """The root mean square misfit of the edges, or the halves' disagreement; at least what the sampling can resolve."""
    method: Literal["edges", "correlation"]
    points: int
    """Edges used, or halves compared."""
    correlation: float | None = None
    anchors_s: tuple[float, ...] = ()
    """The edges used, on the monotonic clock, where marks were found."""

    @property
    def drift_ppm(self) -> float | None:
        """How much faster the recorder's clock runs; None where one edge cannot tell."""
        return None if self.points < 2 else (1 / self.rate - 1) * 1e6

    def to_clock(self, recorded_s: Floats) -> Floats:
        """The recorder's times on the machine's monotonic clock."""
        return self.offset_s + self.rate * recorded_s


def by_correlation(recording: Recording, reference: PowerTrace) -> Alignment:
    """Against a trace that this machine recorded of the same load (a rail, or its CPU use): any linear likeness will do.

    Both halves are aligned once more by themselves: their difference is the drift, and what then remains the residual.
    Raises MeterError where the signals are unlike or the load is periodic, so that several offsets fit.
    """
    known = np.isfinite(reference.power_w)
    reference_t, reference_p = np.asarray(reference.t_s)[known], np.asarray(reference.power_w)[known]
    if reference_t.size < 8:
        raise MeterError(f"the reference has {reference_t.size} samples, which is too few", where=reference.channel)
    step_s = _step_s(recording, reference_t)
    recorded_t, recorded_p = recording.points()
    offset_s, correlation = _offset(recorded_t, recorded_p, reference_t, reference_p, step_s)
    middle = reference_t.size // 2
    halves = []
    for part in (slice(0, middle), slice(middle, None)):
        try:
            half_s, _ = _offset(recorded_t, recorded_p, reference_t[part], reference_p[part], step_s, near=offset_s)
        except MeterError:
            continue
        halves.append((float(np.mean(reference_t[part])) - half_s, half_s))
    if len(halves) < 2:
        return Alignment(
            offset_s=offset_s, rate=1.0, residual_s=step_s, method="correlation", points=1, correlation=correlation
        )
    (first_t, first_s), (second_t, second_s) = halves
    drift = (second_s - first_s) / (second_t - first_t)
    center_s = (first_t + second_t) / 2
    rate = 1 + drift if abs(drift) <= MAX_DRIFT else 1.0
    fitted_s = (first_s + second_s) / 2 - (rate - 1) * center_s if rate != 1.0 else offset_s
    misfit_s = abs((first_s + second_s) / 2 - offset_s)
    if abs(drift) > MAX_QUARTZ_DRIFT + 2 * step_s / (
        second_t - first_t
    ):  # A step somewhere between, nobody knows where.
        misfit_s = max(misfit_s, abs(second_s - first_s) / 2)
    return Alignment(
        offset_s=fitted_s,
        rate=rate,
        residual_s=max(misfit_s, step_s / 2),
        method="correlation",
        points=2,
        correlation=correlation,
    )


def _step_s(recording: Recording, reference_t: Floats) -> float:
    """The finer of both spacings, as far as the memory for the correlation allows."""
    finest_s = min(recording.spacing_s, float(np.median(np.diff(reference_t))))
    length_s = float(recording.t_s[-1] - recording.t_s[0] + reference_t[-1] - reference_t[0])
    return max(finest_s, length_s / MAX_POINTS)


def _offset(
    recorded_t: Floats,
    recorded_p: Floats,
    reference_t: Floats,
    reference_p: Floats,
    step_s: float,
    near: float | None = None,
) -> tuple[float, float]:
    """The offset that makes the two most alike, and the correlation there. `near` limits the search to 1 % of the length."""
    recorded = np.interp(np.arange(recorded_t[0], recorded_t[-1], step_s), recorded_t, recorded_p)
    wanted = np.interp(np.arange(reference_t[0], reference_t[-1], step_s), reference_t, reference_p)
    scores = normalised_correlation(recorded, wanted)
    lags_s = (np.arange(scores.size) - (wanted.size - 1)) * step_s
    offsets_s = reference_t[0] - recorded_t[0] - lags_s
    if near is not None:
        width_s = MAX_DRIFT * (reference_t[-1] - reference_t[0]) + 2 * step_s
        scores = np.where(np.abs(offsets_s - near) <= width_s, scores, -1.0)
    peak = int(scores.argmax())
    best = float(scores[peak])
    if best < MIN_CORRELATION:
        raise MeterError(f"the recording and the reference show different loads (correlation {best:.2f})")
    if near is None:
        _refuse_rivals(scores, peak, best, step_s)
    return float(offsets_s[peak] - _parabola(scores, peak) * step_s), best


def normalised_correlation(recorded: Floats, wanted: Floats) -> Floats:
    """Pearson's correlation at every lag over the part where both overlap; lags with less than half overlapping give -1."""
    size = recorded.size + wanted.size - 1
    length = 1 << (size - 1).bit_length()
    a, b = recorded - recorded.mean(), wanted - wanted.mean()
    reversed_spectrum = np.fft.rfft(b[::-1], length)
    ones = np.fft.rfft(np.ones_like(b), length)
    a_ones = np.fft.rfft(np.ones_like(a), length)

    def at_lags(spectrum: np.ndarray) -> Floats:
        return np.asarray(np.fft.irfft(spectrum, length)[:size], dtype=np.float64)

    count = np.maximum(np.round(at_lags(a_ones * ones)), 1.0)
    sum_a, sum_aa = at_lags(np.fft.rfft(a, length) * ones), at_lags(np.fft.rfft(a * a, length) * ones)
    sum_b = at_lags(a_ones * reversed_spectrum)
    sum_bb = at_lags(a_ones * np.fft.rfft((b * b)[::-1], length))
    product = at_lags(np.fft.rfft(a, length) * reversed_spectrum)
    variance_a, variance_b = sum_aa - sum_a**2 / count, sum_bb - sum_b**2 / count
    floor = 1e-9 * max(float(a.var()), 1e-30) * count
    scale = np.sqrt(np.maximum(variance_a, floor) * np.maximum(variance_b, floor))
    scores = (product - sum_a * sum_b / count) / scale
    return np.asarray(np.where(count >= 0.5 * min(a.size, b.size), scores, -1.0), dtype=np.float64)


def _refuse_rivals(scores: Floats, peak: int, best: float, step_s: float) -> None:
    """Another peak, with a valley between it and the first, that is nearly as high."""
    for direction in (-1, 1):
        index = peak
        while 0 < index < scores.size - 1 and scores[index + direction] <= scores[index]:
            index += direction
        rest = scores[:index] if direction < 0 else scores[index + 1 :]
        if rest.size and float(rest.max()) >= RIVAL_SHARE * best:
            other = int(rest.argmax()) + (0 if direction < 0 else index + 1)
            raise MeterError(
                f"the load repeats itself: offsets {abs(other - peak) * step_s:.3g} s apart fit equally well",
                fix="Mark the load's edges instead, or start with one load of another length",
            )


def _parabola(scores: Floats, peak: int) -> float:
    """The peak's place between samples, in steps, by a parabola through three points."""
    if not 0 < peak < scores.size - 1:
        return 0.0
    left, middle, right = (float(value) for value in scores[peak - 1 : peak + 2])
    curve = left - 2 * middle + right
    return 0.0 if curve >= 0 else float(np.clip((left - right) / (2 * curve), -0.5, 0.5))
