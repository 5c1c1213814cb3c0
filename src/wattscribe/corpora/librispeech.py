"""Speech in LibriSpeech's layout: `SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt` beside one audio file per utterance."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from wattscribe.corpora.audio import AUDIO_SUFFIXES, duration_of, read_audio
from wattscribe.corpora.base import Audio
from wattscribe.errors import InputError
from wattscribe.records import Rejected, Utterance

TRANSCRIPTS = "*.trans.txt"


class LibriSpeechCorpus:
    """Every transcript file below a folder: a whole release, one subset, one speaker or one chapter."""

    def __init__(self, folder: Path, *, name: str | None = None) -> None:
        self.folder = folder
        self.name = name or str(folder)

    def __iter__(self) -> Iterator[Utterance | Rejected]:
        """By transcript file (sorted by relative path), then by line; audio without a transcript follows its chapter."""
        seen: dict[str, str] = {}
        transcripts = sorted(self.folder.rglob(TRANSCRIPTS), key=lambda path: path.relative_to(self.folder).as_posix())
        for path in transcripts:
            yield from self._chapter(path, seen)

    def audio(self, utterance: Utterance) -> Audio:
        return read_audio(utterance.source)

    def duration_s(self, utterance: Utterance) -> float:
        """Seconds as the file's header has them."""
        return duration_of(utterance.source)

    def _chapter(self, transcript: Path, seen: dict[str, str]) -> Iterator[Utterance | Rejected]:
        try:
            lines = transcript.read_bytes().splitlines()
            beside = sorted(transcript.parent.iterdir())
        except OSError as error:
            reason = f"the transcript cannot be read ({error.strerror})"
            yield Rejected(corpus=self.name, id=transcript.name, reason=reason, where=str(transcript))
            return
        files = {path.stem: path for path in beside if path.suffix.lower() in AUDIO_SUFFIXES}
        listed = set()
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            where = f"{transcript}:{number}"
            try:
                id_, _, text = line.decode("utf-8").strip().partition(" ")
            except UnicodeDecodeError:
                yield Rejected(corpus=self.name, id=f"line {number}", reason="the transcript is not UTF-8", where=where)
                continue
            listed.add(id_)
            yield self._entry(id_, text.strip(), files.get(id_), where, seen)
        for stem, path in files.items():
            if stem not in listed:
                yield Rejected(corpus=self.name, id=stem, reason="text missing", where=str(path))

    def _entry(self, id_: str, text: str, path: Path | None, where: str, seen: dict[str, str]) -> Utterance | Rejected:
        if not text or path is None:
            reason = "missing file" if text else "text missing"
            return Rejected(corpus=self.name, id=id_, reason=reason, where=where)
        first = seen.setdefault(id_, where)
        if first != where:
            return Rejected(corpus=self.name, id=id_, reason=f"duplicate id, first at {first}", where=where)
        return Utterance(id=id_, speaker=id_.split("-", 1)[0], reference=text, source=str(path))


def is_librispeech(folder: Path) -> bool:
    """Whether any transcript file lies at or below the folder."""
    try:
        return next(folder.rglob(TRANSCRIPTS), None) is not None
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", where=folder) from error
