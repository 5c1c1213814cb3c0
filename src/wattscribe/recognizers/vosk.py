"""Vosk: Kaldi's streaming decoder, with its small models for phones and boards. It computes on one thread, on the CPU."""

from __future__ import annotations

import ctypes
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wattscribe import as_file
from wattscribe.errors import ModelError, RecognizerError
from wattscribe.hushed import hushed
from wattscribe.recognizers.audit import Facts, judge
from wattscribe.recognizers.base import Audio
from wattscribe.recognizers.checks import SHORTEST_SAMPLES, checked, foreign, require_open
from wattscribe.records import PrecisionAudit, RecognizerSpec, Token, Transcript
from wattscribe.units import SAMPLE_RATE_HZ

BLOCK_SAMPLES = 3200
"""0.2 s, the step in which the library decodes; it looks for ends of utterances between blocks, which are always the same."""
_PCM_PEAK = 32767.0
_NETWORK = ("am/final.mdl", "final.mdl")
_GRAPHS = ("graph/HCLG.fst", "graph/HCLr.fst", "HCLG.fst", "HCLr.fst")
"""In today's layout and in the old one without folders (the library's src/model.cc)."""
_OTHER_WEIGHTS = ("ivector/final.ie", "ivector/final.dubm", "ivector/final.mat")
_STORED = re.compile(rb"(?P<kind>[FD][MV]) \x04(?P<rows>.{4})", re.DOTALL)
"""Kaldi's binary matrices and vectors of floats and doubles: a mark, each size behind the byte 4 (matrix/kaldi-matrix.cc)."""
_QUIET = -1


class VoskRecognizer:
    """A model directory; utterances one after the other, each with a decoder of its own."""

    together = 1

    def __init__(self, spec: RecognizerSpec) -> None:
        self._spec = spec
        self._folder = Path(spec.model).expanduser()
        self._network = _first(self._folder, _NETWORK, "acoustic model")
        _first(self._folder, _GRAPHS, "decoding graph")
        self._model: Any = self._load()

    def _load(self) -> Any:
        with foreign("Vosk cannot load it", self._spec, lambda _: "Unpack the model again"), hushed():
            import vosk

            vosk.SetLogLevel(_QUIET)
            return vosk.Model(str(self._folder))

    def transcribe(self, batch: Sequence[Audio]) -> list[Transcript]:
        """One Transcript per input; audio under 25 ms is answered with an empty text."""
        require_open(self._model, self._spec)
        return [self._transcript(audio) for audio in checked(batch, self._spec)]

    def _transcript(self, audio: Audio) -> Transcript:
        if len(audio) < SHORTEST_SAMPLES:
            return Transcript(text="")
        stream = self.stream()
        stream.accept(audio)
        return stream.finish()

    def stream(self) -> VoskStream:
        """A fresh decoder."""
        require_open(self._model, self._spec)
        return VoskStream(self._model, self._spec)

    def audit(self) -> PrecisionAudit:
        """The matrices that Kaldi's files hold; it multiplies them in 32-bit floats."""
        paths = [self._network, *(self._folder / name for name in _OTHER_WEIGHTS)]
        weights: dict[str, int] = {}
        for path in paths:
            if path.is_file():
                for dtype, count in stored_in(path).items():
                    weights[dtype] = weights.get(dtype, 0) + count
        facts = Facts(
            requested=self._spec.precision,
            requested_device=self._spec.device,
            device="cpu",
            weight_bytes=weights,
            operators={"Nnet3:float32": 1},
            parameters=sum(count // (8 if dtype == "float64" else 4) for dtype, count in weights.items()),
        )
        return judge(facts)

    def close(self) -> None:
        self._model = None


class VoskStream:
    """One utterance being heard, in blocks of 0.2 s; where the library hears an end, what it has is kept and it begins anew."""

    def __init__(self, model: Any, spec: RecognizerSpec) -> None:
        import vosk

        self._spec = spec
        self._raw: Any = vosk.KaldiRecognizer(model, SAMPLE_RATE_HZ)
        self._raw.SetWords(True)
        self._waiting = np.zeros(0, np.float32)
        self._said: list[Transcript] = []
        self._blocks = 0
        self._finished = False

    def accept(self, samples: Audio) -> None:
        """Hear samples and decode every block that they complete. Raises RecognizerError after finish()."""
        if self._finished:
            raise RecognizerError("the stream is finished", where=self._spec.name, fix="Open another with stream()")
        self._waiting = np.concatenate([self._waiting, checked([samples], self._spec)[0]])
        whole = len(self._waiting) // BLOCK_SAMPLES * BLOCK_SAMPLES
        for start in range(0, whole, BLOCK_SAMPLES):
            self._decode(self._waiting[start : start + BLOCK_SAMPLES])
        self._waiting = self._waiting[whole:]

    def partial(self) -> Transcript:
        if self._finished or not self._blocks:
            return _joined(self._said)
        with foreign("Vosk failed", self._spec):
            text = json.loads(self._raw.PartialResult()).get("partial", "")
        return _joined([*self._said, Transcript(text=text)])

    def finish(self) -> Transcript:
        if not self._finished:
            self._decode(self._waiting)
            with foreign("Vosk failed", self._spec):
                self._said.append(_transcript(self._raw.FinalResult()))
            self._finished, self._raw = True, None
        return self.partial()

    def _decode(self, block: Audio) -> None:
        if not len(block):
            return
        # Kaldi adds noise to the samples (dither) from C's rand(): from the same seeds, the same audio gives the same text.
        ctypes.CDLL(None).srand(self._blocks)
        self._blocks += 1
        pcm = (np.clip(block, -1.0, 1.0) * _PCM_PEAK).round().astype("<i2").tobytes()
        with foreign("Vosk failed", self._spec):
            if self._raw.AcceptWaveform(pcm):
                self._said.append(_transcript(self._raw.Result()))


def stored_in(path: Path) -> dict[str, int]:
    """Bytes by dtype of the matrices and vectors in a binary file of Kaldi's; a file in text is counted as nothing."""
    weights: dict[str, int] = {}
    with as_file.open_bytes(path) as file:
        data = file.read()
    at = 0
    while (found := _STORED.search(data, at)) is not None:
        at = found.end()
        elements = int.from_bytes(found["rows"], "little")
        if found["kind"].endswith(b"M"):
            if data[at : at + 1] != b"\x04":
                continue
            elements *= int.from_bytes(data[at + 1 : at + 5], "little")
            at += 5
        dtype, width = ("float32", 4) if found["kind"].startswith(b"F") else ("float64", 8)
        if at + elements * width <= len(data):  # else these bytes are part of a number
            at += elements * width
            weights[dtype] = weights.get(dtype, 0) + elements * width
    return {dtype: count for dtype, count in weights.items() if count}


def _transcript(answer: str) -> Transcript:
    result = json.loads(answer)
    words = result.get("result", [])
    return Transcript(
        text=result.get("text", "").strip(),
        tokens=tuple(Token(text=word["word"], start_s=max(0.0, float(word["start"]))) for word in words),
    )


def _joined(parts: Sequence[Transcript]) -> Transcript:
    return Transcript(
        text=" ".join(filter(None, (part.text.strip() for part in parts))),
        tokens=tuple(token for part in parts for token in part.tokens),
    )


def _first(folder: Path, names: Sequence[str], what: str) -> Path:
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise ModelError(
        f"holds no {what} ({' or '.join(names)})", where=folder, fix="Give the unpacked directory of a Vosk model"
    )
