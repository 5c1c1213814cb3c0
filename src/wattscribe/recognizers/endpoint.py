"""`http:` and `https:`: a server with OpenAI's transcription endpoint, on this machine or another.

One request an utterance: POST …/audio/transcriptions with a WAV file as multipart form data (OpenAI's API reference, "Create
transcription"; whisper.cpp's server, vLLM, speaches and LocalAI take the same). What the server computes is not seen here:
CPU seconds, memory and modelled joules are those of this side alone.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from wattscribe.errors import RecognizerError
from wattscribe.recognizers import options
from wattscribe.recognizers.address import Address, key_of, read_address
from wattscribe.recognizers.base import Audio
from wattscribe.recognizers.checks import SHORTEST_SAMPLES, checked, require_open
from wattscribe.recognizers.posting import Connection, Lost, Reply
from wattscribe.recognizers.wav import wav_file
from wattscribe.records import PrecisionAudit, RecognizerSpec, Transcript
from wattscribe.units import SAMPLE_RATE_HZ

TIMEOUT_S = 100.0
"""As of `cmd:`: below the bench's own limit of an utterance."""
TIMED_FOR_S = 30.0
RETRIES, MAX_RETRIES = 2, 10
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0
"""Between two tries, doubled each time; a server that asks for more than the longest is not waited for."""
AGAIN = (408, 429, 500, 502, 503, 504)
"""Statuses that another try may change; OpenAI's own clients repeat after these."""
SHORTEST_SENT_S = 0.1
"""OpenAI's endpoint refuses less ("audio_too_short"), so that shorter audio gets silence behind it."""
_SHOWN = 200


class EndpointRecognizer:
    """One utterance after the other over one connection, which is kept open."""

    together = 1

    def __init__(self, spec: RecognizerSpec) -> None:
        self._spec = spec
        self._address: Address = read_address(spec)
        self._key = key_of(spec, self._address)
        self._json = options.choice(spec, "response_format", ("json", "text")) == "json"
        self._timeout_s = options.number(spec, "timeout_s", TIMEOUT_S, minimum=0.01)
        self._retries = options.integer(spec, "retries", RETRIES, maximum=MAX_RETRIES)
        self._repeated = 0
        self._connection: Connection | None = Connection(self._address)

    def transcribe(self, batch: Sequence[Audio]) -> list[Transcript]:
        """One Transcript per input; audio under 25 ms is answered with an empty text, and nothing is sent."""
        require_open(self._connection, self._spec)
        return [self._transcript(audio) for audio in checked(batch, self._spec)]

    def _transcript(self, audio: Audio) -> Transcript:
        if len(audio) < SHORTEST_SAMPLES:
            return Transcript(text="")
        lacking = round(SHORTEST_SENT_S * SAMPLE_RATE_HZ) - len(audio)
        kind, body = self._form(np.pad(audio, (0, max(0, lacking))))
        headers = {"Content-Type": kind, "Accept": "application/json, text/plain", "User-Agent": "wattscribe"}
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key}"
        within_s = self._timeout_s * max(1.0, len(audio) / SAMPLE_RATE_HZ / TIMED_FOR_S)
        return self._read(self._reply(body, headers, within_s))

    def _reply(self, body: bytes, headers: dict[str, str], within_s: float) -> Reply:
        """Of the first try that the server took; the waits between tries are part of the utterance's time."""
        connection = self._connection
        assert connection is not None
        for tried in range(self._retries + 1):
            wait_s, reply = FIRST_WAIT_S * 2.0**tried, None
            try:
                reply = connection.post(body, headers, within_s)
                if reply.status not in AGAIN:
                    return reply
                wait_s = wait_s if reply.retry_after_s is None else reply.retry_after_s
                why, fix = f"the server answered {reply.status}{_said(reply)}", None
            except Lost as lost:
                why, fix = str(lost), "Look whether the server runs, and whether it answers in time"
                if lost.timed_out:  # whoever computes too long once would do so again
                    break
            if tried == self._retries or wait_s > LONGEST_WAIT_S:
                break
            self._repeated += 1
            time.sleep(wait_s)
        raise self._error(why, fix)

    def _read(self, reply: Reply) -> Transcript:
        """Raises RecognizerError for what is no transcript."""
        status = reply.status
        if 300 <= status < 400:
            raise self._error(
                f"the server redirects to {reply.location or 'nowhere'}, where nothing is sent",
                "Name that address itself",
            )
        if status in (401, 403):
            raise self._error(
                f"the server refuses the key ({status}{_said(reply)})",
                "Put it into the environment variable WATTSCRIBE_API_KEY, or name another with ?key_env=",
            )
        if status == 404:
            raise self._error(
                f"there is no endpoint or no such model ({status}{_said(reply)})", f"Asked: {self._address}"
            )
        if status != 200:
            raise self._error(f"the server answered {status}{_said(reply)}")
        return self._parsed(reply)

    def _parsed(self, reply: Reply) -> Transcript:
        try:
            words = reply.body.decode("utf-8")
            answer = json.loads(words) if self._json else {"text": words}
            text = answer["text"]
            text.encode("utf-8")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            hint = "Take ?response_format=text" if self._json else None
            raise self._error(f"its answer is no transcript{_said(reply)}", hint) from None
        language = answer.get("language")
        return Transcript(text=text.strip(), language=language if isinstance(language, str) else None)

    def _form(self, audio: Audio) -> tuple[str, bytes]:
        """Content type and body of multipart/form-data (RFC 7578)."""
        asked = self._spec.options
        fields = {
            "model": asked.get("model", "whisper-1"),
            "response_format": "json" if self._json else "text",
            "temperature": "0",
            **{name: asked[name] for name in ("language", "prompt") if name in asked},
        }
        mark = secrets.token_hex(16)
        parts = [
            f'--{mark}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
            for name, value in fields.items()
        ]
        head = f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="audio.wav"\r\nContent-Type: audio/wav\r\n\r\n'
        return (
            f"multipart/form-data; boundary={mark}",
            b"".join(parts) + head.encode() + wav_file(audio) + f"\r\n--{mark}--\r\n".encode(),
        )

    def audit(self) -> PrecisionAudit:
        repeated = f"; {self._repeated} requests were repeated" if self._repeated else ""
        return PrecisionAudit(
            requested=self._spec.precision,
            ok=True,
            reason=None,
            weight_bytes={},
            operators={},
            device="cpu",
            note=f"a server computes: its precision, memory and CPU seconds are not seen here{repeated}",
        )

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _error(self, what: str, fix: str | None = None) -> RecognizerError:
        return RecognizerError(what, where=self._spec.name, fix=fix)


def _said(reply: Reply) -> str:
    """The server's own words: OpenAI's errors as JSON, or the beginning of whatever it is."""
    try:
        answer: Any = json.loads(reply.body)
        inner = answer.get("error", answer)
        words = inner.get("message") or inner.get("detail") if isinstance(inner, dict) else inner
    except (ValueError, AttributeError, RecursionError):
        words = None
    text = words if isinstance(words, str) else reply.body[:_SHOWN].decode("utf-8", "replace")
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())[:_SHOWN]
    return f": {text}" if text else ""
