"""A recognizer without a model: known answers, known cost, and every way in which a real one fails."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wattscribe.errors import InputError, RecognizerError
from wattscribe.records import PrecisionAudit, RecognizerSpec, Token, Transcript
from wattscribe.units import SAMPLE_RATE_HZ

Audio = NDArray[np.float32]

DEFAULT_TEXT = "the quick brown fox jumps over the lazy dog"
PREFIX_SAMPLES = 1600
"""A stream knows its utterance by its first 0.1 s."""

_DTYPE = {"fp32": "float32", "stored": "float32", "fp16": "float16", "bf16": "bfloat16", "int8": "int8"}
_PARAMETERS = 1000
_WRONG_WORDS = ("banana", "quartz", "violin", "marble")


class References:
    """Texts by audio: by its samples, or, where noise has changed them, by its length if that is unique."""

    def __init__(self, pairs: Iterable[tuple[Audio, str]] = ()) -> None:
        self._by_samples: dict[str, str] = {}
        self._by_prefix: dict[str, tuple[str, int]] = {}
        self._by_length: dict[int, set[str]] = {}
        for audio, text in pairs:
            self._by_samples[_digest(audio)] = text
            self._by_prefix[_digest(audio[:PREFIX_SAMPLES])] = (text, len(audio))
            self._by_length.setdefault(len(audio), set()).add(text)

    def find(self, audio: Audio) -> str | None:
        text = self._by_samples.get(_digest(audio))
        same_length = self._by_length.get(len(audio), set())
        return next(iter(same_length)) if text is None and len(same_length) == 1 else text

    def begin(self, audio: Audio) -> tuple[str, int] | None:
        """The text and the length in samples of the utterance that begins like this."""
        return self._by_prefix.get(_digest(audio[:PREFIX_SAMPLES])) if len(audio) >= PREFIX_SAMPLES else None


class FakeRecognizer:
    """Deterministic answers at a stated cost; see the options of runtime `fake` for its failures.

    `sleep` and `references` may be given by a test; otherwise time really passes and references come from option `corpus`.
    Utterances are counted from 0 over the recognizer's life, those of a warm-up too.
    """

    def __init__(
        self,
        spec: RecognizerSpec,
        *,
        references: References | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._spec = spec
        self._sleep = sleep
        self._options = _Options(spec)
        self._count = 0
        self._hoard: list[NDArray[np.uint8]] = []
        self._closed = False
        sleep(self._options.number("load_s"))
        if self._options.get("fail_load") == "true":
            raise RecognizerError("the fake was told to fail while loading", where=spec.name)
        self._references = references if references is not None else _corpus_references(spec)

    def transcribe(self, batch: Sequence[Audio]) -> list[Transcript]:
        """One Transcript per input, unless option miscount_at leaves one out."""
        if self._closed:
            raise RecognizerError("the recognizer is closed", where=self._spec.name)
        answers = []
        for audio in batch:
            index, self._count = self._count, self._count + 1
            self._spend(len(audio) / SAMPLE_RATE_HZ)
            self._fail(index)
            if self._options.at("miscount_at") != index:
                answers.append(_spread(self._answer(audio), len(audio)))
        return answers

    def stream(self) -> FakeStream:
        return FakeStream(self)

    def audit(self) -> PrecisionAudit:
        asked, ran = self._spec.precision, self._options.get("runs_as") or self._spec.precision
        dtype = _DTYPE.get(ran, ran)
        width = np.dtype("float16" if dtype == "bfloat16" else dtype).itemsize
        return PrecisionAudit(
            requested=asked,
            ok=asked == ran,
            reason=None if asked == ran else f"{asked} was asked for, the fake runs as {ran}",
            weight_bytes={dtype: _PARAMETERS * width},
            operators={f"Fake:{dtype}": 1},
            device=self._spec.device,
            parameters=_PARAMETERS,
        )

    def close(self) -> None:
        self._closed = True
        self._hoard.clear()

    def begin(self, audio: Audio) -> tuple[str, int] | None:
        """For a stream: what the utterance will be and how long, once its beginning is known."""
        known = self._references.begin(audio)
        return None if known is None else (self._with_errors(*known), known[1])

    def _answer(self, audio: Audio) -> str:
        if "text" in self._spec.options:
            return self._spec.options["text"]
        if not np.any(audio):
            return ""
        return self._with_errors(self._references.find(audio) or DEFAULT_TEXT, len(audio))

    def _with_errors(self, text: str, samples: int) -> str:
        """Wrong words in the share `wer`: substitutions, deletions, insertions in turn, drawn from (seed, text, length)."""
        share = self._options.number("wer")
        draw = random.Random(f"{self._options.number('seed'):g}/{text}/{samples}")
        words: list[str] = []
        for word in text.split():
            kind = draw.randrange(3) if draw.random() < share else None
            words += {None: [word], 0: [draw.choice(_WRONG_WORDS)], 1: [], 2: [word, draw.choice(_WRONG_WORDS)]}[kind]
        return " ".join(words)

    def _spend(self, audio_s: float) -> None:
        self._sleep(self._options.number("latency") * audio_s)
        until = time.process_time() + self._options.number("cpu") * audio_s
        while time.process_time() < until:
            pass

    def _fail(self, index: int) -> None:
        options = self._options
        if options.at("raise_at") == index:
            raise RecognizerError(f"the fake was told to raise at utterance {index}", where=self._spec.name)
        while options.at("hang_at") == index:
            time.sleep(3600)
        if options.at("exit_at") == index:
            os._exit(3)
        if options.at("kill_at") == index:
            os.kill(os.getpid(), signal.SIGKILL)
        start = options.at("allocate_at")
        if start is not None and start <= index:
            # Written to, so that the pages are resident; kept, as a leak keeps them.
            self._hoard.append(np.ones(int(options.number("allocate_bytes", 64 * 2**20)), np.uint8))


class FakeStream:
    """Words appear in proportion to the audio heard, once 0.1 s has told which utterance it is."""

    def __init__(self, recognizer: FakeRecognizer) -> None:
        self._recognizer = recognizer
        self._pieces: list[Audio] = []
        self._final: Transcript | None = None

    def accept(self, samples: Audio) -> None:
        if self._final is not None:
            raise RecognizerError("the stream is finished", fix="Open another with stream()")
        self._pieces.append(np.asarray(samples, np.float32))

    def partial(self) -> Transcript:
        if self._final is not None:
            return self._final
        audio = self._audio()
        known = self._recognizer.begin(audio)
        if known is None:
            return Transcript(text="")
        whole = _spread(*known)
        tokens = tuple(token for token in whole.tokens if token.start_s * SAMPLE_RATE_HZ < len(audio))
        return Transcript(text=" ".join(token.text for token in tokens), tokens=tokens)

    def finish(self) -> Transcript:
        if self._final is None:
            answers = self._recognizer.transcribe([self._audio()])
            self._final = answers[0] if answers else Transcript(text="")
        return self._final

    def _audio(self) -> Audio:
        return np.concatenate([np.zeros(0, np.float32), *self._pieces])


class _Options:
    """The spec's options, each mistake naming its option."""

    def __init__(self, spec: RecognizerSpec) -> None:
        self._spec = spec
        self._values: Mapping[str, str] = spec.options

    def get(self, name: str) -> str | None:
        return self._values.get(name)

    def number(self, name: str, default: float = 0.0) -> float:
        try:
            return float(self._values.get(name, default))
        except ValueError:
            raise InputError(f"option {name}={self._values[name]!r} is not a number", where=self._spec.name) from None

    def at(self, name: str) -> int | None:
        return int(self.number(name)) if name in self._values else None


def _spread(text: str, samples: int) -> Transcript:
    """The words as tokens, evenly over the audio."""
    words = text.split()
    step_s = samples / SAMPLE_RATE_HZ / max(len(words), 1)
    return Transcript(text=text, tokens=tuple(Token(text=word, start_s=i * step_s) for i, word in enumerate(words)))


def _corpus_references(spec: RecognizerSpec) -> References:
    name = spec.options.get("corpus")
    if name is None:
        return References()
    from wattscribe.corpora import open_corpus
    from wattscribe.records import Utterance

    corpus: Any = open_corpus(name)
    return References((corpus.audio(item), item.reference) for item in corpus if isinstance(item, Utterance))


def _digest(audio: Audio) -> str:
    return hashlib.sha256(np.ascontiguousarray(audio, np.float32).tobytes()).hexdigest()
