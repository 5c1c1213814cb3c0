"""`wattscribe bench EXPERIMENT.toml`, or flags: measure, print the table, write the page."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import cyclopts
from cyclopts import Group, Parameter

import wattscribe
from wattscribe.cli.one_list import Flag, flags_of
from wattscribe.cli.output import Json, Quiet
from wattscribe.errors import InputError, WattscribeError
from wattscribe.records import RunFacts
from wattscribe.runs.beginning import REPORT_NAME
from wattscribe.runs.experiment import Experiment, check, load, split_list, split_numbers, split_options
from wattscribe.runs.progress import Bars, Mute, Silent, Watcher

app = cyclopts.App(
    name="wattscribe bench", help="Measure recognizers × precisions × corpora × conditions on this device."
)

Switch = Parameter(negative=(), show_default=False)
Repeatable = Parameter(negative=(), consume_multiple=False)

WHAT = Group("What is measured", sort_key=1)
HOW = Group("How", sort_key=2)
RUN = Group("The run", sort_key=3)


GROUPS = {
    WHAT: ("models", "precision", "data", "clean", "noise", "snr", "rir", "longform_minutes", "limit"),
    HOW: (
        "repeats", "seed", "device", "threads", "batch_size", "options", "latency", "pace", "duty", "timeout_s", "load_timeout_s",
        "memory_limit_bytes", "idle_s", "meters", "mark", "mark_unit_s", "normaliser", "strict",
    ),
}  # fmt: skip
REPEATED = Flag(annotation=list[str] | None, parameter=Repeatable)
SWITCH = Flag(parameter=Switch)
TEXT = Flag(annotation=str | None)
TYPED = {
    **dict.fromkeys(("models", "data", "noise", "rir", "options", "meters"), REPEATED),
    **dict.fromkeys(("latency", "mark", "strict"), SWITCH),
    **dict.fromkeys(("precision", "snr", "normaliser", "pace"), TEXT),
}
"""What is typed otherwise than in the file."""

Flags: TypeAlias = Any
if not TYPE_CHECKING:  # None: not given, the file or the default holds
    keys = {name: (field.annotation | None, None) for name, field in Experiment.model_fields.items()}
    Flags = flags_of(Experiment, GROUPS, keys, TYPED, verb="bench")
NONE_GIVEN = Flags()
_READ: dict[str, Callable[[Any], Any]] = {
    "precision": split_list,
    "snr": partial(split_numbers, flag="--snr"),
    "options": split_options,
}


def _given(flags: Flags) -> dict[str, Any]:
    """The keys that were given, with lists taken apart. Raises InputError for a list that cannot be read."""
    values = {field.name: getattr(flags, field.name) for field in fields(flags)}
    return {key: _READ.get(key, lambda value: value)(value) for key, value in values.items() if value is not None}


@app.default
def bench(
    experiment: Path | None = None,
    /,
    *,
    flags: Annotated[Flags, Parameter("*")] = NONE_GIVEN,
    out: Annotated[Path, Parameter(["--out", "-o"], group=RUN)] = Path("runs/bench"),
    resume: Annotated[bool, Parameter(group=RUN), Switch] = False,
    retry_failed: Annotated[bool, Parameter(group=RUN), Switch] = False,
    overwrite: Annotated[bool, Parameter(group=RUN), Switch] = False,
    grid_gco2_per_kwh: Annotated[float | None, Parameter(group=RUN)] = None,
    battery_wh: Annotated[float | None, Parameter(group=RUN)] = None,
    simulated_board: Annotated[str | None, Parameter(group=RUN)] = None,
    live: Annotated[bool, Parameter(group=RUN), Switch] = False,
    json_output: Annotated[Json, Parameter(group=RUN)] = False,
    quiet: Annotated[Quiet, Parameter(group=RUN)] = False,
) -> int:
    """Run an experiment from a TOML file, from flags, or from both: a flag overrides the file's key.

    Exit status 0: every trial is done. 1: a trial failed. 2: the input is at fault. 130: interrupted; continue with --resume.

    Parameters
    ----------
    experiment
        The experiment's TOML file. Its keys and an example are in docs/bench.md.
    out
        The run's directory.
    resume
        Resume the run in --out; without an experiment, the one that it began with.
    retry_failed
        With --resume: also repeat failed trials; their earlier verdicts are kept and never count.
    overwrite
        Replace the run in --out, once the new one can begin.
    grid_gco2_per_kwh
        Grams of CO2 that the grid emits per kWh: table and page then show CO2 per hour of audio. Not part of the run.
    battery_wh
        Watt-hours of a battery: with --pace realtime, table and page show how long it lasts. Not part of the run.
    simulated_board
        Measure nothing: the recognizers run, power is simulated (docs/simulated-board.md). An unknown name lists the boards.
    live
        Show power, real-time factor and the table as they grow; in a pipe or a log, the figures of each trial (docs/live.md).
    """
    from wattscribe.results.energy_columns import check_grid
    from wattscribe.results.listening import check_battery

    check_grid(grid_gco2_per_kwh)
    check_battery(battery_wh)
    plan = _experiment(experiment, _given(flags), resume=resume)
    with _writing(out), _watcher(out if live else None, quiet=quiet) as watcher:
        facts = wattscribe.bench(
            plan,
            out,
            resume=resume,
            overwrite=overwrite,
            retry_failed=retry_failed,
            simulated_board=simulated_board,
            watcher=watcher,
        )
    report = partial(wattscribe.report, facts, grid_gco2_per_kwh=grid_gco2_per_kwh, battery_wh=battery_wh)
    return _conclude(facts, out, report, as_json=json_output, quiet=quiet)


def _experiment(path: Path | None, flags: dict[str, Any], *, resume: bool) -> Experiment | None:
    if path is not None:
        return load(path, flags)
    if resume and not flags:
        return None
    if not flags:
        raise InputError("there is nothing to measure", fix="Name an experiment's TOML file, or --model and --data")
    return check(flags)


@contextlib.contextmanager
def _watcher(live: Path | None, *, quiet: bool) -> Iterator[Watcher]:
    """Bars for a terminal, notes alone for a pipe or a log; or the live view of the run there."""
    if live is not None:
        if quiet:
            raise InputError("--live and --quiet contradict each other", fix="Give one of them")
        from wattscribe.cli.live import live_watcher

        watcher: Watcher = live_watcher(live)
    elif quiet:
        watcher = Mute()
    else:
        watcher = Bars() if sys.stderr.isatty() else Silent()
    if isinstance(watcher, Bars):
        with watcher:
            yield watcher
    else:
        yield watcher


@contextlib.contextmanager
def _writing(out: Path) -> Iterator[None]:
    """What stops the run from being written (permission, quota, a folder in the way) is one line."""
    try:
        yield
    except BrokenPipeError:  # whoever read what we say has gone
        raise
    except OSError as error:
        if error.filename is not None and not Path(os.fsdecode(error.filename)).absolute().is_relative_to(
            out.absolute()
        ):
            raise  # not of the run: an input
        raise WattscribeError(
            f"the run cannot be written: {error.strerror or error}",
            where=error.filename or out,
            fix="Fix that; what is finished is kept; continue with --resume",
        ) from error


def _conclude(facts: RunFacts, out: Path, report: Callable[..., Any], *, as_json: bool, quiet: bool) -> int:
    """The table on standard output, then the page beside the journal; the exit status."""
    page = out / REPORT_NAME
    try:
        print(report(format="json" if as_json else "md"), flush=True)
    finally:  # a reader who closed the pipe still finds the page
        _page(partial(report, page), out)
    if not as_json and not quiet:
        print(f"report: {page}")
    return 0 if all(trial.status == "done" for trial in facts.trials) else 1


def _page(write: Callable[[], Path], out: Path) -> None:
    try:
        write()
    except InputError as error:
        raise WattscribeError(
            f"the run is measured and kept, but its page was not written: {error.what}",
            where=error.where,
            fix=f"Make it elsewhere: wattscribe report {out} --out FILE",
        ) from error
