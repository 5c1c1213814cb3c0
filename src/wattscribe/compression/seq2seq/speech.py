"""How speech goes through a Whisper: what its linear maps are fed, and how far a candidate's next tokens are from the original's.

Both follow the original's greedy path: the whole text of a window is fed to the decoder in one call, so that each of its tokens
is asked for behind the same ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wattscribe.compression.calibrate import Calibration, Feeds, with_outputs
from wattscribe.compression.candidate import Candidate
from wattscribe.compression.divergence import Probe, Scores, log_softmax
from wattscribe.compression.levers.table import table_of
from wattscribe.compression.linears import Index
from wattscribe.compression.seq2seq.candidate import FRAME_SAMPLES, WhisperCandidate
from wattscribe.compression.seq2seq.gated import heard
from wattscribe.compression.shelf import Shelf
from wattscribe.compression.speech import SpeechSet
from wattscribe.graph.session import open_session, run
from wattscribe.models.directory import CROSS, LOGITS
from wattscribe.seq2seq.decoder_graph import CACHES
from wattscribe.seq2seq.files import find
from wattscribe.seq2seq.mel import WINDOW, log_mel
from wattscribe.seq2seq.opening import open_model
from wattscribe.seq2seq.recognize import Spoken
from wattscribe.seq2seq.two_step import scores_of

Cross = tuple[NDArray[np.float32], ...]
"""Keys and values of one window."""
MOST_BYTES = 400_000_000
"""Of encoded windows that are kept: those of the original's encoder for a minute of speech, as a rule."""


def spoken(candidate: WhisperCandidate, speech: SpeechSet) -> list[Spoken]:
    """Every window of the set with the tokens that the candidate says to it."""
    with candidate.directory() as folder:
        model = open_model(find(folder))
        return [window for audio in speech.audio for window in model.paths(audio)]


class Encoder:
    """A candidate's encoder, on the windows that it would be given."""

    def __init__(self, candidate: WhisperCandidate, outputs: list[str]) -> None:
        """Inner values `outputs` come with the keys and values of cross-attention."""
        self._window, self._bands = candidate.window, int(candidate.metadata["n_mels"])
        self._gate_s = candidate.gate_s
        self._whole, self._outputs = 2 * int(candidate.metadata["n_audio_ctx"]), [*CROSS, *outputs]
        self._path = Path("encoder.onnx")
        self._session = open_session(self._path, model=with_outputs(candidate.model("encoder"), outputs))

    def feeds(self, window: Spoken) -> Feeds:
        audio = window.audio if self._gate_s is None else heard(window.audio, self._gate_s)
        if len(audio) < WINDOW:  # nobody speaks, and nothing would be asked of the decoder
            audio = np.zeros(WINDOW, np.float32)
        length = self._whole if self._window is None else self._window.frames(len(audio), self._whole)
        return {"mel": log_mel(audio, length, self._bands)[None]}

    def run(self, feeds: Feeds) -> Feeds:
        return dict(zip(self._outputs, run(self._session, self._path, self._outputs, feeds), strict=True))


class Decoder:
    """A candidate's decoder, fed a whole text at once."""

    def __init__(self, candidate: WhisperCandidate, outputs: list[str]) -> None:
        number = candidate.metadata
        self._shape = (int(number["n_text_layer"]), 1, int(number["n_text_ctx"]), int(number["n_text_state"]))
        self._path, self._outputs = Path("decoder.onnx"), outputs
        self._session = open_session(self._path, model=with_outputs(candidate.model("decoder"), outputs))

    def feeds(self, window: Spoken, cross: Cross) -> Feeds:
        feeds: Feeds = {"tokens": np.array([window.tokens], np.int64), "offset": np.array([0], np.int64)}
        feeds |= {name: np.zeros(self._shape, np.float32) for name in CACHES}
        return feeds | dict(zip(CROSS, cross, strict=True))

    def run(self, feeds: Feeds) -> Feeds:
        return dict(zip(self._outputs, run(self._session, self._path, self._outputs, feeds), strict=True))


class SpokenCalibration(Calibration):
    """See `Calibration`."""

    def _sources(self, component: str) -> set[str]:
        sources = super()._sources(component)
        if component == "decoder":
            table = table_of(self._original.model(component))
            sources |= set() if table is None else {table.source}
        return sources

    def _spoken(self, component: str, sources: list[str]) -> Iterator[Feeds]:
        windows = self.kept(("spoken",), lambda: spoken(_whisper(self._original), self.speech))
        for window, (_, values) in zip(windows, self._walk(component, sources), strict=True):
            frames = -(-len(window.audio) // FRAME_SAMPLES) if component == "encoder" else None
            yield {name: rows[:, :frames] for name, rows in values.items()}

    def _walk(self, component: str, sources: list[str]) -> Iterator[tuple[Feeds, Feeds]]:
        original = _whisper(self._original)
        encoder = Encoder(original, sources if component == "encoder" else [])
        decoder = Decoder(original, sources) if component == "decoder" else None
        for window in self.kept(("spoken",), lambda: spoken(original, self.speech)):
            feeds = encoder.feeds(window)
            values = encoder.run(feeds)
            if decoder is not None:
                feeds = decoder.feeds(window, tuple(values[name] for name in CROSS))
                values = decoder.run(feeds)
            yield feeds, {name: values[name] for name in sources}


class SpokenProbe(Probe):
    """See `Probe`: rows of scores are those of the tokens that the original said, the ending one included."""

    def __init__(self, original: Candidate, speech: SpeechSet, windows: list[Spoken] | None = None) -> None:
        self._encoded: Shelf[str, list[Cross]] = Shelf(_bytes, MOST_BYTES)
        self._windows = spoken(_whisper(original), speech) if windows is None else windows
        super().__init__(original, speech)

    def shorter(self, seconds: float) -> Probe:
        speech = self.speech.spread(seconds)
        known = {id(audio): window for audio, window in zip(self.speech.audio, self._windows, strict=False)}
        if len(self._windows) == len(self.speech):  # a window an utterance
            return SpokenProbe(self.original, speech, [known[id(audio)] for audio in speech.audio])
        return SpokenProbe(self.original, speech)

    def _first(self) -> Scores:
        return self._ask(self.original)

    def _ask(self, candidate: Candidate) -> Scores:
        asked = _whisper(candidate)
        encoded = self._encoded.get(asked.digests["encoder"], lambda: self._encode(asked))
        scores = scores_of(Index(asked.model("decoder")).maker(LOGITS))  # of all tokens: this is no search
        decoder = Decoder(asked, [scores])
        rows = []
        for window, cross in zip(self._windows, encoded, strict=True):
            logits = decoder.run(decoder.feeds(window, cross))[scores][0, window.prompt - 1 :]
            rows.append(log_softmax(logits))
        return np.concatenate(rows)

    def _encode(self, candidate: WhisperCandidate) -> list[Cross]:
        encoder = Encoder(candidate, [])
        return [tuple(encoder.run(encoder.feeds(window)).values()) for window in self._windows]


def _bytes(encoded: list[Cross]) -> int:
    return sum(array.nbytes for cross in encoded for array in cross)


def _whisper(candidate: Candidate) -> WhisperCandidate:
    assert isinstance(candidate, WhisperCandidate)
    return candidate


__all__ = ["SpokenCalibration", "SpokenProbe"]
