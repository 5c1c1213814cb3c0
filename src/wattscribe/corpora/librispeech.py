"""Speech in LibriSpeech's layout: `SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt` beside one audio file per utterance."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from wattscribe.corpora.audio import AUDIO_SUFFIXES, audio_blocks, duration_of, read_audio
from wattscribe.corpora.base import Audio
from wattscribe.corpora.folders import files_below
from wattscribe.corpora.listed import BadEntryError, text_lines
from wattscribe.errors import InputError
from wattscribe.records import Rejected, Utterance

TRANSCRIPTS = ".trans.txt"


class LibriSpeechCorpus:
    """Every transcript file below a folder: a whole release, one subset, one speaker or one chapter. Links are followed."""

    def __init__(self, folder: Path, *, name: str | None = None) -> None:
        self.folder = folder
        self.name = name or str(folder)

    def __iter__(self) -> Iterator[Utterance | Rejected]:
        """By transcript file (sorted by relative path), then by line; audio without a transcript follows its chapter."""
        seen: dict[str, str] = {}
        below = files_below(self.folder)
        for path, reason in below.lost:
            yield Rejected(corpus=self.name, id=path.name, reason=reason, where=str(path))
        audio: dict[Path, dict[str, Path]] = {}
        for path in below.files:
            if path.suffix.lower() in AUDIO_SUFFIXES:
                audio.setdefault(path.parent, {})[path.stem] = path
        for path in below.files:
            if path.name.endswith(TRANSCRIPTS):
                yield from self._chapter(path, audio.get(path.parent, {}), seen)

    def audio(self, utterance: Utterance) -> Audio:
        return read_audio(utterance.source)

    def blocks(self, utterance: Utterance) -> Iterator[Audio]:
        return audio_blocks(utterance.source)

    def duration_s(self, utterance: Utterance) -> float:
        """Seconds as the file's header has them."""
        return duration_of(utterance.source)

    def _chapter(
        self, transcript: Path, files: dict[str, Path], seen: dict[str, str]
    ) -> Iterator[Utterance | Rejected]:
        listed = set()
        try:
            lines = list(text_lines(transcript))
        except InputError as error:
            reason = f"the transcript {error.what}"
            yield Rejected(corpus=self.name, id=transcript.name, reason=reason, where=str(transcript))
            return
        for place, line in lines:
            if isinstance(line, BadEntryError):
                reason = f"the transcript is {line}"
                yield Rejected(corpus=self.name, id=f"line {place.line}", reason=reason, where=str(place))
                continue
            id_, *text = line.split(None, 1)
            listed.add(id_)
            yield self._entry(id_, "".join(text).strip(), files.get(id_), str(place), seen)
        for stem, path in files.items():
            if stem not in listed:
                yield Rejected(corpus=self.name, id=stem, reason="text missing", where=str(path))

    def _entry(self, id_: str, text: str, path: Path | None, where: str, seen: dict[str, str]) -> Utterance | Rejected:
        if path is None:
            return Rejected(corpus=self.name, id=id_, reason="missing file", where=where)
        first = seen.setdefault(id_, where)
        if first != where:
            return Rejected(corpus=self.name, id=id_, reason=f"duplicate id, first at {first}", where=where)
        return Utterance(id=id_, speaker=id_.split("-", 1)[0], reference=text, source=str(path))


def is_librispeech(folder: Path) -> bool:
    """Whether any transcript file lies at or below the folder."""
    return any(path.name.endswith(TRANSCRIPTS) for path in files_below(folder).files)
