"""Every verb that needs a meter, played from end to end on a simulated board, and whether each interval held the truth."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from wattscribe.errors import InputError, WattscribeError
from wattscribe.journal import holds_run, read_run
from wattscribe.records import Interval
from wattscribe.testing import transducers
from wattscribe.testing.board import BOARD_NAME, RECORDER_NAME, build_tree, kind_of, read_truth
from wattscribe.testing.transducers import Size

SIZES = (
    Size(width=384, layers=6, frames=4),
    Size(width=768, layers=4, frames=4),
    Size(width=768, layers=6, frames=16),
    Size(width=512, layers=8, frames=32),
    Size(width=1024, layers=4, frames=8),
    Size(width=1024, layers=4, frames=32),
    Size(width=1024, layers=6, frames=4),
    Size(width=768, layers=8, frames=8),
)
"""Bytes per operation differ by eight, and so does the work per second: less would not tell memory, arithmetic and idle apart.
Five more than constants: with two the intervals are so wide that a busy machine's noise hides what memory takes."""
UTTERANCES = 20
COVERS = "whole board at the DC input"
MARKS = ("--mark", "--mark-unit", "0.4", "--idle", "1")
RUN_NAME, SIZES_NAME, MODELS_NAME, DEVICE_NAME = "run", "sizes", "models", "simulated.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One command as it could be typed, and why it is given."""

    why: str
    arguments: tuple[str, ...]

    def __str__(self) -> str:
        return shlex.join(("wattscribe", *self.arguments))


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One figure against what is true."""

    what: str
    unit: str
    estimate: float | None
    ci95: Interval | None
    truth: float
    reason: str | None = None

    @property
    def covered(self) -> bool | None:
        """None: there is no interval."""
        return None if self.ci95 is None else self.ci95[0] <= self.truth <= self.ci95[1]


def steps(board: str, out: Path) -> list[Step]:
    """What is done, in order. `prepare` has made the tree and the models that they name."""
    run, sizes, device = str(out / RUN_NAME), str(out / SIZES_NAME), str(out / DEVICE_NAME)
    models = [part for size in SIZES for part in ("--model", f"onnx:{out / MODELS_NAME / size.name}")]
    bench = ("--data", "bundled", "--limit", str(UTTERANCES), *MARKS, "--simulated-board", board)
    return [
        Step(why="What could be measured on this board?", arguments=("meters", "--root", str(out / BOARD_NAME))),
        Step(
            why="The shipped model at two precisions, between marks that an external recorder sees.",
            arguments=("bench", "--model", "reference", "--precision", "fp16,int8", *bench, "--out", run),
        ),
        Step(why="The recorder's file, whose clock is another, beside the trials.", arguments=_attach(out / RUN_NAME)),
        Step(
            why="The table again, now with the recorder's joules in front.", arguments=("report", run, "--format", "md")
        ),
        Step(why="And as a page.", arguments=("report", run)),
        Step(
            why="Eight transducers of other sizes and call lengths, fed live (random weights: their words mean nothing).",
            arguments=("bench", *models, "--latency", *bench, "--out", sizes),
        ),
        Step(why="Their recorder's file.", arguments=_attach(out / SIZES_NAME)),
        Step(
            why="The board's constants, fitted to them: joules per byte, per operation, watts at idle.",
            arguments=("calibrate", sizes, "--name", f"simulated-{board}", "--out", device),
        ),
    ]


def _attach(run: Path) -> tuple[str, ...]:
    return ("meters", "attach", str(run), str(run / RECORDER_NAME), "--covers", COVERS)


def prepare(board: str, out: Path, *, overwrite: bool) -> None:
    """Make the board's tree and the models. Raises InputError for an unknown board and where runs lie in `out`."""
    kind_of(board)
    for name in (RUN_NAME, SIZES_NAME):
        if holds_run(out / name) and not overwrite:
            raise InputError("there is a run here", where=out / name, fix="Choose another --out, or give --overwrite")
    try:
        build_tree(board, out / BOARD_NAME)
        for size in SIZES:
            transducers.write(out / MODELS_NAME / size.name, size)
    except OSError as error:
        raise WattscribeError(
            f"the demo's files cannot be written: {error.strerror or error}", where=error.filename or out
        ) from error


def play(
    board: str, out: Path, *, overwrite: bool, verb: Callable[[str, list[str]], int], say: Callable[[str], None]
) -> int:
    """Carry all steps out through `verb`; the first exit status that is not 0 ends it."""
    prepare(board, out, overwrite=overwrite)
    for number, step in enumerate(steps(board, out), start=1):
        say(f"\n--- {number}. {step.why}\n$ {step}\n")
        replacing = ["--overwrite"] if overwrite and step.arguments[0] == "bench" else []
        status = verb(step.arguments[0], [*step.arguments[1:], *replacing])
        if status != 0:
            return status
    return 0


# --- against the truth ------------------------------------------------------------------------------------------------
def checks(out: Path) -> list[Check]:
    """Every reading of both runs, then every constant."""
    results = [check for name in (RUN_NAME, SIZES_NAME) for check in checks_of_run(out / name)]
    return results + _constants(out)


def checks_of_run(run_dir: Path) -> list[Check]:
    """Gross joules of each trial on each channel whose truth is known."""
    from wattscribe.results.cost import measured_reading

    facts, truth = read_run(run_dir), read_truth(run_dir)
    results = []
    for trial in facts.trials:
        spec = trial.trial.recognizer
        true_j = truth["trials"].get(trial.trial.id, {})
        for trace in trial.traces:
            rail = _rail(trace.channel, true_j)
            if rail is None:
                continue
            reading = measured_reading(trial, trace.channel)
            results.append(
                Check(
                    what=f"{Path(spec.model).name} {spec.precision}, {trace.channel}",
                    unit="J",
                    estimate=reading.energy_j,
                    ci95=reading.energy_ci95_j,
                    truth=true_j[rail],
                    reason=reading.reason,
                )
            )
    return results


_RAPL = {
    "psys": "intel-rapl:1",
    "cpu": "intel-rapl:0",
    "package-0": "intel-rapl:0",
    "core": "intel-rapl:0:0",
    "uncore": "intel-rapl:0:1",
}


def _rail(channel: str, true_j: dict[str, float]) -> str | None:
    """What of the truth a channel shows; a RAPL domain `package-0.core` goes by its last name."""
    meter, _, name = channel.partition(".")
    if meter == "external":
        return "board" if true_j else None
    name = _RAPL.get(name.rpartition(".")[2], name) if meter == "rapl" else name
    return name if name in true_j else None


def _constants(out: Path) -> list[Check]:
    from wattscribe.calibration import calibrate_runs

    truth = read_truth(out / SIZES_NAME)
    fitted, _ = calibrate_runs([out / SIZES_NAME])
    results = [
        Check(
            what="memory", unit="pJ/B", estimate=1e12 * fitted.memory_j_per_byte.value,
            ci95=_scaled(fitted.memory_j_per_byte.ci95, 1e12), truth=1e12 * truth["memory_j_per_byte"],
        )
    ]  # fmt: skip
    results += [
        Check(
            what=dtype,
            unit="pJ/MAC",
            estimate=1e12 * cost.value,
            ci95=_scaled(cost.ci95, 1e12),
            truth=1e12 * truth["mac_j"][dtype],
        )
        for dtype, cost in fitted.mac_j.items()
    ]
    idle = fitted.idle_w
    return [*results, Check(what="idle", unit="W", estimate=idle.value, ci95=idle.ci95, truth=truth["idle_w"])]


def _scaled(interval: Interval, factor: float) -> Interval:
    return interval[0] * factor, interval[1] * factor


def table(results: Sequence[Check]) -> str:
    """One line per figure, and how many intervals held the truth."""
    rows = [("simulated figure", "unit", "true", "found", "95 % interval", "holds the truth")]
    for check in results:
        figure = "unavailable" if check.estimate is None else f"{check.estimate:.5g}"
        interval = "–" if check.ci95 is None else f"{check.ci95[0]:.5g} to {check.ci95[1]:.5g}"
        verdict = {None: check.reason or "no interval", True: "yes", False: "no"}[check.covered]
        rows.append((check.what, check.unit, f"{check.truth:.5g}", figure, interval, verdict))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    judged = [check.covered for check in results if check.covered is not None]
    off = max(
        (abs(check.estimate / check.truth - 1) for check in results if check.covered is False and check.estimate),
        default=None,
    )
    furthest = "" if off is None else f" Of the others the furthest figure is {100 * off:.2g} % off."
    lines.append(f"{sum(judged)} of {len(judged)} intervals hold the truth; 95 % are meant to.{furthest}")
    return "\n".join(lines)
