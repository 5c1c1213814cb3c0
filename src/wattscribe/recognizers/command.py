"""`cmd:`: any program as a recognizer: a child process that reads requests and writes answers, one JSON object a line.

    → {"id": 1, "path": "/tmp/…/1.wav", "audio_s": 2.5, "sample_rate_hz": 16000}
    ← {"text": "what was said"}

docs/recognizers.md has the whole of it with an example. What the child computes, and what it holds in memory, is the
recognizer's: the bench counts it with the worker's own.
"""

from __future__ import annotations

import base64
import json
import math
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wattscribe.errors import RecognizerError
from wattscribe.recognizers import options
from wattscribe.recognizers.base import Audio, Recognizer
from wattscribe.recognizers.checks import SHORTEST_SAMPLES, checked, require_open
from wattscribe.recognizers.child import Child, shown, words_of
from wattscribe.recognizers.wav import wav_file
from wattscribe.records import PrecisionAudit, RecognizerSpec, Token, Transcript
from wattscribe.units import SAMPLE_RATE_HZ

TIMEOUT_S = 100.0
"""Below the bench's own limit of an utterance, so that a command that hangs is named with its last complaint."""
TIMED_FOR_S = 30.0
"""Seconds of audio that a time limit is for; longer audio has more in proportion, as in the bench."""
_UNSEEN = "what a command computes in is not visible: its precision is what it says, and nothing is checked"


def require_command(command: str) -> None:
    """Raises InputError where the command cannot be read or its program is not here."""
    words_of(command)


def open_command(spec: RecognizerSpec) -> Recognizer:
    """Start the command; a StreamingCommand where option `stream` says that it takes an utterance in pieces."""
    return StreamingCommand(spec) if options.flag(spec, "stream") else Command(spec)


class Command:
    """One utterance after the other: a request, partial results while it likes, an answer."""

    together = 1

    def __init__(self, spec: RecognizerSpec) -> None:
        self._spec = spec
        self._by_path = options.choice(spec, "audio", ("path", "samples")) == "path"
        self._timeout_s = options.number(spec, "timeout_s", TIMEOUT_S, minimum=0.01)
        ready_s = options.number(spec, "ready", 0.0)
        self._requests = 0
        self._folder: Path | None = None
        self._child: Child | None = Child(spec.model, spec.threads)
        if ready_s > 0:
            answer = self._object(self._child.hear(ready_s))
            if answer.get("ready") is not True:
                raise self._child.failure(f'it said {_brief(answer)}, {{"ready": true}} was due')

    def transcribe(self, batch: Sequence[Audio]) -> list[Transcript]:
        """One Transcript per input; audio under 25 ms is answered with an empty text."""
        require_open(self._child, self._spec)
        return [self._transcript(audio) for audio in checked(batch, self._spec)]

    def _transcript(self, audio: Audio) -> Transcript:
        if len(audio) < SHORTEST_SAMPLES:
            return Transcript(text="")
        path: Path | None = None
        if self._by_path:
            self._folder = self._folder or Path(tempfile.mkdtemp(prefix="wattscribe-"))
            path = self._folder / f"{self._requests + 1}.wav"
            path.write_bytes(wav_file(audio))
        try:
            self._ask(self.next_request(audio, path))
            within_s = self._timeout_s * max(1.0, len(audio) / SAMPLE_RATE_HZ / TIMED_FOR_S)
            while "text" not in (answer := self._hear(within_s)):
                pass
            return self._answered(answer)
        finally:
            if path is not None:
                path.unlink(missing_ok=True)

    def next_request(self, audio: Audio, path: Path | None) -> dict[str, Any]:
        """Of an utterance, with its samples where there is no path."""
        self._requests += 1
        sound: dict[str, Any] = {"path": str(path)} if path is not None else {"samples": _base64(audio)}
        return {
            "id": self._requests, **sound, "audio_s": len(audio) / SAMPLE_RATE_HZ, "sample_rate_hz": SAMPLE_RATE_HZ
        }  # fmt: skip

    def _ask(self, request: Mapping[str, Any]) -> None:
        child = self._open_child()
        while (line := child.unasked()) is not None:
            if not self._is_greeting(self._object(line)):
                raise child.failure(f"it said {shown(line)} unasked")
        child.tell(json.dumps(request).encode("ascii"), self._timeout_s)

    def _hear(self, within_s: float) -> dict[str, Any]:
        """A partial result or the answer. Raises RecognizerError for anything else, also for an error that it reports."""
        child = self._open_child()
        while self._is_greeting(answer := self._object(child.hear(within_s))):
            pass
        if "error" in answer:
            raise RecognizerError(f"the command reports: {_brief(answer['error'])}", where=self._spec.name)
        if answer.get("id", self._requests) != self._requests:
            raise child.failure(f"it answered request {_brief(answer['id'])}, {self._requests} was asked")
        if not isinstance(answer.get("text", answer.get("partial")), str):
            raise child.failure(f'it said {_brief(answer)}, which has neither "text" nor "partial"')
        return answer

    def _is_greeting(self, answer: Mapping[str, Any]) -> bool:
        """`{"ready": true}`, which it may say once it has loaded, whether somebody waits for that or not."""
        return self._requests <= 1 and answer.get("ready") is True

    def _object(self, line: bytes) -> dict[str, Any]:
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise self._open_child().failure(
                f"it said {shown(line)}, which is no JSON object; what is no answer belongs on standard error"
            )
        return answer

    def _answered(self, answer: Mapping[str, Any]) -> Transcript:
        text, language = answer.get("text", answer.get("partial", "")), answer.get("language")
        try:
            text.encode("utf-8")
            tokens = tuple(_token(token) for token in answer.get("tokens") or ())
        except (UnicodeEncodeError, TypeError, ValueError, KeyError) as error:
            raise self._open_child().failure(f"its answer {_brief(answer)} cannot be read ({error})") from error
        return Transcript(text=text.strip(), tokens=tokens, language=language if isinstance(language, str) else None)

    def _open_child(self) -> Child:
        require_open(self._child, self._spec)
        assert self._child is not None
        return self._child

    def audit(self) -> PrecisionAudit:
        return PrecisionAudit(
            requested=self._spec.precision,
            ok=True,
            reason=None,
            weight_bytes={},
            operators={},
            device="cpu",
            note=_UNSEEN,
        )

    def close(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


class StreamingCommand(Command):
    """A command that takes an utterance in pieces, as samples, and answers each with what it has recognised so far."""

    def transcribe(self, batch: Sequence[Audio]) -> list[Transcript]:
        """Each utterance as one piece, which is its last."""
        require_open(self._child, self._spec)
        transcripts = []
        for audio in checked(batch, self._spec):
            stream = self.stream()
            transcripts.append(stream.end_with(audio))
        return transcripts

    def stream(self) -> CommandStream:
        """A fresh utterance: the command hears one at a time, so that this ends the one before."""
        require_open(self._child, self._spec)
        return CommandStream(self)

    def begin(self) -> int:
        self._requests += 1
        return self._requests

    def exchange(self, number: int, audio: Audio, *, last: bool) -> Transcript:
        """Give the command a piece of an utterance, take what it has recognised so far."""
        if number != self._requests:
            raise RecognizerError(
                "another stream was begun", where=self._spec.name, fix="A command hears one at a time"
            )
        seconds = len(audio) / SAMPLE_RATE_HZ
        self._ask(
            {
                "id": number,
                "samples": _base64(audio),
                "audio_s": seconds,
                "sample_rate_hz": SAMPLE_RATE_HZ,
                "last": last,
            }
        )
        within_s = self._timeout_s * max(1.0, seconds / TIMED_FOR_S)
        while "text" not in (answer := self._hear(within_s)):
            if not last:
                break
        return self._answered(answer)


class CommandStream:
    """One utterance being heard by a command."""

    def __init__(self, command: StreamingCommand) -> None:
        self._command = command
        self._number = command.begin()
        self._heard = Transcript(text="")
        self._finished = False

    def accept(self, samples: Audio) -> None:
        """Raises RecognizerError after finish()."""
        if self._finished:
            raise RecognizerError("the stream is finished", fix="Open another with stream()")
        if len(samples):
            self._heard = self._command.exchange(self._number, np.asarray(samples, np.float32), last=False)

    def partial(self) -> Transcript:
        return self._heard

    def finish(self) -> Transcript:
        return self._heard if self._finished else self.end_with(np.zeros(0, np.float32))

    def end_with(self, samples: Audio) -> Transcript:
        """The last piece, and the answer."""
        self._heard = self._command.exchange(self._number, samples, last=True)
        self._finished = True
        return self._heard


def _token(token: Any) -> Token:
    start_s, score = float(token["start_s"]), token.get("log_probability")
    if not math.isfinite(start_s):
        raise ValueError("a token without a time")
    str(token["text"]).encode("utf-8")
    return Token(text=str(token["text"]), start_s=start_s, log_probability=None if score is None else float(score))


def _base64(audio: Audio) -> str:
    """Little-endian float32."""
    return base64.b64encode(np.ascontiguousarray(audio, "<f4").tobytes()).decode("ascii")


def _brief(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=True)
    return " ".join(text.split())[:300]
