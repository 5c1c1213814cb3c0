"""Speech prepared before any recognizer is measured: read, resampled and mixed once, then laid on disk as plain samples.

Reading and mixing are no inference, so they must neither cost time and energy inside a trial's window nor count as the
recognizer's memory. The samples lie in one file per corpus × condition as little-endian float32, exactly as the corpus gave
them; a worker reads one batch at a time into a buffer of its own. Decision 010 says why.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from io import FileIO
from pathlib import Path

from wattscribe.corpora import conditioned, open_corpus
from wattscribe.corpora.base import UNUSABLE, Audio, Corpus, blocks_of, spelt_out, unusable
from wattscribe.corpora.conditions import ConditionedCorpus
from wattscribe.corpora.open import BUNDLED
from wattscribe.errors import InputError, WattscribeError
from wattscribe.records import Condition, Part, Rejected, Trial, Utterance
from wattscribe.runs.part import in_part
from wattscribe.units import SAMPLE_BYTES, SAMPLE_RATE_HZ

READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One utterance's place in the spool file."""

    utterance: Utterance
    offset_bytes: int
    samples: int
    position: int | None = None
    """As in UtteranceResult."""
    scale: float = 1.0
    """Below 1: everything was scaled down by it because a peak exceeded full scale."""

    @property
    def audio_s(self) -> float:
        return self.samples / SAMPLE_RATE_HZ


@dataclass(frozen=True, slots=True, kw_only=True)
class Spool:
    """A corpus under a condition, ready to be transcribed."""

    corpus: str
    condition: Condition
    name: str
    """The condition's name, and which part of the corpus where it is one."""
    path: Path
    pieces: tuple[Piece, ...]
    rejected: tuple[Rejected, ...]
    digest: str
    """SHA-256 over ids, references and samples, in order."""

    @property
    def audio_s(self) -> float:
        return sum(piece.audio_s for piece in self.pieces)


Key = tuple[str, Condition, int | None, Part | None]


def key_of(trial: Trial) -> Key:
    """Trials with the same key transcribe the same samples."""
    return (trial.corpus, trial.condition, trial.limit, trial.part)


def spool_all(
    trials: Iterable[Trial],
    directory: Path,
    *,
    strict: bool = False,
    prepared: Callable[[str, float], None] | None = None,
) -> dict[Key, Spool]:
    """Prepare what the trials will transcribe; `prepared` is told the corpus × condition and the seconds of each utterance.

    Raises InputError for a corpus or a noise that cannot be opened and, when `strict`, for the first bad input.
    """
    _empty(directory)
    corpora: dict[str, Corpus] = {}
    spools: dict[Key, Spool] = {}
    for trial in trials:
        key = key_of(trial)
        if key in spools:
            continue
        if trial.corpus not in corpora:
            corpora[trial.corpus] = open_corpus(trial.corpus)
        path = directory / f"{len(spools):04d}.f32"
        spools[key] = _spool(corpora[trial.corpus], trial, path, strict, prepared or (lambda _label, _seconds: None))
    return spools


def discard(directory: Path) -> None:
    """Remove the prepared speech; a resumed run prepares it again."""
    shutil.rmtree(directory, ignore_errors=True)


def _spool(corpus: Corpus, trial: Trial, path: Path, strict: bool, prepared: Callable[[str, float], None]) -> Spool:
    label = f"{corpus.name} · {trial.speech}"
    corpus = conditioned(corpus, trial.condition)
    pieces: list[Piece] = []
    rejected: list[Rejected] = []
    ids: set[str] = set()
    digest = hashlib.sha256()
    with _disk_errors(path.parent):
        file = path.open("w+b", buffering=0)
    with file:
        for position, entry in in_part(corpus, trial):
            if trial.limit is not None and len(pieces) >= trial.limit:
                break
            piece = _prepare(corpus, entry, ids, file, digest)
            if isinstance(piece, Rejected):
                piece = _recordable(piece, trial)
                _stop_if(strict, piece)
                rejected.append(piece)
            else:
                pieces.append(piece if trial.part is None else replace(piece, position=position))
                prepared(label, piece.audio_s)
    if rejected and trial.corpus != BUNDLED and not trial.corpus.startswith("hub:"):
        _check_there(trial.corpus)
    return Spool(
        corpus=trial.corpus,
        condition=trial.condition,
        name=trial.speech,
        path=path,
        pieces=tuple(pieces),
        rejected=tuple(rejected),
        digest=digest.hexdigest(),
    )


def _check_there(corpus: str) -> None:
    """Raises InputError where the corpus itself is gone: that its files are missing says nothing about each of them."""
    if not Path(corpus).expanduser().exists():
        raise InputError("it was removed while its speech was being prepared", where=corpus, fix="Restore it")


def _prepare(
    corpus: Corpus, entry: Utterance | Rejected, ids: set[str], file: FileIO, digest: hashlib._Hash
) -> Piece | Rejected:
    """Write one utterance's samples behind those that are there, or say why it cannot be used."""
    if isinstance(entry, Rejected):
        return entry
    if entry.id in ids:
        return Rejected(corpus=corpus.name, id=entry.id, reason="duplicate id", where=entry.source)
    offset = file.tell()
    try:
        blocks, scale = _samples_of(corpus, entry)
        for block in blocks:
            _write(file, block)
    except UNUSABLE as error:
        file.truncate(offset)
        file.seek(offset)
        return unusable(corpus.name, entry, error)
    samples = (file.tell() - offset) // SAMPLE_BYTES
    if not samples:  # one sample at 192 kHz, say, is none at 16 kHz
        return Rejected(
            corpus=corpus.name, id=entry.id, reason=f"holds 0 samples at {SAMPLE_RATE_HZ} Hz", where=entry.source
        )
    ids.add(entry.id)
    digest.update(json.dumps([entry.id, entry.speaker, entry.reference, samples]).encode("utf-8"))
    file.seek(offset)
    while data := file.read(READ_BYTES):
        digest.update(data)
    return Piece(utterance=entry, offset_bytes=offset, samples=samples, scale=scale)


def _write(file: FileIO, samples: Audio) -> None:
    with _disk_errors(Path(file.name).parent):
        rest = memoryview(samples.astype("<f4", copy=False).tobytes())
        while rest:
            rest = rest[file.write(rest) :]


def _samples_of(corpus: Corpus, utterance: Utterance) -> tuple[Iterable[Audio], float]:
    """The samples, and by which factor the condition scaled them so that nothing clips."""
    if isinstance(corpus, ConditionedCorpus):
        mixed = corpus.apply(utterance)
        return (mixed.samples,), mixed.scale
    return blocks_of(corpus, utterance), 1.0


def _recordable(rejected: Rejected, trial: Trial) -> Rejected:
    """As journal and page can hold it: a file's name need not be Unicode."""
    where = None if rejected.where is None else spelt_out(rejected.where)
    return Rejected(
        corpus=trial.corpus,
        condition=trial.speech,
        id=spelt_out(rejected.id),
        reason=spelt_out(rejected.reason),
        where=where,
    )


@contextlib.contextmanager
def _disk_errors(directory: Path) -> Iterator[None]:
    """Writing alone: what cannot be read is no matter of the disk under --out."""
    try:
        yield
    except OSError as error:
        raise WattscribeError(
            f"the prepared speech cannot be written: {error.strerror or error}",
            where=directory,
            fix="It needs 64 kB per second of audio and condition: make room, or choose an `out` on a larger disk",
        ) from error


def _stop_if(strict: bool, rejected: Rejected) -> None:
    if strict:
        raise InputError(
            f"{rejected.id}: {rejected.reason}",
            where=rejected.where or rejected.corpus,
            fix="Fix or remove it, or leave out `strict` to continue without it",
        )


def _empty(directory: Path) -> None:
    discard(directory)
    try:
        directory.mkdir(parents=True)
    except OSError as error:
        raise WattscribeError(f"cannot make this directory: {error.strerror}", where=directory) from error
