"""From a checkpoint to a smaller export: score, prune, distil; the dense export is what the result is compared with."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from wattscribe.compression.candidate import Candidate, read_candidate
from wattscribe.compression.dense import distil, repair, scores, surgery
from wattscribe.compression.dense.surgery import Cut
from wattscribe.errors import InputError
from wattscribe.records import from_json
from wattscribe.text_files import read_toml
from wattscribe.training.augment import NONE, NoiseBank
from wattscribe.training.checkpoint import load_model, save_model
from wattscribe.training.data import Batch, Changes, SpeechData
from wattscribe.training.export import export
from wattscribe.training.fields import Count, Natural, Positive, Share, at, check
from wattscribe.training.model import TransducerModel
from wattscribe.training.objective import Weights
from wattscribe.training.precision import Precision, chosen
from wattscribe.training.tokens import Vocabulary

MADE_BY = "slices fitted anew, each step in its own autocast"
"""Part of a kept checkpoint's name: one that was made otherwise is not found again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneConfig:
    """A --train-config file. `experiment` is the TOML that trained the model: its speech is used again."""

    experiment: str
    cut: Cut = field(default_factory=Cut)
    scores: Literal["magnitude", "adam"] = "adam"
    score_batches: Count = 8
    steps: Count = 200
    rate: Positive = 3e-4
    teacher_share: Share = distil.SHARE
    batch_s: Positive = 60.0
    precision: Precision = "auto"
    stateless: bool = False
    blank_width: Natural = 0
    seed: Natural = 0

    def __post_init__(self) -> None:
        check(self, "")


def read_config(path: Path) -> TuneConfig:
    """Raises InputError naming what does not fit."""
    values = read_toml(path, what="the tuning file")
    try:
        with at(path):
            return from_json(TuneConfig, values)
    except TypeError as error:
        raise InputError(f"the tuning file does not fit: {error}", where=path, fix="See docs/compress.md") from error


def prune_and_tune(
    checkpoint: Path, config: Path, *, cache: Path | None = None, say: Callable[[str], None] = lambda _: None
) -> tuple[Candidate, Candidate]:
    """(dense export, pruned and fine-tuned export). With `cache` the tuned checkpoint is kept there, under a name that follows
    from everything that it was made of, and found again. Raises InputError and TrainingError."""
    wanted = read_config(config)
    folder = checkpoint / "model" if (checkpoint / "model").is_dir() else checkpoint
    model, vocabulary = load_model(folder)
    experiment = (config.parent / wanted.experiment).expanduser().resolve()
    made_of = replace(wanted, experiment="", precision=chosen(wanted.precision))
    kept = None if cache is None else cache / f"tuned-{_name(folder, experiment, made_of)}"
    if kept is not None and (kept / "model.json").is_file():
        say(f"pruned and fine-tuned before: {kept}")
        student, _ = load_model(kept)
    else:
        student = _tuned(model, vocabulary, experiment, wanted, say)
        if kept is not None:
            save_model(kept, student, vocabulary, {"cut": str(wanted.cut), "steps": wanted.steps})
    return exported(model, vocabulary), exported(student, vocabulary)


def _tuned(
    model: TransducerModel, vocabulary: Vocabulary, path: Path, wanted: TuneConfig, say: Callable[[str], None]
) -> TransducerModel:
    """With the losses of the training's last phase, since a model for one token a frame must not learn another lattice; and with
    its changes of sound, since the training speech as it is was learnt from too often already."""
    from wattscribe.training.experiment import read_experiment, training_data

    experiment = read_experiment(path)
    settings = experiment.training
    weights = replace(settings.phases[-1], teacher=0.0) if settings.phases else None
    noises = NoiseBank(settings.seed, folder=settings.noise)
    changes = Changes(features=settings.augmentation, sound=settings.sound, noises=noises)
    return tune(model, training_data(experiment, vocabulary), wanted, weights=weights, changes=changes, say=say)


def _name(folder: Path, experiment: Path, wanted: TuneConfig) -> str:
    """Of a checkpoint and all that says what is done to it. Raises InputError for a file that is not there."""
    digest = hashlib.sha256(f"{MADE_BY} {wanted!r}".encode())
    for path in (folder / "model.safetensors", folder / "model.json", experiment):
        try:
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror}", where=path) from error
    return digest.hexdigest()[:16]


def tune(
    model: TransducerModel, data: SpeechData, wanted: TuneConfig, *, weights: Weights | None = None,
    changes: Changes | None = None, say: Callable[[str], None] = lambda _: None,
) -> TransducerModel:  # fmt: skip
    """The smaller model, distilled from `model`, which is not changed. `weights` of the losses, `changes` of the sound."""
    shaped = surgery.to_stateless(model) if wanted.stateless else model
    heard = list(_batches(data, wanted, wanted.score_batches, None))
    importance = scores.moments(shaped, heard, weights) if wanted.scores == "adam" else scores.magnitude(shaped)
    student = surgery.prune(shaped, wanted.cut, importance, repair.inputs_of(shaped, heard, weights))
    if wanted.blank_width:
        student = surgery.factorise_blank(student, wanted.blank_width)
    say(f"{surgery.parameters(model)} weights → {surgery.parameters(student)}; {wanted.steps} steps of fine-tuning")
    distil.distil(
        student, model, _batches(data, wanted, wanted.steps, changes), steps=wanted.steps, rate=wanted.rate,
        share=wanted.teacher_share, weights=weights, bf16=chosen(wanted.precision) == "bf16", say=say,
    )  # fmt: skip
    return student


def exported(model: TransducerModel, vocabulary: Vocabulary) -> Candidate:
    """The float export as a candidate."""
    with tempfile.TemporaryDirectory(prefix="wattscribe-") as folder:
        export(model, vocabulary, Path(folder) / "model")
        return read_candidate(Path(folder) / "model")


def _batches(data: SpeechData, wanted: TuneConfig, count: int, changed: Changes | None) -> Iterator[Batch]:
    """Epoch after epoch, as many as asked for; features as they are where no changes are given."""
    changes = changed or Changes(features=NONE)
    rooms, epoch, given = changes.rooms(), 0, 0
    while given < count:
        plan = data.plan(wanted.seed, epoch, wanted.batch_s)
        if not plan:
            raise InputError("there is no training speech", fix="Prepare it with `wattscribe train`")
        for number, indices in enumerate(plan):
            if given == count:
                return
            yield data.batch(indices, changes, rooms, np.random.default_rng((wanted.seed, epoch, number)))
            given += 1
        epoch += 1
