"""Fit a device's constants to measured energies: joules per byte, per operation by dtype, and idle watts.

Each observation is one model at one precision and setting: E = e_memory·bytes + Σ e_op(dtype)·macs + P_idle·t. Least squares
on relative errors, since a server's joules and an earbud's deserve the same care, and no constant below what physics allows.
A fit that is exact because it has as many constants as observations says nothing, so that one is refused; the intervals rest
on the residuals and on what each fit says of the model that it never saw, whichever is worse.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wattscribe.energy.devices import load, names
from wattscribe.energy.nnls import nnls
from wattscribe.energy.rates import calls_and_rows
from wattscribe.energy.workload import Workload
from wattscribe.errors import InputError
from wattscribe.records import Counts, Interval

Array = NDArray[np.float64]
LEAST_MODELS = 3
LEAST_FREEDOM = 2
"""Observations beyond the number of constants: with fewer the residuals say nothing of the error."""
LARGEST_ERROR = 0.25
"""Median error on a model left out beyond which a fit is no calibration: the shipped profiles' ranges are no wider."""
BEYOND_SHIPPED = 30.0
"""A constant this many times below or above every shipped profile's range is not physical. Small models on a large processor
do come ten times above: there an operation carries what the processor draws while it waits."""
REMEDY = "Bench more models, of other sizes and segment lengths, on a quiet machine (docs/calibrate.md)"
RESAMPLES = 500
LEAST_RELATIVE_SD = 0.005
"""No sensor of sensors.md is better than half a per cent, whatever its interval says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What was done in a measured window, and the joules it took."""

    model: str
    precision: str
    window_s: float
    energy_j: float
    sd_j: float
    memory_bytes: float
    macs: Mapping[str, float]
    setting: str = ""
    """What else tells two recognizers of one model and precision apart: the decoding, the threads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """One constant with its 95 % interval, in SI."""

    value: float
    ci95: Interval
    at_bound: bool = False
    """The interval reaches the least that is physical: these observations do not determine the constant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """One observation predicted by a fit that never saw its model."""

    model: str
    precision: str
    measured_j: float
    predicted_j: float

    @property
    def error(self) -> float:
        """Relative: 0.1 is 10 % too much."""
        return self.predicted_j / self.measured_j - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The fitted constants and how well they predict."""

    memory_j_per_byte: Fitted
    mac_j: Mapping[str, Fitted]
    idle_w: Fitted
    observations: int
    models: int
    freedom: int
    """Observations less constants."""
    relative_residual: float
    """Root mean square of the fit's own relative errors."""
    left_out: tuple[Prediction, ...]
    seed: int
    evidence: Literal["calibrated", "simulated"] = "calibrated"
    """`simulated`: fitted to a board that is played; no figure that rests on it is about a device."""
    refusal: str | None = None
    """Why no profile may be called calibrated by this fit; None: nothing speaks against it."""

    @property
    def left_out_error(self) -> float:
        """Median absolute relative error on models left out."""
        return float(np.median([abs(held_out.error) for held_out in self.left_out]))

    @property
    def worst_error(self) -> float:
        return max(abs(held_out.error) for held_out in self.left_out)


def observe(
    workload: Workload,
    counts: Counts,
    *,
    precision: str,
    window_s: float,
    energy_j: float,
    sd_j: float,
    model: str | None = None,
    setting: str = "",
) -> Observation:
    """What a counted decode did: bytes moved (weights, activations, states) and macs by dtype."""
    moved = 0.0
    macs: dict[str, float] = {}
    for component in workload.components:
        called, rows = calls_and_rows(component.name, counts)
        per_row = component.row_bytes + component.activation_bytes + 2 * component.state_bytes
        moved += component.call_bytes * called + per_row * rows
        for dtype, count in component.macs.items():
            macs[dtype] = macs.get(dtype, 0.0) + count * rows
    return Observation(
        model=workload.name if model is None else model,
        precision=precision,
        window_s=window_s,
        energy_j=energy_j,
        sd_j=sd_j,
        memory_bytes=moved,
        macs=macs,
        setting=setting,
    )


def calibrate(observations: Sequence[Observation], *, seed: int = 0) -> Calibration:
    """Fit, with intervals by parametric resampling and with every model left out once.

    Raises InputError when there are too few models or observations, or when their work does not tell the constants apart,
    with all models or with one left out. A fit that is not to be trusted carries its `refusal`.
    """
    _check(observations)
    seen = pooled(observations)
    dtypes = sorted({dtype for observation in seen for dtype in observation.macs})
    matrix, target, weight = _system(seen, dtypes)
    freedom = _freedom(seen, matrix, dtypes)
    low, high = _bounds(len(dtypes))
    solution = _bounded(matrix, target, weight, low)
    left_out = tuple(_left_out(seen, dtypes, low))
    scale = _scale((target - matrix @ solution) * weight, freedom, left_out, weight)
    spread = _resampled(matrix, solution, weight, low, scale=scale, freedom=freedom, seed=seed)
    fitted = [_fitted(value, draws, least) for value, draws, least in zip(solution, spread.T, low, strict=True)]
    calibration = Calibration(
        memory_j_per_byte=fitted[0],
        mac_j=dict(zip(dtypes, fitted[1:-1], strict=True)),
        idle_w=fitted[-1],
        observations=len(seen),
        models=len({observation.model for observation in seen}),
        freedom=freedom,
        relative_residual=float(np.sqrt(np.mean(((target - matrix @ solution) / target) ** 2))),
        left_out=left_out,
        seed=seed,
    )
    return replace(calibration, refusal=_refusal(calibration, high))


def _check(observations: Sequence[Observation]) -> None:
    models = {observation.model for observation in observations}
    if len(models) < LEAST_MODELS:
        raise InputError(
            f"calibration needs {LEAST_MODELS} models with measured energy, {len(models)} were found",
            fix="Bench more models, at several precisions, on a machine with a sensor (wattscribe meters)",
        )
    for observation in observations:
        if not (observation.energy_j > 0 and observation.window_s > 0 and observation.memory_bytes > 0):
            raise InputError(
                f"{observation.model} at {observation.precision} has no energy, time or work", fix="Leave it out"
            )


def pooled(observations: Sequence[Observation]) -> list[Observation]:
    """Repeats and conditions of one model, precision and setting as one observation: they show again what the same work
    takes, not what other work would, and counted apart they would pass for degrees of freedom.

    Deviations add up, not their squares: a sensor's gain is the same in each.
    """

    def key(observation: Observation) -> tuple[str, str, str]:
        return observation.model, observation.precision, observation.setting

    merged = []
    for _, group in itertools.groupby(sorted(observations, key=key), key):
        same = list(group)
        dtypes = sorted({dtype for observation in same for dtype in observation.macs})
        merged.append(
            replace(
                same[0],
                window_s=sum(observation.window_s for observation in same),
                energy_j=sum(observation.energy_j for observation in same),
                sd_j=sum(observation.sd_j for observation in same),
                memory_bytes=sum(observation.memory_bytes for observation in same),
                macs={dtype: sum(observation.macs.get(dtype, 0.0) for observation in same) for dtype in dtypes},
            )
        )
    return merged


def _system(observations: Sequence[Observation], dtypes: Sequence[str]) -> tuple[Array, Array, Array]:
    rows = [
        [observation.memory_bytes, *(observation.macs.get(dtype, 0.0) for dtype in dtypes), observation.window_s]
        for observation in observations
    ]
    target = np.array([observation.energy_j for observation in observations])
    deviation = np.array(
        [max(observation.sd_j, LEAST_RELATIVE_SD * observation.energy_j) for observation in observations]
    )
    return np.array(rows, dtype=np.float64), target, 1 / deviation


# --- what so few observations can say -------------------------------------------------------------------------------
def _freedom(observations: Sequence[Observation], matrix: Array, dtypes: Sequence[str]) -> int:
    """Degrees of freedom. Raises InputError when there are too few, or the constants cannot be told apart, with all
    models or with one of them left out."""
    constants = f"memory, {', '.join(dtypes)} operations and idle power"
    freedom = len(matrix) - int(matrix.shape[1])
    if not _identifiable(matrix):
        raise InputError(
            f"{len(matrix)} observations do not tell {constants} apart",
            fix="Bench models of other sizes, precisions and segment lengths",
        )
    if freedom < LEAST_FREEDOM:
        raise InputError(
            f"{len(matrix)} observations (models × precisions, repeats aside) for {matrix.shape[1]} constants ({constants}) "
            f"leave {freedom} degrees of freedom: the fit would be exact whatever the truth is",
            fix=f"Bench {LEAST_FREEDOM - freedom} more models or precisions at least, or fewer kinds of precision",
        )
    for model in sorted({observation.model for observation in observations}):
        if not _identifiable(matrix[[observation.model != model for observation in observations]]):
            raise InputError(
                f"without {model} the others do not tell {constants} apart, so that its error cannot be known",
                fix="Bench every precision with two models or more",
            )
    return freedom


def _identifiable(matrix: Array) -> bool:
    columns = matrix.shape[1]
    lengths = np.linalg.norm(matrix, axis=0)
    return bool(
        len(matrix) >= columns and lengths.min() > 0 and np.linalg.matrix_rank(matrix / lengths, tol=1e-6) == columns
    )


def _bounds(dtypes: int) -> tuple[Array, Array]:
    """The least and the greatest that is physical: memory, each operation, idle. BEYOND_SHIPPED
    times what the shipped profiles, from a server to a microcontroller and each with its sources, hold possible."""
    shipped = [load(name) for name in names()]
    reads = [tier.read.si("energy_per_byte") for device in shipped for tier in device.tiers]
    macs = [cost.energy.si("energy_per_mac") for device in shipped for cost in device.operations.values()]
    idle = [device.idle.si("power") for device in shipped]
    kinds = [reads, *[macs] * dtypes, idle]
    low = [min(value[1] for value in kind) / BEYOND_SHIPPED for kind in kinds]
    return np.array(low), np.array([max(value[2] for value in kind) * BEYOND_SHIPPED for kind in kinds])


def _refusal(fit: Calibration, high: Array) -> str | None:
    for name, fitted, most in zip(
        ("memory", *fit.mac_j, "idle"),
        (fit.memory_j_per_byte, *fit.mac_j.values(), fit.idle_w),
        high,
        strict=True,
    ):
        if fitted.value > most:
            return f"the fit puts {name} at {fitted.value:.3g} in SI, above anything physical ({most:.3g})"
    if fit.memory_j_per_byte.at_bound:
        return (
            f"memory comes out at {1e12 * fit.memory_j_per_byte.value:.3g} pJ/B, with an interval down to the least that is "
            "physical: these runs do not show what moving bytes takes"
        )
    if fit.left_out_error > LARGEST_ERROR:
        return (
            f"a model left out is missed by {100 * fit.left_out_error:.0f} % (median; at most {100 * LARGEST_ERROR:.0f} % "
            "may be)"
        )
    return None


# --- the fit --------------------------------------------------------------------------------------------------------
def _bounded(matrix: Array, target: Array, weight: Array, low: Array) -> Array:
    """Weighted least squares with no constant below its `low`."""
    return np.asarray(low + nnls(matrix * weight[:, None], (target - matrix @ low) * weight))


def _scale(residual: Array, freedom: int, left_out: Sequence[Prediction], weight: Array) -> float:
    """By how much the sensors' own deviations are too small: from the residuals, from the models left out (in both cases
    the root mean square in deviations), and never below 1: a fit is not better than what it was fitted to."""
    missed = np.array([model.measured_j - model.predicted_j for model in left_out])
    return max(1.0, math.sqrt(float(residual @ residual) / freedom), float(np.sqrt(np.mean((missed * weight) ** 2))))


def _resampled(
    matrix: Array, solution: Array, weight: Array, low: Array, *, scale: float, freedom: int, seed: int
) -> Array:
    """Solutions for targets redrawn around the fit; one factor per draw turns normal into Student's t, since the scale is
    known from so few degrees of freedom only."""
    if seed < 0:
        raise InputError(f"`seed` {seed} is below 0", fix="Give 0 or more")
    generator = np.random.default_rng(seed)
    wider = scale * np.sqrt(freedom / generator.chisquare(freedom, (RESAMPLES, 1)))
    drawn = matrix @ solution + wider * generator.standard_normal((RESAMPLES, len(matrix))) / weight
    lengths = np.linalg.norm(matrix * weight[:, None], axis=0)
    inverse = np.linalg.pinv(matrix * weight[:, None] / lengths)
    solutions = np.asarray(((drawn - matrix @ low) * weight) @ inverse.T / lengths + low)
    for index in np.flatnonzero((solutions < low).any(axis=1)):  # the others need no search for the active bounds
        solutions[index] = _bounded(matrix, drawn[index], weight, low)
    return solutions


def _fitted(value: float, draws: Array, least: float) -> Fitted:
    low, high = np.quantile(draws, [0.025, 0.975])
    low, high = min(float(value), float(low)), max(float(value), float(high))
    return Fitted(value=float(value), ci95=(low, high), at_bound=bool(low <= least * (1 + 1e-9)))


def _left_out(observations: Sequence[Observation], dtypes: Sequence[str], low: Array) -> list[Prediction]:
    """Each observation, in its order, predicted by the fit to the other models."""
    rows, target, weight = _system(observations, dtypes)
    predictions = []
    for observation, row in zip(observations, rows, strict=True):
        kept = np.array([other.model != observation.model for other in observations])
        solution = _bounded(rows[kept], target[kept], weight[kept], low)
        predictions.append(
            Prediction(
                model=observation.model,
                precision=observation.precision,
                measured_j=observation.energy_j,
                predicted_j=float(row @ solution),
            )
        )
    return predictions


# --- as a device profile --------------------------------------------------------------------------------------------
