"""The verbs as functions, with the names that they have on the command line; each loads its rooms only when it is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from wattscribe.bench.experiment import Experiment
    from wattscribe.energy.calibrate import Calibration
    from wattscribe.energy.profile import Profile
    from wattscribe.meters import Probe
    from wattscribe.records import RunFacts, Transcript

__all__ = ["calibrate", "devices", "profile", "bench", "meters", "report", "transcribe"]


def bench(
    experiment: Experiment | Mapping[str, Any] | Path | str,
    out: Path | str,
    *,
    resume: bool = False,
    overwrite: bool = False,
) -> RunFacts:
    """Measure an experiment (a TOML file, or its keys as a mapping) into the run directory `out`; the facts it then holds.

    A failed trial is a fact, not an exception: look at `status` and `reason` of each of `trials`. Raises InputError for what
    cannot be measured and for an `out` that holds a run, unless `resume` or `overwrite`.
    """
    from wattscribe.bench.experiment import check, load
    from wattscribe.bench.runner import run
    from wattscribe.journal import read_run

    if isinstance(experiment, (str, Path)):
        experiment = load(Path(experiment))
    elif isinstance(experiment, Mapping):
        experiment = check(experiment)
    return read_run(run(experiment, Path(out), resume=resume, overwrite=overwrite))


def report(
    run: Path | str, out: Path | str | None = None, *, format: Literal["html", "md", "csv", "json", "parquet"] = "html"
) -> Path | str:
    """Write a run's report and return its path; without `out` the HTML page goes into the run directory, text is returned."""
    from wattscribe.journal import read_run
    from wattscribe.report import formats, write_html

    facts = read_run(Path(run))
    if format == "html":
        page = Path(run) / "report.html" if out is None else Path(out)
        write_html(facts, page)
        return page
    text = formats.write(facts, format, None if out is None else Path(out))
    return text if text is not None else Path(str(out))


def meters() -> list[Probe]:
    """What can be measured on this machine and what cannot, with the reason and the command that would mend it."""
    from wattscribe.meters import probe

    return probe()


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


def profile(model: str, **options: Any) -> Profile:
    """Where a model spends its energy on a device; options as `wattscribe.profiling.profile_model` names them.

    Raises ModelError for a model that cannot be counted, InputError for an option or a device at fault.
    """
    from wattscribe.profiling import profile_model

    return profile_model(model, **options)


def devices() -> list[str]:
    """The names of the device profiles that the package ships."""
    from wattscribe.energy.devices import names

    return names()


def calibrate(runs: Sequence[Path | str], *, seed: int = 0) -> Calibration:
    """Fit joules per byte, per operation and idle watts to the measured energies of runs. Raises InputError for too few."""
    from wattscribe.calibration import calibrate_runs

    return calibrate_runs(runs, seed=seed)[0]
