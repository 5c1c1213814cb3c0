"""Verbs about models: hear with them, profile them, train, export and compress them; and the speech that this takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

from wattscribe.as_found import as_found
from wattscribe.errors import MissingExtraError
from wattscribe.verbs.called import Say, silent, verb

if TYPE_CHECKING:
    from wattscribe.compression.outcome import Compression
    from wattscribe.energy.accuracy import AccuracyLaw
    from wattscribe.energy.breakdown import Activations
    from wattscribe.energy.devices import Device
    from wattscribe.energy.placement import Unit
    from wattscribe.energy.profile import Profile
    from wattscribe.energy.rates import Decoding
    from wattscribe.records import Transcript
    from wattscribe.training.train import Fitted


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


@overload
def devices(device: None = None) -> list[str]: ...
@overload
def devices(device: Path | str) -> Device: ...
@verb
def devices(device: Path | str | None = None) -> list[str] | Device:
    """The names of the device profiles that the package ships; with a name or a TOML file, that profile, checked."""
    from wattscribe.energy.devices import load, names

    return names() if device is None else load(device)


@verb
def profile(
    model: str,
    *,
    device: Path | str = "phone",
    data: str | None = None,
    limit: int | None = None,
    precision: str | None = None,
    local_memory_bytes: int | None = None,
    chunk_ms: float | None = None,
    calls_per_s: float | None = None,
    inputs: Mapping[str, float] | None = None,
    dims: Mapping[str, int] | None = None,
    decoding: Decoding = "batched",
    beam: int = 1,
    frames_per_s: float | None = None,
    tokens_per_s: float = 4.8,
    words_per_s: float | None = None,
    vocab: int | None = None,
    placement: Unit = "component",
    activations: Activations = "fused",
    laws: Mapping[str, AccuracyLaw] | None = None,
    battery_wh: float | None = None,
    seed: int = 0,
) -> Profile:
    """Where a streaming transducer spends its energy on a device; counted in a real decode of `data`, or from stated rates.

    The options are those of `wattscribe profile --help`. Raises InputError, ModelError.
    """
    from wattscribe.profiling import profile_model

    return profile_model(
        model,
        device=device,
        data=data,
        limit=limit,
        precision=precision,
        local_memory_bytes=local_memory_bytes,
        chunk_ms=chunk_ms,
        calls_per_s=calls_per_s,
        inputs=inputs,
        dims=dims,
        decoding=decoding,
        beam=beam,
        frames_per_s=frames_per_s,
        tokens_per_s=tokens_per_s,
        words_per_s=words_per_s,
        vocab=vocab,
        placement=placement,
        activations=activations,
        laws=laws,
        battery_wh=battery_wh,
        seed=seed,
    )


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
    """Train a streaming transducer as a TOML file says; started again, it goes on where it stood. `say` hears its progress.

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
def export(checkpoint: Path | str, out: Path | str, *, precisions: Sequence[str] = ("fp32", "int8")) -> list[Path]:
    """Write a trained transducer, or the Whisper `hf:MODEL`, as ONNX in sherpa-onnx's layout, once per precision; the files."""
    if (name := str(checkpoint)).startswith("hf:"):
        from wattscribe.seq2seq.export import export_whisper

        return export_whisper(name.removeprefix("hf:"), out, precisions=precisions)
    _need_torch("Export")
    from wattscribe.training.checkpoint import load_model
    from wattscribe.training.export import export as write

    folder = Path(checkpoint)
    with as_found():  # torch is here now
        model, vocabulary = load_model(folder / "model" if (folder / "model").is_dir() else folder)
        return write(model, vocabulary, Path(out), precisions=tuple(precisions))


@verb
def compress(
    model: Path | str,
    out: Path | str,
    *,
    data: Sequence[str],
    test_data: Sequence[str] = (),
    unlabelled: Sequence[str] = (),
    device: str | None = None,
    max_wer_increase_points: float = 0.2,
    strategy: Literal["targeted", "uniform", "global", "search"] = "targeted",
    seed: int | None = None,
    max_latency_ms: float | None = None,
    train_config: Path | str | None = None,
    recipe: Path | str | None = None,
    limit: int | None = None,
    storage: Path | str | None = None,
    minutes: float | None = None,
    trials: int = 60,
    beside: Sequence[Path | str] = (),
    require_proof: bool = False,
    cache: Path | str | None = None,
    calibration_s: float = 180.0,
    probe_s: float = 110.0,
    overwrite: bool = False,
    say: Say | None = None,
) -> Compression:
    """Make an exported transducer cheaper under a limit of added word errors, prove it, and write it to `out`.

    `max_wer_increase_points`: 0.2 lets 3.65 % become 3.85 %. `calibration_s` and `probe_s`: seconds of audio for ranges of
    activations and for quick looks. The others: `wattscribe compress --help`. `say` hears what it does. Raises InputError and
    ModelError; `out` is then absent.
    """
    from wattscribe.compression.run import Options, compress_model

    options = Options(
        data=tuple(data),
        test_data=tuple(test_data),
        unlabelled=tuple(unlabelled),
        device=device,
        max_wer_increase_points=max_wer_increase_points,
        strategy=strategy,
        seed=seed,
        max_latency_ms=max_latency_ms,
        train_config=_path(train_config),
        recipe=_path(recipe),
        limit=limit,
        storage=_path(storage),
        minutes=minutes,
        trials=trials,
        beside=tuple(map(Path, beside)),
        require_proof=require_proof,
        cache=_path(cache),
        calibration_s=calibration_s,
        probe_s=probe_s,
    )
    return compress_model(model, out, options, overwrite=overwrite, say=say or silent)


@verb
def data(
    name: str,
    out: Path | str = "data",
    *,
    mirror: str | None = None,
    keep_archive: bool = False,
    progress: Callable[[int, int | None], None] | None = None,
) -> Path:
    """Download `librispeech:SET`, check and unpack it; the folder that `bench` takes as data. An interrupted one is resumed.

    `progress` hears bytes held and, where it is known, bytes in all. Raises InputError, and WattscribeError where the download
    fails.
    """
    from wattscribe.corpora.get import BASE_URL, get

    hears = progress or (lambda held, total: None)
    return get(name, Path(out), mirror=mirror or BASE_URL, keep_archive=keep_archive, progress=hears)


def _path(given: Path | str | None) -> Path | None:
    return None if given is None else Path(given)


def _need_torch(what: str) -> None:
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("torch", "train", needed_for=what) from error
