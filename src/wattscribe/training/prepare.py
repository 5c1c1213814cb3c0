"""From text and recordings to shards: speech for training, dev and test, and what the teacher makes of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from wattscribe.errors import InputError
from wattscribe.training.fields import Count, Natural, NotNegative, check
from wattscribe.training.sound import read_sound, sound_files
from wattscribe.training.speech_cache import claim, fill, shard_path, shards, write_shard, write_utterances
from wattscribe.training.synthesis import HELD_OUT_ESPEAK, HELD_OUT_FLITE, TRAINING_FLITE, Voice, vary
from wattscribe.training.teacher import Teacher
from wattscribe.training.texts import Split, pieces, plain, read_sentences, split_of, without
from wattscribe.training.writing import cannot_write
from wattscribe.units import FRAMES_PER_S

Say = Callable[[str], None]
UTTERANCES_PER_SHARD = 240


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """What is spoken and where it is kept. `hours` of speech by flite (and some espeak-ng) are made once."""

    cache: str
    text: tuple[str, ...] = ()
    hours: NotNegative = 10.0
    seed: int = 0
    processes: Count = 1
    on_the_fly: Natural = 0
    """Sentences per epoch that espeak-ng speaks again each time."""
    unlabelled: str | None = None
    """A folder of recordings without transcripts: the teacher's text and encoder outputs stand for them."""
    teacher: str | None = None
    """A streaming zipformer2 directory in sherpa-onnx layout."""
    taught_shards: Natural = 0
    """Spoken shards for which the teacher's outputs are made too."""
    held_out_corpora: tuple[str, ...] = ("bundled",)
    """Corpora whose sentences never occur in training."""
    held_out_text: tuple[str, ...] = ()
    """Text files of another training whose dev and test sentences must not occur in this one either."""

    def __post_init__(self) -> None:
        check(self, "speech")
        if self.on_the_fly and not self.text:
            raise InputError(
                f"speech.on_the_fly = {self.on_the_fly}: there is no text to speak", fix="Give speech.text"
            )
        if self.unlabelled is not None and self.teacher is None:
            raise InputError(
                "recordings without transcripts need a teacher", fix="Give speech.teacher, a model directory"
            )

    @property
    def folder(self) -> Path:
        return Path(self.cache).expanduser()


@dataclass(frozen=True, slots=True, kw_only=True)
class SpokenSet:
    """A dev or test set: which split of the text, which voices, how many utterances."""

    name: str
    split: Split
    voices: tuple[Voice, ...]
    count: int
    varied: bool


KNOWN = tuple(Voice(engine="flite", name=name) for name in TRAINING_FLITE)
UNKNOWN = tuple(Voice(engine="flite", name=name) for name in HELD_OUT_FLITE)
UNKNOWN_ESPEAK = tuple(Voice(engine="espeak", name=name) for name in HELD_OUT_ESPEAK)
DEV_SETS = (
    SpokenSet(name="dev-known", split="dev", voices=KNOWN, count=60, varied=True),
    SpokenSet(name="dev-rms", split="dev", voices=UNKNOWN, count=40, varied=True),
    SpokenSet(name="dev-espeak", split="dev", voices=UNKNOWN_ESPEAK, count=30, varied=True),
)
TEST_SETS = (
    SpokenSet(name="test-known", split="test", voices=KNOWN, count=1200, varied=False),
    SpokenSet(name="test-rms", split="test", voices=UNKNOWN, count=1200, varied=False),
    SpokenSet(name="test-espeak", split="test", voices=UNKNOWN_ESPEAK, count=1200, varied=False),
)


def held_out_texts(corpora: Sequence[str]) -> frozenset[str]:
    """The plain sentences of corpora, which training must not contain."""
    from wattscribe.corpora import open_corpus
    from wattscribe.records import Utterance

    return frozenset(plain(u.reference) for name in corpora for u in open_corpus(name) if isinstance(u, Utterance))


def training_sentences(speech: Speech) -> list[str]:
    """The sentences of the train split, without those that share long runs of words with held-out ones."""
    sentences = read_sentences([Path(path).expanduser() for path in speech.text])
    others = read_sentences([Path(path).expanduser() for path in speech.held_out_text])
    held_out = [sentence for sentence in [*sentences, *others] if split_of(sentence) != "train"]
    return without(
        [sentence for sentence in sentences if split_of(sentence) == "train"],
        [*held_out, *held_out_texts(speech.held_out_corpora)],
    )


def prepare(speech: Speech, say: Say, *, sets: Sequence[SpokenSet] = DEV_SETS) -> None:
    """Make what is not there yet; an interrupted preparation resumes where it stopped.

    Teacher and recordings are checked first, since synthesis takes hours.
    """
    to_teach = speech.unlabelled is not None or speech.taught_shards
    teacher = Teacher(Path(speech.teacher).expanduser()) if speech.teacher is not None and to_teach else None
    recordings = [] if speech.unlabelled is None else sound_files(Path(speech.unlabelled).expanduser())
    if speech.text:
        sentences = read_sentences([Path(path).expanduser() for path in speech.text])
        speak_hours(speech, training_sentences(speech), say)
        for spoken in sets:
            speak_set(speech.folder, spoken, sentences, say)
    if teacher is not None and recordings:
        teach_recordings(speech, recordings, teacher, say)
    if teacher is not None and speech.taught_shards:
        teach_shards(speech, teacher, say)


def speak_hours(speech: Speech, sentences: Sequence[str], say: Say) -> None:
    """Fill `CACHE/train` to the wanted hours, several processes side by side. Raises InputError where it is other speech."""
    if not speech.hours:
        return
    if not sentences:
        raise InputError("no sentence is left to speak: dev, test and held-out corpora take all", fix="Give more text")
    claim(speech.folder / "train", "text, seed or held-out set", [str(speech.seed), *sentences], say)
    folder = speech.folder / "train"
    hours, number = _hours(folder), 0
    with ProcessPoolExecutor(speech.processes, mp_context=get_context("spawn")) as pool:
        while hours < speech.hours:
            missing = list(_missing(folder, number, speech.processes))
            list(pool.map(_speak_shard, [(folder, sentences, n, speech.seed) for n in missing]))
            number, hours = missing[-1] + 1, _hours(folder)
            say(f"spoken: {hours:.1f} of {speech.hours:g} h")


def _missing(folder: Path, start: int, count: int) -> Iterator[int]:
    while count:
        if not shard_path(folder, start).exists():
            count -= 1
            yield start
        start += 1


def _speak_shard(job: tuple[Path, Sequence[str], int, int]) -> None:
    folder, sentences, number, seed = job
    for _ in fill(folder, sentences, [number], seed=seed):
        pass


def _hours(folder: Path) -> float:
    return sum(item.frames for shard in shards(folder) for item in shard.utterances) / FRAMES_PER_S / 3600


def speak_set(cache: Path, spoken: SpokenSet, sentences: Sequence[str], say: Say) -> None:
    """A dev or test set in `CACHE/NAME`: its sentences and voices follow from its name and the text alone.

    Raises InputError where the folder holds another text's.
    """
    rng = random.Random(spoken.name)
    chosen = [sentence for sentence in sentences if split_of(sentence) == spoken.split]
    claim(cache / spoken.name, "text or voices", [*map(repr, spoken.voices), str(spoken.varied), *chosen], say)
    rng.shuffle(chosen)
    items: list[tuple[str, Voice]] = []
    for sentence in chosen:
        for piece in pieces(sentence, rng):
            if len(plain(piece).split()) >= 3:
                voice = rng.choice(spoken.voices)
                items.append((plain(piece), vary(voice, rng) if spoken.varied else voice))
    items = items[: spoken.count]
    for start in range(0, len(items), UTTERANCES_PER_SHARD):
        number = start // UTTERANCES_PER_SHARD
        if not shard_path(cache / spoken.name, number).exists():
            write_shard(cache / spoken.name, number, items[start : start + UTTERANCES_PER_SHARD], held_out=True)
            say(f"{spoken.name}: {min(start + UTTERANCES_PER_SHARD, len(items))} of {len(items)}")


def teach_recordings(speech: Speech, files: Sequence[Path], teacher: Teacher, say: Say) -> None:
    """Recordings into `CACHE/human` with the teacher's text and encoder outputs; files that do not decode are named."""
    folder = speech.folder / "human"
    files = list(files)
    random.Random(speech.seed).shuffle(files)
    claim(folder, "set of recordings or seed", [file.name for file in files], say)
    for start in range(0, len(files), UTTERANCES_PER_SHARD):
        number = start // UTTERANCES_PER_SHARD
        path = shard_path(folder, number)
        if path.exists():
            continue
        items, outputs = [], []
        for file in files[start : start + UTTERANCES_PER_SHARD]:
            try:
                samples = read_sound(file)
            except InputError as error:
                say(f"left out: {error}")
                continue
            taught = teacher.teach(samples)
            items.append((file.stem, f"human-{file.stem.split('-')[0]}", plain(taught.text), samples))
            outputs.append(taught.encoder_out)
        if items:
            _write_teacher(path, outputs)
            write_utterances(folder, number, items)
        say(f"decoded by the teacher: {min(start + UTTERANCES_PER_SHARD, len(files))} of {len(files)} recordings")


def teach_shards(speech: Speech, teacher: Teacher, say: Say) -> None:
    """The teacher's encoder outputs for the first spoken shards."""
    for shard in shards(speech.folder / "train")[: speech.taught_shards]:
        if not shard.path.with_suffix(".teacher.npy").exists():
            _write_teacher(shard.path, [teacher.teach(shard.audio(item)).encoder_out for item in shard.utterances])
            say(f"decoded by the teacher: {shard.path.stem}")


def _write_teacher(path: Path, outputs: Sequence[np.ndarray]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".teacher.part.npy")
        np.save(part, np.concatenate(outputs).astype(np.float16))
        part.rename(path.with_suffix(".teacher.npy"))
    except OSError as error:
        raise cannot_write("the speech cache", path.parent, error, kept="whole shards are kept") from error
