"""Verbs about models: transcribe with them, profile them, train, export and compress them; and the speech that this takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from wattscribe.as_found import as_found
from wattscribe.compression import options as compressions
from wattscribe.energy import options as profiles
from wattscribe.errors import MissingExtraError
from wattscribe.verbs.called import Say, model_into, of_model, silent, verb
from wattscribe.verbs.of_fleets import stages_of, workers_of

if TYPE_CHECKING:
    from wattscribe.compression.outcome import Compression
    from wattscribe.energy.devices import Device
    from wattscribe.energy.profile import Profile
    from wattscribe.records import Transcript
    from wattscribe.results.tuned import Tuned, TuningLimits
    from wattscribe.training.train import Fitted
    from wattscribe.transcribing import Follower
    from wattscribe.tuning.run import Bench, Question


@verb
def transcribe(
    model: str,
    audio: Sequence[Path | str],
    *,
    precision: str | None = None,
    device: str = "cpu",
    threads: int = 1,
    batch_size: int = 1,
    options: Mapping[str, str] | None = None,
    vad: bool = False,
    endpoints: bool = False,
    follow: Follower | None = None,
    say: Say | None = None,
) -> list[Transcript]:
    """Transcribe audio files with any recognizer that `bench` runs, under the same names and options; one transcript each.

    `follow` (a `wattscribe.transcribing.Follower`) is given words as they are recognised, where the recognizer streams, and what
    is wrong with a file; the source `-` is then raw PCM on standard input and `microphone` is one. `vad` and `endpoints`, of
    streaming transducers: decode speech only; close an utterance after a pause. `say`, where nobody follows, is told how far it
    is. Raises InputError for a bad file, RecognizerError otherwise.
    """
    from wattscribe import transcribing
    from wattscribe.recognizers import parse_model

    spec = parse_model(
        model, precision=precision, device=device, threads=threads, batch_size=batch_size, options=options or {}
    )
    if follow is None and not vad and not endpoints:
        return transcribing.transcribe_files(spec, audio, say or silent)
    follower = follow or transcribing.Follower()
    return transcribing.follow(spec, audio, follower, vad=vad, endpoints=endpoints)


@overload
def devices(device: None = None) -> list[str]: ...
@overload
def devices(device: Path | str) -> Device: ...
@verb
def devices(device: Path | str | None = None) -> list[str] | Device:
    """The names of the device profiles that the package ships; with a name or a TOML file, that profile, checked."""
    from wattscribe.energy.devices import load, names

    return names() if device is None else load(device)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileOptions(profiles.Options):
    """And how a caller is told how far the decode is."""

    say: Say | None = None


@of_model(ProfileOptions)
def profile(model: str, options: ProfileOptions) -> Profile:
    """Where a streaming transducer spends its energy on a device; counted in a real decode of `data`, or from stated rates.

    The options are the fields of `wattscribe.energy.options.Options`, which `wattscribe profile --help` describes; `say` is told
    how far the decode is. Raises InputError, ModelError.
    """
    from wattscribe.profiling import profile_model

    return profile_model(model, options, say=options.say)


@overload
def train(
    config: Path | str,
    out: Path | str,
    *,
    resume: bool = True,
    minutes: float | None = None,
    steps: int | None = None,
    prepare_only: Literal[False] = False,
    say: Say | None = None,
) -> Fitted: ...
@overload
def train(
    config: Path | str,
    out: Path | str,
    *,
    resume: bool = True,
    minutes: float | None = None,
    steps: int | None = None,
    prepare_only: bool,
    say: Say | None = None,
) -> Fitted | None: ...
@verb
def train(
    config: Path | str,
    out: Path | str,
    *,
    resume: bool = True,
    minutes: float | None = None,
    steps: int | None = None,
    prepare_only: bool = False,
    say: Say | None = None,
) -> Fitted | None:
    """Train a streaming transducer as a TOML file says; started again, it goes on where it stood. `say` is told its progress.

    `prepare_only`: make the speech (and the teacher's outputs), then stop; None is returned. Raises InputError for a file that
    does not fit, TrainingError.
    """
    _need_torch("Training")
    from wattscribe.training import experiment as experiments
    from wattscribe.training.prepare import prepare

    wanted = experiments.with_length(experiments.read_experiment(Path(config)), minutes=minutes, steps=steps)
    with as_found():  # torch is here now
        if prepare_only:
            prepare(wanted.speech, say or silent)
            return None
        return experiments.run(wanted, Path(out), resume=resume, say=say or silent)


@verb
def export(
    checkpoint: Path | str, out: Path | str, *, precisions: Sequence[str] = ("fp32", "int8"), say: Say | None = None
) -> list[Path]:
    """Write a trained transducer, or a Whisper (`hf:MODEL`, or its directory), as ONNX in sherpa-onnx's layout, once per
    precision.

    The files written, of which `say` is told.
    """
    if (name := str(checkpoint)).startswith("hf:") or (Path(name) / "config.json").is_file():
        from wattscribe.seq2seq.export import export_whisper

        written = export_whisper(name.removeprefix("hf:"), out, precisions=precisions)
    else:
        written = _exported(Path(checkpoint), Path(out), tuple(precisions))
    for path in written:
        (say or silent)(f"{path}  {path.stat().st_size:,} bytes")
    return written


def _exported(folder: Path, out: Path, precisions: tuple[str, ...]) -> list[Path]:
    _need_torch("Export")
    from wattscribe.training.checkpoint import load_model
    from wattscribe.training.export import export as write

    with as_found():  # torch is here now
        model, vocabulary = load_model(folder / "model" if (folder / "model").is_dir() else folder)
        return write(model, vocabulary, out, precisions=precisions)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressOptions(compressions.Options):
    """What the command line has and a caller has too, and how a caller is told what is done."""

    overwrite: bool = False
    say: Say | None = None


@model_into(CompressOptions)
def compress(model: Path | str, out: Path | str, options: CompressOptions) -> Compression:
    """Make an exported transducer cheaper under a limit of added word errors, prove it, and write it to `out`.

    The options are the fields of `wattscribe.compression.options.Options`, which `wattscribe compress --help` describes; `say`
    is told what it does. Raises InputError and ModelError; `out` is then absent.
    """
    from wattscribe.compression.run import compress_model
    from wattscribe.pages.compress_page import html

    say = options.say or silent
    with workers_of(options.hosts, options.scheduler, say) as workers:
        elsewhere = None
        if workers is not None:
            from wattscribe.compression.there import by

            elsewhere = by(workers)
        return compress_model(model, out, options, overwrite=options.overwrite, say=say, page=html, elsewhere=elsewhere)


@verb
def tune(
    space: Path | str | Mapping[str, Any],
    out: Path | str,
    *,
    max_wer_percent: float | None = None,
    max_latency_ms: float | None = None,
    max_memory_bytes: float | None = None,
    minimise: Literal["energy", "modelled_energy", "device_energy", "cpu_s", "rtf"] = "energy",
    device: Path | str | None = None,
    budget_percent: float = 25.0,
    resume: bool = False,
    overwrite: bool = False,
    simulated_board: str | None = None,
    hosts: Path | str | None = None,
    scheduler: str | None = None,
    bench: Bench | None = None,
    say: Say | None = None,
) -> Tuned:
    """Find the configuration of `space` (a TOML file as docs/tune.md shows, or its keys) that takes the least energy of those
    that hold the limits, on a share of the audio that trying all would take, and prove it on speech that nothing was chosen on.

    Each stage is a run below `out` that every verb reads; with `resume` a tuning that was broken off goes on. Where no meter can
    be read, `minimise` names what stands for energy; `device` is the profile of device_energy. `max_latency_ms`: nine of ten
    answers come within it. `simulated_board`: measure nothing, play that board's watts. `hosts` or `scheduler`:
    on boards of one class, as `wattscribe.fleet` reaches them. `bench` runs the trials of an experiment elsewhere. Raises
    InputError for a question that cannot be answered, and for boards of several classes.
    """
    from wattscribe.errors import InputError
    from wattscribe.results.tuned import TuningLimits
    from wattscribe.testing.simulated_bench import stage_on_board
    from wattscribe.tuning import space as spaces
    from wattscribe.tuning.here import require_sensor, stage_here
    from wattscribe.tuning.run import tune as race

    limits = TuningLimits(
        max_wer=None if max_wer_percent is None else max_wer_percent / 100.0,
        max_latency_s=None if max_latency_ms is None else max_latency_ms / 1000.0,
        max_memory_bytes=max_memory_bytes,
    )
    question = _question(minimise, device, limits, budget_percent)
    chosen = spaces.read(space) if isinstance(space, Mapping) else spaces.load(Path(space))
    if hosts is not None or scheduler is not None:
        if bench is not None or simulated_board is not None:
            fix = "Leave out `bench` and `simulated_board`: boards measure, and what is simulated stands in `hosts`"
            raise InputError("a tuning is on boards or here", fix=fix)
        with stages_of(hosts, scheduler, say or silent) as stages:
            return race(chosen, question, Path(out), stages, resume=resume, overwrite=overwrite, say=say or silent)
    if bench is None and simulated_board is not None:
        bench = stage_on_board(simulated_board)
    elif bench is None:
        require_sensor(question.objective, chosen.experiment)
    return race(chosen, question, Path(out), bench or stage_here, resume=resume, overwrite=overwrite, say=say or silent)


def _question(minimise: str, device: Path | str | None, limits: TuningLimits, budget_percent: float) -> Question:
    """Raises InputError for a budget that is no share, and for what cannot be minimised."""
    from wattscribe.energy import devices
    from wattscribe.errors import InputError
    from wattscribe.tuning import objective
    from wattscribe.tuning.run import Question

    if not 0 < budget_percent <= 100:
        raise InputError(
            f"`budget_percent` is {budget_percent:g}", fix="It is a share of the audio, above 0 and up to 100"
        )
    profile = None if device is None else devices.load(device)
    return Question(
        objective=objective.objective(minimise, profile), limits=limits, budget=budget_percent / 100.0, device=profile
    )


@verb
def data(
    name: str,
    out: Path | str = "data",
    *,
    mirror: str | None = None,
    keep_archive: bool = False,
    progress: Callable[[int, int | None], None] | None = None,
) -> Path:
    """Download `librispeech:SET`, `noise:NAME` or `model:NAME`, check and unpack it; its folder. An interrupted one is resumed.

    `progress` is given bytes held and, where it is known, bytes in all. Raises InputError, and WattscribeError where the download
    fails.
    """
    from wattscribe.corpora.get import get

    report = progress or (lambda held, total: None)
    return get(name, Path(out), mirror=mirror, keep_archive=keep_archive, progress=report)


def _need_torch(what: str) -> None:
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("torch", "train", needed_for=what) from error
