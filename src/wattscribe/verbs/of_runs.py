"""Verbs about what was measured: measure, report, compare, attach a recording, calibrate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, overload

from wattscribe.verbs.called import Say, checked, verb

if TYPE_CHECKING:
    from wattscribe.calibration import Skipped
    from wattscribe.energy.calibrate import Calibration
    from wattscribe.metering import Probe
    from wattscribe.metering.recordings.attach import Source
    from wattscribe.metering.recordings.correction import Correction
    from wattscribe.records import AttachedRecording, Processor, RunFacts
    from wattscribe.results.compare import Comparison
    from wattscribe.runs.experiment import Experiment
    from wattscribe.runs.measuring import Measurement
    from wattscribe.runs.progress import Watcher

    Run: TypeAlias = Path | str | RunFacts

Format = Literal["html", "md", "csv", "json", "parquet", "open-asr", "model-card", "prometheus", "mlflow"]
"""Of a report."""


@verb
def bench(
    experiment: Experiment | Mapping[str, Any] | Path | str | None,
    out: Path | str,
    *,
    resume: bool = False,
    overwrite: bool = False,
    retry_failed: bool = False,
    simulated_board: str | None = None,
    say: Say | None = None,
    watcher: Watcher | None = None,
) -> RunFacts:
    """Measure an experiment (a TOML file, or its keys as a mapping) into the run directory `out`; the facts it then holds.

    A failed trial is a fact, not an exception: look at `status` and `reason` of each of `trials`. None, with `resume`: the
    experiment that the run began with. `retry_failed`, with `resume`: try failed trials again. `simulated_board`: measure
    nothing, play that board's watts. `say` is given a line for each thing done, `watcher` all that a progress bar needs. Raises
    InputError for what cannot be measured and for an `out` that holds a run, unless `resume` or `overwrite`.
    """
    from wattscribe.errors import InputError
    from wattscribe.journal import read_run
    from wattscribe.runs.experiment import check, load
    from wattscribe.runs.progress import Lines, Silent
    from wattscribe.runs.runner import recorded_experiment, run

    if experiment is None:
        if not resume:
            raise InputError("there is nothing to measure", fix="Name an experiment, or resume a run")
        experiment = recorded_experiment(Path(out))
    elif isinstance(experiment, (str, Path)):
        experiment = load(Path(experiment))
    elif isinstance(experiment, Mapping):
        experiment = check(experiment)
    follower = watcher or (Silent() if say is None else Lines(say))
    if simulated_board is not None:
        from wattscribe.testing.simulated_bench import run_on_board

        run_on_board(simulated_board, experiment, Path(out), resume=resume, overwrite=overwrite, watcher=follower)
    else:
        run(experiment, Path(out), resume=resume, overwrite=overwrite, retry_failed=retry_failed, watcher=follower)
    return read_run(Path(out))


@checked
def measure(
    *,
    idle_s: float = 0.0,
    idle: Measurement | None = None,
    device: str = "cpu",
    meters: Sequence[str] = (),
    sample_rate_hz: float = 20.0,
    root: Path | str = "/",
) -> Measurement:
    """Measure any code: `with wattscribe.measure() as m: …`, then `m.energy_j`, `m.energy_ci95_j`, `m.cpu_s` and more.

    `idle_s`: do nothing for so long first, so that `m.net_energy_j` is what the code added; or give `idle`, a measurement of a
    block that did nothing. `device`: which sensor stands for the code, `cpu`, `cuda` or `cuda:N`. `meters`: beside the sensors,
    `cmd:COMMAND` that prints watts or joules; `whole:METER.CHANNEL` says what stands for the device. `root`: another board's
    sensor files. Entering and leaving wait until the sensors have forgotten what was before, 5 s at most. Raises InputError
    for what cannot be; a machine without sensors is no error: `m.evidence` is then `unavailable` and `m.reason` says why.
    """
    from wattscribe.metering.host import Host
    from wattscribe.runs.measuring import Measurement

    return Measurement(
        host=Host.of_root(Path(root)),
        stated=meters,
        idle_s=idle_s,
        idle=idle,
        device=device,
        sample_rate_hz=sample_rate_hz,
    )


@overload
def report(
    run: Run | Sequence[Run],
    out: Path | str | None = None,
    *,
    format: Literal["html", "parquet", "open-asr", "model-card"] = "html",
    max_wer_percent: float | None = None,
    max_power_w: float | None = None,
    max_memory_bytes: float | None = None,
    condition: str | None = None,
    device: Path | str | None = None,
    grid_gco2_per_kwh: float | None = None,
    battery_wh: float | None = None,
) -> Path: ...
@overload
def report(
    run: Run | Sequence[Run],
    out: None = None,
    *,
    format: Literal["md", "csv", "json", "prometheus"],
    device: Path | str | None = None,
    grid_gco2_per_kwh: float | None = None,
    battery_wh: float | None = None,
) -> str: ...
@overload
def report(
    run: Run | Sequence[Run],
    out: Path | str,
    *,
    format: Literal["md", "csv", "json", "prometheus"],
    device: Path | str | None = None,
    grid_gco2_per_kwh: float | None = None,
    battery_wh: float | None = None,
) -> Path: ...
@overload
def report(
    run: Run | Sequence[Run],
    out: Path | str | None = None,
    *,
    format: Format,
    max_wer_percent: float | None = None,
    max_power_w: float | None = None,
    max_memory_bytes: float | None = None,
    condition: str | None = None,
    device: Path | str | None = None,
    grid_gco2_per_kwh: float | None = None,
    battery_wh: float | None = None,
    tracking_uri: str | None = None,
) -> Path | str: ...
@verb
def report(
    run: Run | Sequence[Run],
    out: Path | str | None = None,
    *,
    format: Format = "html",
    max_wer_percent: float | None = None,
    max_power_w: float | None = None,
    max_memory_bytes: float | None = None,
    condition: str | None = None,
    device: Path | str | None = None,
    grid_gco2_per_kwh: float | None = None,
    battery_wh: float | None = None,
    tracking_uri: str | None = None,
) -> Path | str:
    """Write a run's report and return its path. Without `out` html, parquet, open-asr (for that leaderboard) and model-card go
    into the run directory; md, csv, json and prometheus are returned as text, of mlflow the run's id, logged at `tracking_uri`
    or as the environment says. Several runs, or a fleet's folder, are one report: pooled within a class, compared between.

    The limits are what the page's recommendation keeps, under `condition` (None: clean). `device`: what transducers would take
    on that device profile stands beside it. `battery_wh`: how long such a battery lasts while listening, where the run was paced.
    Raises InputError where nothing can be written.
    """
    from wattscribe.energy import devices
    from wattscribe.errors import InputError
    from wattscribe.pages import formats
    from wattscribe.records import RunFacts
    from wattscribe.results.findings import Limits

    runs = [run] if isinstance(run, (str, Path, RunFacts)) else list(run)
    read = [facts for one in runs for facts in _facts(one)]
    folder = runs[0] if len(runs) == 1 and isinstance(runs[0], (str, Path)) else None
    if len(read) != 1:
        target = out if out is not None or format != "html" or folder is None else Path(folder) / "report.html"
        return _report_fleet(read, format, target, name="fleet" if folder is None else Path(folder).resolve().name)
    facts = read[0]
    if out is None and (format in ("html", "parquet") or format in formats.FOLDERS):
        name = format if format in formats.FOLDERS else f"report.{format}"
        if folder is None:
            raise InputError("facts alone have no directory to write to", fix=f"Say where: out='{name}'")
        out = Path(folder) / name
    limits = Limits.stated(
        max_wer_percent=max_wer_percent,
        max_power_w=max_power_w,
        max_memory_bytes=max_memory_bytes,
        condition=condition,
    )
    text = formats.write(
        facts,
        format,
        None if out is None else Path(out),
        limits=limits,
        device=None if device is None else devices.load(device),
        grid_gco2_per_kwh=grid_gco2_per_kwh,
        battery_wh=battery_wh,
        tracking_uri=tracking_uri,
    )
    return text if text is not None else Path(str(out))


def _facts(run: Run) -> list[RunFacts]:
    """Of one run, or of every board's where the folder is a fleet's."""
    from wattscribe.journal import read_run
    from wattscribe.journal_file import run_folders

    return [read_run(folder) for folder in run_folders(Path(run))] if isinstance(run, (str, Path)) else [run]


def _report_fleet(runs: Sequence[RunFacts], format: str, out: Path | str | None, *, name: str) -> Path | str:
    from wattscribe.errors import InputError
    from wattscribe.pages.fleet_page import write_fleet

    if format == "html" and out is None:
        raise InputError("several runs have no directory of their own", fix="Give a file: `out` report.html")
    return write_fleet(runs, format, None if out is None else Path(out), name=name) or Path(str(out))


@verb
def compare(
    base: Run,
    new: Run,
    *,
    metric: Literal["wer", "cer"] = "wer",
    max_wer_increase_points: float | None = None,
    max_cer_increase_points: float | None = None,
    max_energy_increase_percent: float | None = None,
    max_rtf_increase_percent: float | None = None,
    max_latency_increase_percent: float | None = None,
    max_memory_increase_percent: float | None = None,
    across_machines: bool = False,
    device: Path | str | None = None,
) -> Comparison:
    """Whether the run `new` is shown to be within the limits of the run `base`: points of the error rate (0.2 lets 3.65 % become
    3.85 %), per cent of each cost. None: 0.2 points, or less than 1 where no word differs; a cost is reported, not judged. Of two
    fleets' runs each board is compared with itself.

    `across_machines`: compare costs that were measured under other conditions too. `device`: compare what transducers would
    take on this device profile. Raises InputError for runs that cannot be compared, and for a limit of the other metric.
    """
    from wattscribe.energy import devices
    from wattscribe.errors import InputError
    from wattscribe.results.fleet_compare import compare_fleets
    from wattscribe.results.gates import Gates

    points = {"wer": max_wer_increase_points, "cer": max_cer_increase_points}
    other = "cer" if metric == "wer" else "wer"
    if points[other] is not None:
        raise InputError(
            f"`max_{other}_increase_points` does nothing with `metric` {metric}", fix=f"Add `metric` {other}"
        )
    gates = Gates(
        metric=metric,
        max_error_increase_points=points[metric],
        max_energy_increase_percent=max_energy_increase_percent,
        max_rtf_increase_percent=max_rtf_increase_percent,
        max_latency_increase_percent=max_latency_increase_percent,
        max_memory_increase_percent=max_memory_increase_percent,
        across_machines=across_machines,
    )
    profile = None if device is None else devices.load(device)
    return compare_fleets(_facts(base), _facts(new), gates, device=profile)


@verb
def meters(root: Path | str = "/", *, stated: Sequence[str] = ()) -> list[Probe]:
    """What can be measured on this machine and what cannot, with the reason and the command that would fix it.

    `root`: look at another board's sensor files, which lie below that directory. `stated`: `cmd:COMMAND` and
    `whole:METER.CHANNEL`, as `measure` and an experiment take them; InputError or MeterError where one cannot be.
    """
    from wattscribe.metering import probe

    return probe(Path(root), stated=stated)


@verb
def attach(
    run: Path | str,
    recording: Path | str | Sequence[Path | str] | None = None,
    *,
    tegrastats_log: Path | str | None = None,
    correction: Path | str | None = None,
    interval_s: float | None = None,
    covers: str | None = None,
    total: bool = True,
    processors: Sequence[Processor] = (),
    columns: Mapping[str, str | Sequence[str]] | None = None,
    units: Mapping[str, str] | None = None,
    voltage: float | str | Path | None = None,
    channel: str | None = None,
    sample_rate_hz: float | None = None,
    by: Literal["edges", "correlation"] = "edges",
    max_error_s: float | None = None,
    gain_error: float | None = None,
    name: str | None = None,
) -> AttachedRecording:
    """Put an external meter's file, or a tegrastats log, beside a run's trials, on the run's clock (`wattscribe meters attach`).

    `covers` says what the meter measures; `total` False: a part only, which feeds these `processors`. How the file is read (two
    files, `columns`, `units`, `voltage`, `channel`, `sample_rate_hz`): see `wattscribe.metering.recordings.read`.
    `gain_error` is the meter's own as a fraction, from its data sheet. `correction`: instead of a recording, what `calibrate`
    with a `rail` wrote: that rail of this run, put right.
    Raises InputError and MeterError where the recording does not fit the run.
    """
    from wattscribe.errors import InputError
    from wattscribe.metering import recordings
    from wattscribe.metering.recordings import correction as corrections
    from wattscribe.metering.recordings import perfetto_table
    from wattscribe.metering.recordings.attach import attach as attach_source
    from wattscribe.metering.recordings.attach import of_recording, of_tegrastats

    if [recording, tegrastats_log, correction].count(None) != 2:
        raise InputError("one recording is needed: a CSV, a tegrastats log, or a correction of a rail", where=run)
    if correction is not None:
        return corrections.apply(Path(run), Path(correction))
    stated = bool(covers is not None or columns or not total or processors or (channel, sample_rate_hz) != (None, None))
    paths = [Path(path) for path in ([recording] if isinstance(recording, Path | str) else recording or ())]
    if tegrastats_log is not None:
        if stated or units or voltage is not None:
            raise InputError(
                "a tegrastats log names its rails itself", where=tegrastats_log, fix="Leave these options out"
            )
        source = of_tegrastats(Path(tegrastats_log), interval_s=interval_s, name=name)
    elif len(paths) == 1 and perfetto_table.is_trace(paths[0]):
        source = _of_phone(paths[0], voltage, (units or {}).get("current"), name, stated=stated)
    else:
        read = recordings.read(paths, columns, units, voltage=voltage, channel=channel, sample_rate_hz=sample_rate_hz)
        source = of_recording(
            paths[0], read, covers=covers or recordings.COVERS, total=total, processors=tuple(processors), name=name
        )
    return attach_source(Path(run), source, by=by, max_error_s=max_error_s, gain_error=gain_error)


def _of_phone(
    path: Path, voltage: float | str | Path | None, current_unit: str | None, name: str | None, *, stated: bool
) -> Source:
    """A Perfetto trace. Raises InputError for options that its counters answer themselves."""
    from wattscribe.errors import InputError
    from wattscribe.metering.recordings import perfetto
    from wattscribe.metering.recordings.attach import of_phone

    if stated:
        raise InputError(
            "a Perfetto trace names its counters itself",
            where=path,
            fix="Leave these options out, but for `voltage` and `units`",
        )
    trace = perfetto.read(path, voltage=perfetto.as_volts(voltage), current_unit=current_unit)
    return of_phone(path, trace, name=name)


@overload
def calibrate(
    runs: Sequence[Path | str], *, seed: int = 0, left_out: Callable[[Skipped], None] | None = None, rail: None = None
) -> Calibration: ...
@overload
def calibrate(
    runs: Sequence[Path | str], *, seed: int = 0, left_out: Callable[[Skipped], None] | None = None, rail: str
) -> Correction: ...
@verb
def calibrate(
    runs: Sequence[Path | str],
    *,
    seed: int = 0,
    left_out: Callable[[Skipped], None] | None = None,
    rail: str | None = None,
) -> Calibration | Correction:
    """Fit joules per byte, per operation and idle watts to the measured energies of runs. Raises InputError for too few.

    `left_out` is given each trial that says nothing about them, with the reason. `rail`, with one run to which an external
    recording is attached: fit instead what this rail leaves out of the whole board (`pmic.total` of a Raspberry Pi 5).
    """
    from wattscribe.errors import InputError

    if rail is not None:
        from wattscribe.metering.recordings import correction

        if len(runs) != 1:
            raise InputError(
                f"a rail is corrected by one run, not by {len(runs)}", fix="Name the run with the recording"
            )
        return correction.fit(Path(runs[0]), rail)
    from wattscribe.calibration import calibrate_runs

    calibration, skipped = calibrate_runs(runs, seed=seed)
    if left_out is not None:
        for skip in skipped:
            left_out(skip)
    return calibration
