"""sherpa-onnx model directories: streaming and offline transducers, CTC, Whisper, Moonshine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from wattscribe.errors import InputError, RecognizerError
from wattscribe.recognizers import options
from wattscribe.recognizers.base import Audio, Recognizer
from wattscribe.recognizers.checks import SHORTEST_SAMPLES, checked, require_open
from wattscribe.recognizers.sherpa_files import Layout, find_layout
from wattscribe.records import MAX_BEAM, PrecisionAudit, RecognizerSpec, Token, Transcript
from wattscribe.units import SAMPLE_RATE_HZ

_ONE_BY_ONE = ("whisper", "moonshine", "moonshine v2", "offline wenet ctc")
"""Kinds whose batch sherpa-onnx decodes one after the other (its csrc/offline-recognizer-*-impl.h)."""


def SherpaRecognizer(spec: RecognizerSpec) -> Recognizer:
    """Load the directory; an OnlineSherpa, which can stream, or an OfflineSherpa, as its files say."""
    layout = find_layout(spec)
    return OnlineSherpa(spec, layout) if layout.online else OfflineSherpa(spec, layout)


class _Sherpa:
    """What online and offline recognizers share: the loaded model, its audit and its end."""

    def __init__(self, spec: RecognizerSpec, layout: Layout) -> None:
        self._spec = spec
        self._layout = layout
        self._model: Any = _load(spec, layout)

    @property
    def together(self) -> int:
        """Utterances per call: what the export was frozen to; one where the library goes through them one by one."""
        one_by_one = self._layout.kind in _ONE_BY_ONE
        return 1 if one_by_one else self._layout.fixed_batch or self._spec.batch_size

    def audit(self) -> PrecisionAudit:
        from wattscribe.recognizers.onnx_facts import audit_onnx

        return audit_onnx(self._spec, list(self._layout.parts.values()), device=self._spec.device)

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
        size = min(self._spec.batch_size, self._layout.fixed_batch or self._spec.batch_size)
        for start in range(0, len(streams), size):
            group = [stream.raw for stream in streams[start : start + size]]
            while ready := [raw for raw in group if self._model.is_ready(raw)]:
                self._model.decode_streams(ready)
        return [stream.partial() for stream in streams]

    def stream(self) -> SherpaStream:
        require_open(self._model, self._spec)
        return SherpaStream(self._model, self._spec, self._tail_samples)


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
        self._language = _language(spec, layout)
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
        return (
            replace(transcript, language=self._language or result.lang or None)
            if _multilingual(self._layout)
            else transcript
        )

    def _stream_of(self, audio: Audio) -> Any:
        stream = self._model.create_stream()
        stream.accept_waveform(SAMPLE_RATE_HZ, np.concatenate([audio, self._tail]))
        return stream


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


def _load(spec: RecognizerSpec, layout: Layout) -> Any:
    import sherpa_onnx

    online, offline = sherpa_onnx.OnlineRecognizer, sherpa_onnx.OfflineRecognizer
    parts = {name: str(path) for name, path in layout.parts.items()}
    common = {"tokens": str(layout.tokens), "num_threads": spec.threads, "provider": _provider(spec)}
    makers: dict[str, Any] = {
        "online transducer": lambda: online.from_transducer(**parts, **common, **_decoding(spec)),
        "online zipformer2 ctc": lambda: online.from_zipformer2_ctc(**parts, **common),
        "online nemo ctc": lambda: online.from_nemo_ctc(**parts, **common),
        "online paraformer": lambda: online.from_paraformer(**parts, **common),
        "offline transducer": lambda: offline.from_transducer(**parts, **common, **_decoding(spec)),
        "offline nemo transducer": lambda: offline.from_transducer(
            **parts, **common, **_decoding(spec), model_type="nemo_transducer"
        ),
        "offline zipformer ctc": lambda: offline.from_zipformer_ctc(**parts, **common),
        "offline nemo ctc": lambda: offline.from_nemo_ctc(**parts, **common),
        "offline wenet ctc": lambda: offline.from_wenet_ctc(**parts, **common),
        "whisper": lambda: offline.from_whisper(**parts, **common, language=_language(spec, layout)),
        "moonshine": lambda: offline.from_moonshine(**parts, **common),
        "moonshine v2": lambda: offline.from_moonshine_v2(**parts, **common),
    }
    if "transducer" not in layout.kind and options.choice(spec, "decoding", ("greedy", "beam")) == "beam":
        raise InputError(f"a {layout.kind} model is decoded greedily here, not by beam search", where=spec.name)
    try:
        return makers[layout.kind]()
    except (RuntimeError, ValueError) as error:
        raise RecognizerError(f"sherpa-onnx cannot load it: {error}", where=Path(spec.model)) from error


def _decoding(spec: RecognizerSpec) -> dict[str, Any]:
    beam = options.choice(spec, "decoding", ("greedy", "beam")) == "beam"
    return {
        "decoding_method": "modified_beam_search" if beam else "greedy_search",
        "max_active_paths": options.integer(spec, "beam", 4, minimum=1, maximum=MAX_BEAM),
        "blank_penalty": options.number(spec, "blank_penalty", 0.0),
    }


def _language(spec: RecognizerSpec, layout: Layout) -> str:
    """What Whisper is told; empty: it detects the language, or knows English alone. Raises InputError for one it lacks."""
    language = options.language(spec, multilingual=_multilingual(layout)) or ""
    known = layout.metadata.get("all_language_codes", "").split(",")
    if language and language not in known:  # the library would end the process
        raise InputError(f"option language={language} is unknown", where=spec.name, fix="One of: " + ", ".join(known))
    return language


def _multilingual(layout: Layout) -> bool:
    return layout.kind == "whisper" and layout.metadata.get("is_multilingual", "1") != "0"


def _provider(spec: RecognizerSpec) -> str:
    return "cuda" if spec.device.startswith("cuda") else "cpu"
