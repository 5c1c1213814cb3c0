"""`wattscribe calibrate`: fit a device profile to measured runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

import cyclopts

from wattscribe.calibration import Skipped
from wattscribe.cli.output import Json, Quiet, document
from wattscribe.energy.calibrate import REMEDY, Calibration, Fitted
from wattscribe.energy.calibrated_device import as_device, to_toml
from wattscribe.errors import InputError
from wattscribe.metering.recordings.correction import Correction
from wattscribe.records import Interval

app = cyclopts.App(name="wattscribe calibrate", help="Fit a device profile's constants to the measured energy of runs.")

SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrated(Calibration):
    """The fitted constants, and how well they predict a model that was left out."""

    left_out_median_error: float
    left_out_worst_error: float
    skipped: Sequence[Skipped]


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """The line fitted to a rail, and the W that the rail leaves out at its lowest and its highest power."""

    correction: Correction
    left_out_w: Interval


@app.default
def calibrate(
    *runs: Path,
    base: str = "phone",
    name: str = "calibrated",
    out: Annotated[Path | None, cyclopts.Parameter(["--out", "-o"])] = None,
    seed: int = 0,
    rail: str | None = None,
    json_output: Json = False,
    quiet: Quiet = False,
) -> int:
    """Fit joules per byte, per operation and idle watts to several models and precisions.

    Parameters
    ----------
    runs
        Run directories of `wattscribe bench` with a power sensor and onnx: transducers, three models or more.
    base
        The device profile whose capacities and peak rates are kept.
    name
        Name of the written profile.
    out
        Write the profile to this TOML file; then: wattscribe profile MODEL --device FILE.
    seed
        Of the resampling behind the intervals.
    rail
        With one run that has an external recording: fit what this rail leaves out of the whole board, for instance pmic.total.
        Then: wattscribe meters attach OTHER_RUN --correction FILE.
    """
    import wattscribe

    if rail is not None:
        return _correct(runs, rail, out, json_output=json_output, quiet=quiet)
    device = wattscribe.devices(base)
    skipped: list[Skipped] = []
    calibration = wattscribe.calibrate(runs, seed=seed, left_out=skipped.append)
    if out is not None and calibration.refusal is None:
        source = ", ".join(run.name for run in runs)
        try:
            out.write_text(to_toml(as_device(calibration, device, name=name, source=source)), encoding="utf-8")
        except OSError as error:
            raise InputError(f"the profile cannot be written: {error.strerror}", where=out) from error
    if json_output:
        print(document(SCHEMA, _answer(calibration, skipped)))
    else:
        _print(calibration)
        for skip in () if quiet else skipped:
            print(f"left out: {skip.recognizer} of {skip.run}: {skip.reason}")
    if calibration.refusal is not None:
        unwritten = "" if out is None else f"; {out} is not written"
        raise InputError(f"this is not a calibration: {calibration.refusal}{unwritten}", fix=REMEDY)
    if out is not None and not json_output:
        print(f"profile: {out}")
    return 0


def _answer(calibration: Calibration, skipped: Sequence[Skipped]) -> Calibrated:
    fitted = {field.name: getattr(calibration, field.name) for field in fields(calibration)}
    return Calibrated(
        **fitted,
        left_out_median_error=calibration.left_out_error,
        left_out_worst_error=calibration.worst_error,
        skipped=skipped,
    )


def _correct(runs: tuple[Path, ...], rail: str, out: Path | None, *, json_output: bool, quiet: bool) -> int:
    import wattscribe

    correction = wattscribe.calibrate(runs, rail=rail)
    if out is not None:
        try:
            out.write_text(correction.to_toml(), encoding="utf-8")
        except OSError as error:
            raise InputError(f"the correction cannot be written: {error.strerror}", where=out) from error
    if json_output:
        print(document(SCHEMA, Corrected(correction=correction, left_out_w=correction.left_out_w)))
        return 0
    low_w, high_w = correction.left_out_w
    print(
        f"{correction.covers} = {correction.offset_w:.4g} W + {correction.gain:.4g} × {rail}, from {correction.points} windows, "
        f"residual {correction.residual_w:.3g} W\n"
        f"{rail} leaves out {low_w:.4g} W at {correction.low_w:.4g} W and {high_w:.4g} W at {correction.high_w:.4g} W"
    )
    if out is not None:
        print(f"correction: {out}")
        if not quiet:
            print(f"next: wattscribe meters attach RUN --correction {out}")
    return 0


def _print(calibration: Calibration) -> None:
    print(
        f"{calibration.observations} observations of {calibration.models} models, {calibration.freedom} more than constants, "
        f"residual {100 * calibration.relative_residual:.1f} %"
    )
    if calibration.evidence == "simulated":
        print("fitted to a simulated board: none of these constants is a device's")
    print(f"memory      {_line(calibration.memory_j_per_byte, 1e12, 'pJ/B')}")
    for dtype, fitted in calibration.mac_j.items():
        print(f"{dtype:<11} {_line(fitted, 1e12, 'pJ/MAC')}")
    print(f"idle        {_line(calibration.idle_w, 1.0, 'W')}")
    median, worst = 100 * calibration.left_out_error, 100 * calibration.worst_error
    print(f"a model left out is predicted within {median:.1f} % (median), {worst:.1f} % (worst)")
    read = "simulated" if calibration.evidence == "simulated" else "measured"
    for test in calibration.left_out:
        print(f"  {test.model} {test.precision}: {test.measured_j:.4g} J {read}, {test.predicted_j:.4g} J predicted")


def _line(fitted: Fitted, factor: float, unit: str) -> str:
    low, high = fitted.ci95
    remark = "; not determined: at the bound of what is physical" if fitted.at_bound else ""
    return f"{fitted.value * factor:.4g} (95 %: {low * factor:.4g} to {high * factor:.4g}) {unit}{remark}"
