"""sherpa-onnx model directories of every kind that it loads, streaming ones and those of whole utterances."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from wattscribe.as_found import as_found
from wattscribe.errors import RecognizerError
from wattscribe.hushed import hushed
from wattscribe.recognizers import options
from wattscribe.recognizers.base import Audio, Recognizer
from wattscribe.recognizers.checks import SHORTEST_SAMPLES, checked, require_open
from wattscribe.recognizers.sherpa_files import Layout, find_layout
from wattscribe.recognizers.sherpa_load import LOADERS, fell_back, language_of, load, placed, provider_of
from wattscribe.records import PrecisionAudit, RecognizerSpec, Token, Transcript
from wattscribe.units import SAMPLE_RATE_HZ


def SherpaRecognizer(spec: RecognizerSpec) -> Recognizer:
    """Load the directory; an OnlineSherpa, which can stream, or an OfflineSherpa, as its files say."""
    layout = find_layout(spec)
    return OnlineSherpa(spec, layout) if layout.online else OfflineSherpa(spec, layout)


class _Sherpa:
    """What online and offline recognizers share: the loaded model, its audit and its end."""

    def __init__(self, spec: RecognizerSpec, layout: Layout) -> None:
        self._spec = spec
        self._layout = layout
        self._provider = provider_of(spec, layout)
        self._model: Any
        self._model, self._said = load(spec, layout, self._provider)

    @property
    def together(self) -> int:
        """Utterances per call: what the export was frozen to; one where the library goes through them one by one."""
        one_by_one = LOADERS[self._layout.kind].one_by_one
        return 1 if one_by_one else self._layout.fixed_batch or self._spec.batch_size

    @as_found()
    def audit(self) -> PrecisionAudit:
        """What the files hold, and where they run: sherpa-onnx tells of a provider that it has not, and goes on with another."""
        from wattscribe.recognizers import executed_on
        from wattscribe.recognizers.onnx_facts import audit_onnx

        files = [path for path in self._layout.parts.values() if path.suffix in (".onnx", ".ort")]
        shares = fell_back(self._said) or (() if self._provider == "cpu" else placed(files, self._provider))
        device = executed_on.device_of(shares, self._spec.device)
        return audit_onnx(self._spec, files, device=device, executed_on=shares, said=self._said or None)

    def close(self) -> None:
        self._model = None


class OnlineSherpa(_Sherpa):
    """A streaming model; `transcribe` feeds whole utterances and `tail_s` of silence."""

    def __init__(self, spec: RecognizerSpec, layout: Layout) -> None:
        super().__init__(spec, layout)
        self._tail_samples = round(
            options.number(spec, "tail_s", layout.tail_s, maximum=options.MAX_TAIL_S) * SAMPLE_RATE_HZ
        )

    def transcribe(self, batch: Sequence[Audio]) -> list[Transcript]:
        """One Transcript per input; `batch_size` streams advance together, fewer where the export is frozen to fewer."""
        require_open(self._model, self._spec)
        streams = [self.stream() for _ in batch]
        for stream, audio in zip(streams, checked(batch, self._spec), strict=True):
            stream.end_with(audio)
        size = min(self._spec.batch_size, self.together)
        for start in range(0, len(streams), size):
            group = [stream.raw for stream in streams[start : start + size]]
            while ready := [raw for raw in group if self._model.is_ready(raw)]:
                self._model.decode_streams(ready)
        return [stream.partial() for stream in streams]

    def stream(self) -> SherpaStream:
        require_open(self._model, self._spec)
        with _quiet(self._layout):
            stream = SherpaStream(self._model, self._spec, self._tail_samples)
            if LOADERS[self._layout.kind].resamples:
                stream.accept(np.zeros(0, np.float32))
        return stream


class SherpaStream:
    """One utterance being heard by an online model."""

    def __init__(self, model: Any, spec: RecognizerSpec, tail_samples: int) -> None:
        self._model = model
        self._spec = spec
        self._tail = np.zeros(tail_samples, np.float32)
        self._finished = False
        self.segments = 0
        """Calls of the encoder so far; the model counts nothing else."""
        self.raw = model.create_stream()

    def accept(self, samples: Audio) -> None:
        """Hear samples and decode every segment that they complete. Raises RecognizerError after finish()."""
        if self._finished:
            raise RecognizerError("the stream is finished", where=self._spec.name, fix="Open another with stream()")
        self.raw.accept_waveform(SAMPLE_RATE_HZ, checked([samples], self._spec)[0])
        self._decode()

    def partial(self) -> Transcript:
        result = self._model.get_result_all(self.raw)
        probabilities = result.ys_probs if len(result.ys_probs) == len(result.tokens) else [None] * len(result.tokens)
        tokens = tuple(
            Token(text=text, start_s=float(start), log_probability=None if p is None else float(p))
            for text, start, p in zip(result.tokens, result.timestamps, probabilities, strict=True)
        )
        return Transcript(text=result.text.strip(), tokens=tokens)

    def finish(self) -> Transcript:
        if not self._finished:
            self.end_with(np.zeros(0, np.float32))
            self._decode()
        return self.partial()

    def end_with(self, samples: Audio) -> None:
        """Hear the last samples and the tail without decoding: a batch decodes its streams together."""
        self._finished = True
        self.raw.accept_waveform(SAMPLE_RATE_HZ, np.concatenate([samples, self._tail]))
        self.raw.input_finished()

    def _decode(self) -> None:
        while self._model.is_ready(self.raw):
            self._model.decode_stream(self.raw)
            self.segments += 1


class OfflineSherpa(_Sherpa):
    """A model that transcribes whole utterances. `tail_s` is appended only when it is asked for."""

    def __init__(self, spec: RecognizerSpec, layout: Layout) -> None:
        super().__init__(spec, layout)
        self._language = language_of(spec, layout)
        self._tail = np.zeros(
            round(options.number(spec, "tail_s", 0.0, maximum=options.MAX_TAIL_S) * SAMPLE_RATE_HZ), np.float32
        )

    def transcribe(self, batch: Sequence[Audio]) -> list[Transcript]:
        """One Transcript per input; audio under 25 ms holds no frame and is answered with an empty text."""
        require_open(self._model, self._spec)
        transcripts = [Transcript(text="")] * len(batch)
        long_enough = [(i, a) for i, a in enumerate(checked(batch, self._spec)) if len(a) >= SHORTEST_SAMPLES]
        size = min(self._spec.batch_size, self._layout.fixed_batch or self._spec.batch_size)
        for start in range(0, len(long_enough), size):
            group = long_enough[start : start + size]
            streams = [self._stream_of(audio) for _, audio in group]
            self._model.decode_streams(streams)
            for (index, _), stream in zip(group, streams, strict=True):
                transcripts[index] = self._transcript(stream.result)
        return transcripts

    def _transcript(self, result: Any) -> Transcript:
        transcript = _offline_transcript(result)
        if not LOADERS[self._layout.kind].languages(self._layout):
            return transcript
        return replace(transcript, language=self._language or result.lang.strip("<|>") or None)

    def _stream_of(self, audio: Audio) -> Any:
        stream = self._model.create_stream()
        with _quiet(self._layout):
            stream.accept_waveform(SAMPLE_RATE_HZ, np.concatenate([audio, self._tail]))
        return stream


def _quiet(layout: Layout) -> contextlib.AbstractContextManager[None]:
    return hushed() if LOADERS[layout.kind].resamples else contextlib.nullcontext()


def _offline_transcript(result: Any) -> Transcript:
    timed = len(result.timestamps) == len(result.tokens)
    scored = len(result.ys_log_probs) == len(result.tokens)
    tokens = (
        tuple(
            Token(text=text, start_s=float(start), log_probability=float(result.ys_log_probs[i]) if scored else None)
            for i, (text, start) in enumerate(zip(result.tokens, result.timestamps, strict=True))
        )
        if timed
        else ()
    )
    return Transcript(text=result.text.strip(), tokens=tokens)
