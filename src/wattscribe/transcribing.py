"""`wattscribe.transcribe`: any recognizer over files, a pipe or the microphone; with somebody to follow, as it is recognised."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from wattscribe.errors import InputError
from wattscribe.recognizers import Audio, Recognizer, StreamingRecognizer, open_recognizer
from wattscribe.records import Counts, RecognizerSpec, Transcript
from wattscribe.streaming.stream import Ended
from wattscribe.streaming.vad import GatedStream, end_within
from wattscribe.units import SAMPLE_RATE_HZ

PIPE, MICROPHONE = "-", "microphone"
"""Names of the sources that are no files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What a source came to. `counts` None: the recognizer counts nothing; `skipped_s` None: nothing was to be skipped."""

    audio_s: float
    counts: Counts | None = None
    skipped_s: float | None = None


class Follower:
    """Who follows a transcription as it goes on: override what you want to know."""

    def noted(self, note: str) -> None:
        """What a user should know of how the model runs."""

    def began(self, source: str) -> None:
        """The first audio of a source has come."""

    def partial(self, source: str, text: str) -> None:
        """The running utterance so far; only of recognizers that stream."""

    def utterance(self, source: str, transcript: Transcript, end_s: float) -> None:
        """An utterance is complete; it ends so many seconds into the source."""

    def ended(self, source: str, heard: Heard) -> None:
        """A source has come to its end."""

    def failed(self, source: str, error: InputError) -> None:
        """A source is at fault. Unless this returns, the others are not transcribed."""
        raise error

    def pieces(self, audio: Iterator[Audio]) -> Iterator[Audio]:
        """The audio of a source, which whoever follows may cut short."""
        return audio

    @property
    def stopped(self) -> bool:
        """Whether no further source is to be transcribed."""
        return False


def transcribe_files(
    spec: RecognizerSpec, audio: Sequence[Path | str], say: Callable[[str], None] = lambda _: None
) -> list[Transcript]:
    """The transcript of each file; `batch_size` of them are given to the recognizer together. `say` is told how far it is."""
    from wattscribe.corpora import read_audio

    recognizer = open_recognizer(spec)
    try:
        transcripts: list[Transcript] = []
        for start in range(0, len(audio), spec.batch_size):
            batch = [read_audio(Path(path)) for path in audio[start : start + spec.batch_size]]
            transcripts += recognizer.transcribe(batch)
            say(f"{len(transcripts)} of {len(audio)} files transcribed")
        return transcripts
    finally:
        recognizer.close()


def follow(
    spec: RecognizerSpec,
    sources: Sequence[Path | str],
    follower: Follower,
    *,
    vad: bool = False,
    endpoints: bool = False,
) -> list[Transcript]:
    """The transcript of each source that could be read, given as it comes; batch recognizers give it at the end.

    Raises InputError for `vad` with a recognizer that our own runtime does not run.
    """
    recognizer = open_recognizer(spec)
    try:
        transducer = getattr(recognizer, "transducer", None)
        if vad and transducer is None:
            raise InputError(
                "`vad` is for streaming transducers that onnx: runs",
                where=spec.name,
                fix="Leave it out; a Whisper takes ?vad=true",
            )
        if transducer is not None:
            for note in transducer.notes:
                follower.noted(note)
            if endpoints:
                from wattscribe.streaming import Endpointing

                transducer.endpointing = Endpointing()
        transcripts = []
        for source in map(str, sources):
            listener: Listener = (
                GatedStream(transducer) if vad and transducer is not None else _listener(recognizer, transducer)
            )
            try:
                transcripts.append(_one(source, listener, follower))
            except InputError as error:
                follower.failed(source, error)
            if follower.stopped:
                break
        return transcripts
    finally:
        recognizer.close()


class Listener(Protocol):
    """One source being transcribed: our runtime's Stream and GatedStream, or another recognizer as `Plain` shows it."""

    ended: list[Ended]

    def accept(self, samples: Audio) -> None: ...
    def finish(self) -> Transcript: ...
    def partial(self) -> Transcript: ...
    @property
    def text(self) -> str: ...
    @property
    def counts(self) -> Counts | None: ...
    @property
    def heard_s(self) -> float: ...


@dataclass(slots=True)
class Plain:
    """A recognizer without endpoints: one that streams, or one that transcribes the whole source at its end."""

    recognizer: Recognizer
    ended: list[Ended] = field(default_factory=list)
    samples: int = 0
    stream: Any = None
    kept: list[Audio] = field(default_factory=list)
    whole: Transcript | None = None

    def __post_init__(self) -> None:
        if isinstance(self.recognizer, StreamingRecognizer):
            self.stream = self.recognizer.stream()

    def accept(self, samples: Audio) -> None:
        self.samples += len(samples)
        if self.stream is not None:
            self.stream.accept(samples)
        else:
            self.kept.append(samples)

    def finish(self) -> Transcript:
        if self.stream is not None:
            self.whole = self.stream.finish()
        elif self.whole is None and self.kept:
            (self.whole,) = self.recognizer.transcribe([np.concatenate(self.kept)])
        return self.partial()

    def partial(self) -> Transcript:
        if self.whole is not None:
            return self.whole
        transcript: Transcript = Transcript(text="") if self.stream is None else self.stream.partial()
        return transcript

    @property
    def text(self) -> str:
        return self.partial().text

    @property
    def counts(self) -> Counts | None:
        return self.partial().counts

    @property
    def heard_s(self) -> float:
        return self.samples / SAMPLE_RATE_HZ


def _listener(recognizer: Recognizer, transducer: Any) -> Listener:
    return Plain(recognizer) if transducer is None else transducer.stream()


def _one(source: str, listener: Listener, follower: Follower) -> Transcript:
    """Hear one source to its end, to the follower's stop or to a fault; the fault is raised after what was heard is told."""
    fault: InputError | None = None
    parts: list[Transcript] = []

    def tell() -> None:
        while listener.ended:
            utterance = listener.ended.pop(0)
            if utterance.transcript.text:
                parts.append(utterance.transcript)
                follower.utterance(
                    source, utterance.transcript, end_within(utterance.end_s, utterance.transcript, listener.heard_s)
                )
        follower.partial(source, listener.text)

    try:
        for block in follower.pieces(_blocks(source)):
            if not listener.heard_s:
                follower.began(source)
            listener.accept(block)
            tell()
    except InputError as error:
        fault = error
    if fault is None or listener.heard_s:
        listener.finish()
        tell()
        last = listener.partial()
        if last.text:
            parts.append(last)
            follower.utterance(source, last, end_within(listener.heard_s, last, listener.heard_s))
        skipped_s: float | None = getattr(listener, "skipped_s", None)
        follower.ended(source, Heard(audio_s=listener.heard_s, counts=listener.counts, skipped_s=skipped_s))
    if fault is not None:
        raise fault
    return _joined(parts, listener)


def _joined(parts: Sequence[Transcript], listener: Listener) -> Transcript:
    """All utterances of a source as one."""
    last = parts[-1] if parts else Transcript(text="")
    tokens = tuple(token for part in parts for token in part.tokens)
    return replace(last, text=" ".join(part.text for part in parts), tokens=tokens, counts=listener.counts)


def _blocks(source: str) -> Iterator[Audio]:
    from wattscribe.streaming import sources

    if source == MICROPHONE:
        return sources.microphone_blocks()
    if source == PIPE:
        if sys.stdin is None:
            raise InputError("standard input is closed", fix="Pipe raw 16 kHz 16-bit mono PCM into it")
        return sources.pcm_blocks(sys.stdin.buffer)
    return sources.file_blocks(source)
