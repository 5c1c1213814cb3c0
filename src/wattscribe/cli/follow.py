"""What `wattscribe transcribe` prints while it listens, and how Ctrl-C ends the listening."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, Literal

from wattscribe.cli import tell
from wattscribe.errors import InputError
from wattscribe.recognizers import Audio
from wattscribe.records import Counts, Token, Transcript, json_text, to_json
from wattscribe.terminal import say
from wattscribe.transcribing import Follower, Heard


@dataclass(frozen=True, slots=True, kw_only=True)
class HeardUtterance:
    """A line of `--json`: times in s from the start of the source; `language` where the recognizer tells it."""

    type: Literal["utterance"]
    source: str
    start_s: float | None
    end_s: float
    text: str
    language: str
    tokens: Sequence[Token]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceCost:
    """The line of `--json` after each source; `skipped_s`: not decoded with --vad."""

    type: Literal["cost"]
    source: str
    audio_s: float
    counts: Counts | None
    skipped_s: float


class Interrupts:
    """Ctrl-C ends the listening, never a computation halfway: what was heard is still decoded and printed."""

    def __init__(self) -> None:
        self.asked = False
        self._waiting = False

    def __enter__(self) -> Interrupts:
        self._before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        if self._waiting:
            raise KeyboardInterrupt

    @contextmanager
    def _listening(self) -> Iterator[None]:
        self._waiting = True
        try:
            yield
        finally:
            self._waiting = False

    def until_asked(self, blocks: Iterator[Audio]) -> Iterator[Audio]:
        """The blocks until they end or Ctrl-C is pressed."""
        while not self.asked:
            try:
                with self._listening():
                    block = next(blocks, None)
            except KeyboardInterrupt:
                return
            if block is None:
                return
            yield block


class Printer(Follower):
    """Words as they come where they are never revised (greedy), else whole utterances; or JSON lines."""

    def __init__(
        self, interrupts: Interrupts, *, json_lines: bool, live: bool, titled: bool, quiet: bool = False
    ) -> None:
        self._interrupts = interrupts
        self._json_lines, self._live, self._titled = json_lines, live, titled
        self._quiet = quiet
        self._shown = ""
        self.status = 0

    def noted(self, note: str) -> None:
        if not self._quiet:
            say(f"wattscribe transcribe: note: {note}")

    def pieces(self, audio: Iterator[Audio]) -> Iterator[Audio]:
        return self._interrupts.until_asked(audio)

    @property
    def stopped(self) -> bool:
        return self._interrupts.asked

    def began(self, source: str) -> None:
        if self._titled and not self._json_lines:
            print(f"{source}:", flush=True)

    def partial(self, source: str, text: str) -> None:
        if self._live:
            self._grow(text)

    def utterance(self, source: str, transcript: Transcript, end_s: float) -> None:
        if self._json_lines:
            self._line(source, transcript, end_s)
        else:
            if not transcript.text.startswith(self._shown):  # a recognizer that revises what it said
                print(flush=True)
                self._shown = ""
            self._grow(transcript.text)
            print(flush=True)
        self._shown = ""

    def ended(self, source: str, heard: Heard) -> None:
        if not self._json_lines:
            return
        event: dict[str, Any] = {"type": "cost", "source": source, "audio_s": round(heard.audio_s, 3)}
        event["counts"] = None if heard.counts is None else to_json(heard.counts)
        if heard.skipped_s is not None:
            event["skipped_s"] = round(heard.skipped_s, 3)
        print(json_text(event), flush=True)

    def failed(self, source: str, error: InputError) -> None:
        self.status = tell("transcribe", error)

    def _grow(self, text: str) -> None:
        if text.startswith(self._shown) and len(text) > len(self._shown):
            print(text[len(self._shown) :], end="", flush=True)
            self._shown = text

    def _line(self, source: str, transcript: Transcript, end_s: float) -> None:
        """One utterance, from its first token, where the recognizer times its tokens."""
        start_s = transcript.tokens[0].start_s if transcript.tokens else None
        event = {
            "type": "utterance",
            "source": source,
            "start_s": None if start_s is None else round(start_s, 3),
            "end_s": round(end_s, 3),
            "text": transcript.text,
            **({} if transcript.language is None else {"language": transcript.language}),
            "tokens": [{**to_json(token), "start_s": _rounded(token.start_s)} for token in transcript.tokens],
        }
        print(json_text(event), flush=True)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
