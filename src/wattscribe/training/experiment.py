"""One TOML file → a trained model: what `wattscribe train` does."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import Ge

from wattscribe.errors import InputError
from wattscribe.records import from_json
from wattscribe.text_files import read_toml
from wattscribe.training.checkpoint import load_model
from wattscribe.training.config import TransducerConfig, config_from_json, preset
from wattscribe.training.data import Source, SpeechData, mel_statistics
from wattscribe.training.features import MELS
from wattscribe.training.fields import Positive, at, check
from wattscribe.training.model import TransducerModel, build
from wattscribe.training.objective import TeacherHead, fits_teacher
from wattscribe.training.prepare import DEV_SETS, Speech, held_out_texts, prepare, training_sentences
from wattscribe.training.sound import sound_files
from wattscribe.training.speech_cache import shards
from wattscribe.training.texts import plain
from wattscribe.training.tokens import Vocabulary, characters, load_vocabulary, save_vocabulary, train_bpe
from wattscribe.training.train import Fitted, Settings, check_devices, fit

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Units:
    """The vocabulary: BPE of a size, or characters; made of the text, or taken from a folder."""

    kind: Literal["bpe", "characters"] = "bpe"
    size: Annotated[int, Ge(5)] = 500
    folder: str | None = None

    def __post_init__(self) -> None:
        check(self, "units")

    def __str__(self) -> str:
        return f"bpe of {self.size}" if self.kind == "bpe" else "characters"


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """A training as its TOML file says it."""

    model: Mapping[str, Any] = field(default_factory=lambda: {"preset": "reference"})
    """`preset = NAME`, or the shape itself: `encoder`, `predictor`, `joiner`."""
    units: Units = field(default_factory=Units)
    speech: Speech
    sources: tuple[Source, ...] = ()
    """Further folders of shards, or all of them where the speech section names no text."""
    dev: Mapping[str, str] = field(default_factory=dict)
    """Name → folder of shards."""
    training: Settings = field(default_factory=Settings)
    longest_s: Positive = 16.0
    start_from: str | None = None
    """A folder with a trained model, whose weights and vocabulary are taken over: fine-tuning."""

    def __post_init__(self) -> None:
        check(self, "")
        if self.start_from is None:
            self.fits(model_config(self.model, self.units.size))

    def fits(self, config: TransducerConfig) -> None:
        """Refuse a model that this training's speech, or its teacher, does not fit. Raises InputError."""
        if config.encoder.mels != MELS:
            raise InputError(f"model.encoder.mels = {config.encoder.mels}: speech has {MELS} bands", fix=f"Give {MELS}")
        if self.taught:
            fits_teacher(config.encoder.time_stack)

    @property
    def taught(self) -> bool:
        """Whether a phase asks for a teacher's outputs."""
        return any(phase.teacher for phase in self.training.phases)


def read_experiment(path: Path) -> Experiment:
    """A TOML file → Experiment. Raises InputError naming what does not fit."""
    values = read_toml(path, what="the training file", fix="See docs/training.md")
    try:
        with at(path):
            return from_json(Experiment, values)
    except TypeError as error:
        raise InputError(f"the training file does not fit: {error}", where=path, fix="See docs/training.md") from error


def run(experiment: Experiment, out_dir: Path, *, resume: bool = True, say: Say) -> Fitted:
    """Prepare what is missing, train, and leave the model in `out_dir/model`.

    What can be refused is refused before speech is made, which takes hours.
    """
    check_devices(experiment.training)
    check_folders(experiment)
    _check_teacher(experiment)
    model, vocabulary = _start(experiment, out_dir, resume=resume)
    experiment.fits(model.config)
    prepare(experiment.speech, say)
    data = training_data(experiment, vocabulary)
    say(f"{len(data.entries)} utterances, {data.hours:.1f} h")
    if experiment.start_from is None:
        model.encoder.set_statistics(*mel_statistics(data))
    dev = {
        name: SpeechData([Source(folder=folder)], vocabulary, longest_s=experiment.longest_s * 2)
        for name, folder in experiment.dev.items()
    }
    head = _head(experiment, model, data)
    return fit(
        model, vocabulary, data, experiment.training, out_dir=out_dir, resume=resume, dev=dev, head=head, say=say
    )


def training_data(experiment: Experiment, vocabulary: Vocabulary) -> SpeechData:
    """The speech of the cache and of further sources, without the held-out corpora's sentences."""
    speech, sources = experiment.speech, list(experiment.sources)
    if not sources:
        sources = [Source(folder=str(speech.folder / name)) for name in ("train", "human")
                   if shards(speech.folder / name)]  # fmt: skip
    chosen: list[str] = []
    if speech.on_the_fly and (sentences := training_sentences(speech)):
        chosen = random.Random(speech.seed).choices(sentences, k=speech.on_the_fly)
    return SpeechData(
        sources, vocabulary, longest_s=experiment.longest_s, held_out=held_out_texts(speech.held_out_corpora),
        unspoken=chosen, seed=speech.seed,
    )  # fmt: skip


def check_folders(experiment: Experiment) -> None:
    """Refuse folders that are not there and that preparing does not make, naming their keys. Raises InputError."""
    prepared = {(experiment.speech.folder / name).resolve() for name in _prepared(experiment.speech)}
    named = [(f"dev.{name}", folder) for name, folder in experiment.dev.items()]
    named += [(f"sources.folder[{place}]", source.folder) for place, source in enumerate(experiment.sources)]
    for key, name in named:
        folder = Path(name).expanduser()
        if folder.resolve() not in prepared and not any(folder.glob("shard-*.jsonl")):
            raise InputError(f"{key} = {name!r}: the speech folder holds no shards",
                             fix="Make them first: `prepare_only`")  # fmt: skip
    speech = experiment.speech
    given = {"speech.text": speech.text, "speech.held_out_text": speech.held_out_text}
    for key, name in ((key, name) for key, names in given.items() for name in names):
        if not Path(name).expanduser().exists():
            raise InputError(f"{key} = {name!r}: there is no such file or folder",
                             fix="Name your own; docs/training.md says what each key takes")  # fmt: skip
    settings = experiment.training
    sounds = {"training.noise": settings.noise, "training.sound.rooms": settings.sound.rooms}
    for key, sound_path in {**sounds, "speech.unlabelled": experiment.speech.unlabelled}.items():
        if sound_path is not None:
            try:
                sound_files(Path(sound_path).expanduser())
            except InputError as error:
                raise InputError(f"{key} = {sound_path!r}: {error.what}", fix=error.fix) from error


def _prepared(speech: Speech) -> Iterator[str]:
    if speech.text:
        yield "train"
        yield from (spoken.name for spoken in DEV_SETS)
    if speech.unlabelled is not None:
        yield "human"


def _start(experiment: Experiment, out_dir: Path, *, resume: bool) -> tuple[TransducerModel, Vocabulary]:
    torch.manual_seed(experiment.training.seed)
    if experiment.start_from is not None:
        model, vocabulary = load_model(Path(experiment.start_from).expanduser())
    else:
        # With several devices the first process has made it before the others begin.
        anew = not resume and os.environ.get("LOCAL_RANK", "0") == "0"
        vocabulary = make_vocabulary(experiment, out_dir / "vocabulary", anew=anew)
        model = build(model_config(experiment.model, len(vocabulary)))
    if resume and (out_dir / "state.pt").exists() and (out_dir / "model" / "tokens.txt").exists():
        begun = load_vocabulary(out_dir / "model")
        if begun.units != vocabulary.units:
            raise InputError("this training began with other units than those asked for now", where=out_dir,
                             fix="Give the units it began with, another `out`, or start over with `resume=False`")  # fmt: skip
    return model, vocabulary


def model_config(wanted: Mapping[str, Any], vocabulary: int) -> TransducerConfig:
    """The shape that a training file asks for, with the vocabulary's size. Raises InputError."""
    if "preset" not in wanted:
        return config_from_json({**wanted, "vocabulary": vocabulary})
    if beside := sorted(wanted.keys() - {"preset", "vocabulary"}):
        raise InputError(f"model.preset = {wanted['preset']!r} conflicts with model.{', model.'.join(beside)}",
                         fix="Give a preset or a shape")  # fmt: skip
    return preset(str(wanted["preset"]), vocabulary=vocabulary)


def make_vocabulary(experiment: Experiment, folder: Path, *, anew: bool = False) -> Vocabulary:
    """Made once and kept beside the training, so that resuming finds the same units; `anew` makes it again.

    Raises InputError where other units are asked for than those kept.
    """
    units = experiment.units
    if units.folder is not None:
        return load_vocabulary(Path(units.folder).expanduser())
    if (folder / "tokens.txt").exists() and not anew:
        kept = load_vocabulary(folder)
        there = Units(kind="characters") if kept.bpe is None else Units(kind="bpe", size=len(kept))
        if str(there) != str(units):
            raise InputError(f"units = {units}, but this training has {there}", where=folder,
                             fix="Give the units it began with, another `out`, or start over with `resume=False`")  # fmt: skip
        return kept
    sentences = [plain(sentence) for sentence in training_sentences(experiment.speech)]
    vocabulary = train_bpe(sentences, units.size) if units.kind == "bpe" else characters(sentences)
    save_vocabulary(vocabulary, folder)
    return vocabulary


def _check_teacher(experiment: Experiment) -> None:
    """Refuse a phase that asks for a teacher's outputs which neither are there nor will be made. Raises InputError."""
    speech = experiment.speech
    if not experiment.taught or (
        speech.teacher is not None and (speech.unlabelled is not None or speech.taught_shards)
    ):
        return
    folders = [Path(source.folder).expanduser() for source in experiment.sources] or [speech.folder]
    if not any(any(folder.rglob("*.teacher.npy")) for folder in folders):
        raise _untaught(experiment)


def _untaught(experiment: Experiment) -> InputError:
    return InputError("a phase weighs the teacher, but no speech has its outputs", where=experiment.speech.cache,
                      fix="Give speech.teacher with unlabelled or taught_shards, or set teacher = 0")  # fmt: skip


def _head(experiment: Experiment, model: TransducerModel, data: SpeechData) -> TeacherHead | None:
    """The teacher's head, its scale taken from the teacher's outputs; None where no phase asks for it."""
    if not experiment.taught:
        return None
    taught = [shard for shard in data.shards if shard.path.with_suffix(".teacher.npy").exists()]
    if not taught:
        raise _untaught(experiment)
    outputs = np.concatenate([shard.taught().astype(np.float32) for shard in taught[:3]])
    head = TeacherHead(model.config.encoder.width, model.config.encoder.time_stack, teacher_width=outputs.shape[1])
    head.mean.copy_(torch.from_numpy(outputs.mean(0)))
    head.scale.copy_(torch.from_numpy(1 / np.maximum(outputs.std(0), 1e-3)))
    return head


def with_length(experiment: Experiment, *, minutes: float | None, steps: int | None) -> Experiment:
    """The experiment with another length. Raises InputError where both are given."""
    if minutes is None and steps is None:
        return experiment
    schedule = replace(experiment.training.schedule, minutes=minutes, steps=steps)
    return replace(experiment, training=replace(experiment.training, schedule=schedule))
