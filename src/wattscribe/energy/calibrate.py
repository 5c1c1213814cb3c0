"""Fit a device's constants to measured energies: joules per byte, per operation by dtype, and idle watts.

Each observation is one model at one precision over one measured window: E = e_memory·bytes + Σ e_op(dtype)·macs + P_idle·t.
Non-negative least squares on relative errors, since a server's joules and an earbud's deserve the same care.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wattscribe.energy.devices import Constant, Device, OperationCost
from wattscribe.energy.nnls import nnls
from wattscribe.energy.workload import Workload
from wattscribe.errors import InputError
from wattscribe.records import Counts, Interval

Array = NDArray[np.float64]
LEAST_MODELS = 3
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """One constant with its 95 % interval, in SI."""

    value: float
    ci95: Interval


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
    relative_residual: float
    """Root mean square of the fit's own relative errors."""
    left_out: tuple[Prediction, ...]
    seed: int

    @property
    def left_out_error(self) -> float:
        """Median absolute relative error on models left out."""
        return float(np.median([abs(each.error) for each in self.left_out]))

    @property
    def worst_error(self) -> float:
        return max(abs(each.error) for each in self.left_out)


def observe(
    workload: Workload,
    counts: Counts,
    *,
    precision: str,
    window_s: float,
    energy_j: float,
    sd_j: float,
    model: str | None = None,
) -> Observation:
    """What a transducer's counted decode did: bytes moved (weights, activations, states) and macs by dtype."""
    calls = {
        "encoder": (counts.encoder_calls, counts.encoder_rows),
        "predictor": (counts.predictor_calls, counts.predictor_rows),
        "joiner": (counts.joiner_calls, counts.joiner_rows),
    }
    moved = 0.0
    macs: dict[str, float] = {}
    for component in workload.components:
        called, rows = calls.get(component.name, calls["encoder"])
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
    )


def calibrate(observations: Sequence[Observation], *, seed: int = 0) -> Calibration:
    """Fit, with intervals by resampling residuals and with every model left out once.

    Raises InputError when there are too few models or observations, or when their work does not tell the constants apart.
    """
    _check(observations)
    dtypes = sorted({dtype for each in observations for dtype in each.macs})
    matrix, target, weight = _system(observations, dtypes)
    _identifiable(matrix, dtypes)
    solution = nnls(matrix * weight[:, None], target * weight)
    residual = (target - matrix @ solution) * weight
    freedom = max(1, len(target) - int((solution > 0).sum()))
    spread = _resampled(matrix, solution, residual * np.sqrt(len(target) / freedom), weight, seed)
    names = ["memory", *dtypes, "idle"]
    fitted = {
        name: Fitted(value=float(solution[index]), ci95=_interval(float(solution[index]), spread[:, index]))
        for index, name in enumerate(names)
    }
    return Calibration(
        memory_j_per_byte=fitted["memory"],
        mac_j={dtype: fitted[dtype] for dtype in dtypes},
        idle_w=fitted["idle"],
        observations=len(observations),
        models=len({each.model for each in observations}),
        relative_residual=float(np.sqrt(np.mean(((target - matrix @ solution) / target) ** 2))),
        left_out=tuple(_left_out(observations, dtypes)),
        seed=seed,
    )


def _check(observations: Sequence[Observation]) -> None:
    models = {each.model for each in observations}
    if len(models) < LEAST_MODELS:
        raise InputError(
            f"calibration needs {LEAST_MODELS} models with measured energy, {len(models)} were found",
            fix="Bench more models, at several precisions, on a machine with a sensor (wattscribe meters)",
        )
    for each in observations:
        if not (each.energy_j > 0 and each.window_s > 0 and each.memory_bytes > 0):
            raise InputError(f"{each.model} at {each.precision} has no energy, time or work", fix="Leave it out")


def _system(observations: Sequence[Observation], dtypes: Sequence[str]) -> tuple[Array, Array, Array]:
    rows = [
        [each.memory_bytes, *(each.macs.get(dtype, 0.0) for dtype in dtypes), each.window_s] for each in observations
    ]
    target = np.array([each.energy_j for each in observations])
    deviation = np.array([max(each.sd_j, LEAST_RELATIVE_SD * each.energy_j) for each in observations])
    return np.array(rows, dtype=np.float64), target, 1 / deviation


def _identifiable(matrix: Array, dtypes: Sequence[str]) -> None:
    """Raises InputError when the columns cannot be told apart with these observations."""
    columns = matrix.shape[1]
    scaled = matrix / np.linalg.norm(matrix, axis=0)
    if len(matrix) < columns or np.linalg.matrix_rank(scaled, tol=1e-6) < columns:
        raise InputError(
            f"{len(matrix)} observations do not tell memory, {', '.join(dtypes)} operations and idle power apart",
            fix="Bench models of other sizes, precisions and segment lengths",
        )


def _resampled(matrix: Array, solution: Array, residual: Array, weight: Array, seed: int) -> Array:
    """Solutions for targets redrawn from the fit and its own weighted residuals."""
    generator = np.random.default_rng(seed)
    fit = matrix @ solution
    found = []
    for _ in range(RESAMPLES):
        drawn = (
            fit
            + generator.choice(residual, size=len(residual))
            * generator.choice([-1.0, 1.0], size=len(residual))
            / weight
        )
        found.append(nnls(matrix * weight[:, None], drawn * weight))
    return np.array(found)


def _interval(value: float, draws: Array) -> Interval:
    low, high = np.quantile(draws, [0.025, 0.975])
    return min(value, float(low)), max(value, float(high))


def _left_out(observations: Sequence[Observation], dtypes: Sequence[str]) -> list[Prediction]:
    found = []
    for model in sorted({each.model for each in observations}):
        kept = [each for each in observations if each.model != model]
        matrix, target, weight = _system(kept, dtypes)
        solution = nnls(matrix * weight[:, None], target * weight)
        unseen = [each for each in observations if each.model == model]
        for each, row in zip(unseen, _system(unseen, dtypes)[0], strict=True):
            found.append(
                Prediction(
                    model=model,
                    precision=each.precision,
                    measured_j=each.energy_j,
                    predicted_j=float(row @ solution),
                )
            )
    return found


# --- as a device profile --------------------------------------------------------------------------------------------
def as_device(found: Calibration, base: Device, *, name: str, source: str) -> Device:
    """`base` with the fitted constants in place of its own; what was not fitted (capacities, bandwidths, peaks, dtypes that
    did not run) keeps the base's figures and sources."""
    source = f"calibrated: {source}; {found.observations} observations of {found.models} models"
    read = _constant(found.memory_j_per_byte, 1e12, "pJ/B", source)
    tiers = list(base.tiers)
    tiers[-1] = tiers[-1].model_copy(update={"read": read})
    if len(tiers) == 2 and tiers[0].read_j_per_byte > tiers[1].read_j_per_byte:
        tiers[0] = tiers[0].model_copy(update={"read": read})
    operations = dict(base.operations)
    for dtype, fitted in found.mac_j.items():
        peak = base.operation(dtype)[1].peak
        operations[dtype] = OperationCost(energy=_constant(fitted, 1e12, "pJ/MAC", source), peak=peak)
    return base.model_copy(
        update={
            "name": name,
            "title": f"{base.title}, calibrated",
            "evidence": "calibrated",
            "limit": None,  # what the device draws at its busiest is in the fit
            "tiers": tuple(tiers),
            "operations": operations,
            "idle": _constant(found.idle_w, 1.0, "W", source),
        }
    )


def _constant(fitted: Fitted, factor: float, unit: str, source: str) -> Constant:
    low, high = fitted.ci95
    return Constant(value=fitted.value * factor, low=low * factor, high=high * factor, unit=unit, source=source)


def to_toml(device: Device) -> str:
    """A device profile as the TOML that `devices.load` reads."""
    lines = [f"{key} = {_text(getattr(device, key))}" for key in ("name", "title", "description", "evidence")]
    lines.append(f"idle = {_inline(device.idle)}")
    lines += [f"limit = {_inline(device.limit)}"] if device.limit is not None else []
    for tier in device.tiers:
        lines += ["", "[[tiers]]", f"name = {_text(tier.name)}"]
        lines += [f"{key} = {_inline(getattr(tier, key))}" for key in ("capacity", "read", "bandwidth")]
    for dtype, cost in device.operations.items():
        lines += ["", f"[operations.{dtype}]", f"energy = {_inline(cost.energy)}", f"peak = {_inline(cost.peak)}"]
    return "\n".join(lines) + "\n"


def _text(value: Any) -> str:
    return json.dumps(str(value), ensure_ascii=True)  # a JSON string is a TOML basic string


def _inline(constant: Constant) -> str:
    numbers = ", ".join(f"{key} = {float(getattr(constant, key))!r}" for key in ("value", "low", "high"))
    said = "" if constant.year is None else f", year = {constant.year}"
    said += "" if constant.on_silicon is None else f", on_silicon = {str(constant.on_silicon).lower()}"
    return f"{{ {numbers}, unit = {_text(constant.unit)}, source = {_text(constant.source)}{said} }}"
