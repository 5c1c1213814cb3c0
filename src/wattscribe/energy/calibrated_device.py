"""A calibration as a device profile, and the profile as the TOML file that is read again."""

from __future__ import annotations

import json
from typing import Any

from wattscribe.energy.calibrate import REMEDY, Calibration, Fitted
from wattscribe.energy.devices import Constant, Device, OperationCost
from wattscribe.errors import InputError


def as_device(calibration: Calibration, base: Device, *, name: str, source: str) -> Device:
    """`base` with the fitted constants in place of its own; what was not fitted (capacities, bandwidths, peaks, dtypes that
    did not run) keeps the base's figures and sources. Raises InputError for a fit that is not to be trusted."""
    if calibration.refusal is not None:
        raise InputError(f"this is not a calibration: {calibration.refusal}", fix=REMEDY)
    source = f"{calibration.evidence}: {source}; {calibration.observations} observations of {calibration.models} models"
    read = _constant(calibration.memory_j_per_byte, 1e12, "pJ/B", source)
    tiers = list(base.tiers)
    tiers[-1] = tiers[-1].model_copy(update={"read": read})
    if len(tiers) == 2 and tiers[0].read_j_per_byte > tiers[1].read_j_per_byte:
        tiers[0] = tiers[0].model_copy(update={"read": read})
    operations = dict(base.operations)
    for dtype, fitted in calibration.mac_j.items():
        peak = base.operation(dtype)[1].peak
        operations[dtype] = OperationCost(energy=_constant(fitted, 1e12, "pJ/MAC", source), peak=peak)
    return base.model_copy(
        update={
            "name": name,
            "title": f"{base.title}, {calibration.evidence}",
            "evidence": calibration.evidence,
            "limit": None,  # what the device draws at its busiest is in the fit
            "tiers": tuple(tiers),
            "operations": operations,
            "idle": _constant(calibration.idle_w, 1.0, "W", source),
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
    more = "" if constant.year is None else f", year = {constant.year}"
    more += "" if constant.on_silicon is None else f", on_silicon = {str(constant.on_silicon).lower()}"
    return f"{{ {numbers}, unit = {_text(constant.unit)}, source = {_text(constant.source)}{more} }}"
