"""One TOML file → a trained model: what `wattscribe train` does."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from wattscribe.errors import InputError
from wattscribe.records import from_json
from wattscribe.training.checkpoint import load_model
from wattscribe.training.config import TransducerConfig, config_from_json, preset
from wattscribe.training.data import Source, SpeechData
from wattscribe.training.model import TransducerModel, build
from wattscribe.training.objective import TeacherHead
from wattscribe.training.prepare import Speech, held_out_texts, prepare, training_sentences
from wattscribe.training.speech_cache import shards
from wattscribe.training.texts import plain
from wattscribe.training.tokens import Vocabulary, characters, load_vocabulary, save_vocabulary, train_bpe
from wattscribe.training.train import Fitted, Settings, fit, mel_statistics

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Units:
    """The vocabulary: BPE of a size, or characters; made of the text, or taken from a folder."""

    kind: Literal["bpe", "characters"] = "bpe"
    size: int = 500
    folder: str | None = None


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
    longest_s: float = 16.0
    start_from: str | None = None
    """A folder with a trained model, whose weights and vocabulary are taken over: fine-tuning."""


def read_experiment(path: Path) -> Experiment:
    """A TOML file → Experiment. Raises InputError naming what does not fit."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    if not path.is_file():
        raise InputError("there is no such file", where=path)
    try:
        return from_json(Experiment, tomllib.loads(path.read_text(encoding="utf-8")))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"this is no TOML: {error}", where=path) from error
    except (TypeError, KeyError, AttributeError) as error:
        raise InputError(f"the training file does not fit: {error}", where=path, fix="See docs/training.md") from error


def run(experiment: Experiment, out_dir: Path, *, resume: bool = True, say: Say) -> Fitted:
    """Prepare what is missing, train, and leave the model in `out_dir/model`."""
    prepare(experiment.speech, say)
    model, vocabulary = _start(experiment, out_dir)
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
    held_out = held_out_texts(speech.held_out_corpora)
    data = SpeechData(sources, vocabulary, longest_s=experiment.longest_s, held_out=held_out)
    if speech.on_the_fly:
        sentences = training_sentences(speech)
        chosen = random.Random(speech.seed).choices(sentences, k=speech.on_the_fly)
        data.add_unspoken(chosen, seed=speech.seed)
    return data


def _start(experiment: Experiment, out_dir: Path) -> tuple[TransducerModel, Vocabulary]:
    torch.manual_seed(experiment.training.seed)
    if experiment.start_from is not None:
        return load_model(Path(experiment.start_from).expanduser())
    vocabulary = make_vocabulary(experiment, out_dir / "vocabulary")
    return build(model_config(experiment.model, len(vocabulary))), vocabulary


def model_config(wanted: Mapping[str, Any], vocabulary: int) -> TransducerConfig:
    """The shape that a training file asks for, with the vocabulary's size."""
    if "preset" in wanted:
        return preset(str(wanted["preset"]), vocabulary=vocabulary)
    return config_from_json({**wanted, "vocabulary": vocabulary})


def make_vocabulary(experiment: Experiment, folder: Path) -> Vocabulary:
    """Made once and kept beside the training, so that resuming finds the same units."""
    if experiment.units.folder is not None:
        return load_vocabulary(Path(experiment.units.folder).expanduser())
    if (folder / "tokens.txt").exists():
        return load_vocabulary(folder)
    sentences = [plain(sentence) for sentence in training_sentences(experiment.speech)]
    units = experiment.units
    vocabulary = train_bpe(sentences, units.size) if units.kind == "bpe" else characters(sentences)
    save_vocabulary(vocabulary, folder)
    return vocabulary


def _head(experiment: Experiment, model: TransducerModel, data: SpeechData) -> TeacherHead | None:
    """The teacher's head, its scale taken from the teacher's outputs; None where no phase asks for it."""
    if not any(phase.teacher for phase in experiment.training.phases):
        return None
    paths = [path for shard in data.shards if (path := shard.path.with_suffix(".teacher.npy")).exists()]
    if not paths:
        raise InputError("a phase weighs the teacher, but no speech has its outputs", where=experiment.speech.cache,
                         fix="Give speech.teacher with unlabelled or taught_shards, or set teacher = 0")  # fmt: skip
    outputs = np.concatenate([np.load(path).astype(np.float32) for path in paths[:3]])
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
