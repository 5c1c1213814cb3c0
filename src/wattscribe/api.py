"""The verbs as functions, with the names that they have on the command line; each loads its rooms only when it is called, and
leaves the process as it found it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from wattscribe.as_found import as_found

if TYPE_CHECKING:
    from wattscribe.compression.outcome import Compression
    from wattscribe.energy.accuracy import AccuracyLaw
    from wattscribe.energy.calibrate import Calibration
    from wattscribe.energy.profile import Profile
    from wattscribe.metering import Probe
    from wattscribe.records import AttachedRecording, RunFacts, Transcript
    from wattscribe.results.compare import Comparison
    from wattscribe.runs.experiment import Experiment
    from wattscribe.training.train import Fitted

__all__ = [
    "attach",
    "bench",
    "calibrate",
    "compare",
    "devices",
    "export",
    "meters",
    "profile",
    "report",
    "train",
    "transcribe",
]


@as_found()
def bench(
    experiment: Experiment | Mapping[str, Any] | Path | str,
    out: Path | str,
    *,
    resume: bool = False,
    overwrite: bool = False,
    retry_failed: bool = False,
) -> RunFacts:
    """Measure an experiment (a TOML file, or its keys as a mapping) into the run directory `out`; the facts it then holds.

    A failed trial is a fact, not an exception: look at `status` and `reason` of each of `trials`. Raises InputError for what
    cannot be measured and for an `out` that holds a run, unless `resume` or `overwrite`. `retry_failed`, with `resume`: try
    failed trials again.
    """
    from wattscribe.journal import read_run
    from wattscribe.runs.experiment import check, load
    from wattscribe.runs.runner import run

    if isinstance(experiment, (str, Path)):
        experiment = load(Path(experiment))
    elif isinstance(experiment, Mapping):
        experiment = check(experiment)
    return read_run(run(experiment, Path(out), resume=resume, overwrite=overwrite, retry_failed=retry_failed))


@as_found()
def report(
    run: Path | str, out: Path | str | None = None, *, format: Literal["html", "md", "csv", "json", "parquet"] = "html"
) -> Path | str:
    """Write a run's report and return its path; without `out` the HTML page goes into the run directory, text is returned."""
    from wattscribe.journal import read_run
    from wattscribe.pages import formats, write_html

    facts = read_run(Path(run))
    if format == "html":
        page = Path(run) / "report.html" if out is None else Path(out)
        write_html(facts, page)
        return page
    text = formats.write(facts, format, None if out is None else Path(out))
    return text if text is not None else Path(str(out))


@as_found()
def compare(
    base: Path | str,
    new: Path | str,
    *,
    metric: Literal["wer", "cer"] = "wer",
    max_error_increase_points: float | None = None,
    max_energy_increase_percent: float | None = None,
    max_rtf_increase_percent: float | None = None,
    max_latency_increase_percent: float | None = None,
    max_memory_increase_percent: float | None = None,
    across_machines: bool = False,
    device: Path | str | None = None,
) -> Comparison:
    """Whether the run `new` is shown to be within the limits of the run `base`: points of the error rate (0.2 lets 3.65 % become
    3.85 %), per cent of each cost. None: 0.2 points, or less than 1 where no word differs; a cost is reported, not judged.

    `across_machines`: compare costs that were measured under other conditions too. `device`: compare what transducers would
    take on this device profile. Raises InputError for runs that cannot be compared.
    """
    from wattscribe.energy import devices
    from wattscribe.journal import read_run
    from wattscribe.results.compare import compare as compare_runs
    from wattscribe.results.gates import Gates

    gates = Gates(
        metric=metric,
        max_error_increase_points=max_error_increase_points,
        max_energy_increase_percent=max_energy_increase_percent,
        max_rtf_increase_percent=max_rtf_increase_percent,
        max_latency_increase_percent=max_latency_increase_percent,
        max_memory_increase_percent=max_memory_increase_percent,
        across_machines=across_machines,
    )
    profile = None if device is None else devices.load(device)
    return compare_runs(read_run(Path(base)), read_run(Path(new)), gates, device=profile)


@as_found()
def meters() -> list[Probe]:
    """What can be measured on this machine and what cannot, with the reason and the command that would mend it."""
    from wattscribe.metering import probe

    return probe()


@as_found()
def attach(
    run: Path | str,
    recording: Path | str | Sequence[Path | str] | None = None,
    *,
    tegrastats_log: Path | str | None = None,
    interval_s: float | None = None,
    covers: str | None = None,
    total: bool = True,
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

    `covers` says what the meter measures; `total` False: a part only. How the file is read (two files, `columns`, `units`,
    `voltage`, `channel`, `sample_rate_hz`): see `wattscribe.metering.recordings.read`.
    `gain_error` is the meter's own as a fraction, from its data sheet.
    Raises InputError and MeterError where the recording does not fit the run.
    """
    from wattscribe.errors import InputError
    from wattscribe.metering import recordings
    from wattscribe.metering.attach import attach as attach_source
    from wattscribe.metering.attach import of_recording, of_tegrastats

    if (recording is None) == (tegrastats_log is None):
        raise InputError("one recording is needed: a CSV, or a tegrastats log", where=run)
    if tegrastats_log is not None:
        if (
            covers is not None
            or columns
            or units
            or not total
            or (voltage, channel, sample_rate_hz) != (None, None, None)
        ):
            raise InputError(
                "a tegrastats log names its rails itself", where=tegrastats_log, fix="Leave these options out"
            )
        source = of_tegrastats(Path(tegrastats_log), interval_s=interval_s, name=name)
    else:
        paths = [Path(each) for each in ([recording] if isinstance(recording, Path | str) else recording or ())]
        read = recordings.read(paths, columns, units, voltage=voltage, channel=channel, sample_rate_hz=sample_rate_hz)
        source = of_recording(paths[0], read, covers=covers or recordings.COVERS, total=total, name=name)
    return attach_source(Path(run), source, by=by, max_error_s=max_error_s, gain_error=gain_error)


@as_found()
def transcribe(
    model: str,
    audio: Sequence[Path | str],
    *,
    precision: str | None = None,
    device: str = "cpu",
    threads: int = 1,
    batch_size: int = 1,
    options: Mapping[str, str] | None = None,
) -> list[Transcript]:
    """Transcribe audio files with any recognizer, in order. Raises InputError for a bad file, RecognizerError otherwise."""
    from wattscribe.corpora import read_audio
    from wattscribe.recognizers import open_recognizer, parse_model

    spec = parse_model(
        model, precision=precision, device=device, threads=threads, batch_size=batch_size, options=options or {}
    )
    recognizer = open_recognizer(spec)
    try:
        transcripts: list[Transcript] = []
        for start in range(0, len(audio), batch_size):
            batch = [read_audio(Path(path)) for path in audio[start : start + batch_size]]
            transcripts += recognizer.transcribe(batch)
        return transcripts
    finally:
        recognizer.close()


def devices() -> list[str]:
    """The names of the device profiles that the package ships."""
    from wattscribe.energy.devices import names

    return names()


@as_found()
def calibrate(runs: Sequence[Path | str], *, seed: int = 0) -> Calibration:
    """Fit joules per byte, per operation and idle watts to the measured energies of runs. Raises InputError for too few."""
    from wattscribe.calibration import calibrate_runs

    return calibrate_runs(runs, seed=seed)[0]


@as_found()
def profile(
    model: str,
    *,
    device: Path | str = "phone",
    data: str | None = None,
    limit: int | None = None,
    precision: str | None = None,
    local_memory_bytes: int | None = None,
    laws: Mapping[str, AccuracyLaw] | None = None,
    battery_wh: float | None = None,
    seed: int = 0,
    **rates: Any,
) -> Profile:
    """Where a streaming transducer spends its energy on a device; counted in a real decode of `data`, or from stated rates.

    `rates` are the further options of `profiling.profile_model`, for instance `tokens_per_s`. Raises InputError, ModelError.
    """
    from wattscribe.profiling import profile_model

    return profile_model(
        model,
        device=device,
        data=data,
        limit=limit,
        precision=precision,
        local_memory_bytes=local_memory_bytes,
        laws=laws,
        battery_wh=battery_wh,
        seed=seed,
        **rates,
    )


@as_found()
def train(
    config: Path | str,
    out: Path | str,
    *,
    resume: bool = True,
    minutes: float | None = None,
    steps: int | None = None,
    say: Callable[[str], None] = print,
) -> Fitted:
    """Train a streaming transducer as a TOML file says; started again, it goes on where it stood. Raises TrainingError."""
    from wattscribe.training import experiment as experiments

    wanted = experiments.with_length(experiments.read_experiment(Path(config)), minutes=minutes, steps=steps)
    with as_found():  # torch is here now
        return experiments.run(wanted, Path(out), resume=resume, say=say)


@as_found()
def export(checkpoint: Path | str, out: Path | str, *, precisions: Sequence[str] = ("fp32", "int8")) -> list[Path]:
    """Write a trained transducer as ONNX in sherpa-onnx's layout, once per precision; the files written."""
    from wattscribe.training.checkpoint import load_model
    from wattscribe.training.export import export as write

    folder = Path(checkpoint)
    with as_found():  # torch is here now
        model, vocabulary = load_model(folder / "model" if (folder / "model").is_dir() else folder)
        return write(model, vocabulary, Path(out), precisions=tuple(precisions))


@as_found()
def compress(
    model: Path | str, out: Path | str, *, data: Sequence[str], overwrite: bool = False, **options: Any
) -> Compression:
    """Make an exported transducer cheaper under a WER limit and write it to `out`; options as `compression.run.Options` names
    them (device, max_wer_increase, unlabelled, test_data, strategy, seed, …).

    Raises InputError and ModelError; `out` is then absent.
    """
    from wattscribe.compression.run import Options, compress_model

    return compress_model(model, out, Options(data=tuple(data), **options), overwrite=overwrite, say=lambda _: None)
