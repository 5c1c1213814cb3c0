"""A Whisper while it is compressed: encoder and decoder as bytes, and the window that its encoder's metadata state."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np

from wattscribe.compression.answers import Answers
from wattscribe.compression.candidate import Candidate, network_of_file
from wattscribe.compression.opened import Latency, OpenedModel
from wattscribe.compression.seq2seq.gated import gate_component, heard_pieces
from wattscribe.compression.speech import Audio, SpeechSet
from wattscribe.energy.files import Asked, whisper_decoder, whisper_encoder
from wattscribe.energy.last_product import last_product
from wattscribe.energy.options import Decoding
from wattscribe.energy.workload import Component, Workload
from wattscribe.errors import ModelError
from wattscribe.graph.model import Model
from wattscribe.graph.read import parse_model, read_model
from wattscribe.models.directory import CROSS
from wattscribe.records import Counts, Transcript
from wattscribe.seq2seq.files import find
from wattscribe.seq2seq.gate import gate_of
from wattscribe.seq2seq.mel import HOP, WINDOW
from wattscribe.seq2seq.opening import open_model
from wattscribe.seq2seq.recognize import Recogniser
from wattscribe.seq2seq.windows import Window, window_of
from wattscribe.units import SAMPLE_RATE_HZ

T = TypeVar("T")
LAST = {"cross_attention": "encoder", "vocabulary": "decoder"}
"""Components that are the end of a network, from their last products on."""
OUTPUTS: Mapping[str, Sequence[str]] = {"encoder": CROSS, "decoder": ("logits",)}
FRAME_SAMPLES = 2 * HOP
"""Of the encoder."""
_FRAMES_PER_S = SAMPLE_RATE_HZ / FRAME_SAMPLES
_EXPORT = "Give the fp32 export: `wattscribe export hf:MODEL -o DIR --precision fp32`"


@dataclass(frozen=True, kw_only=True, eq=False)
class WhisperCandidate(Candidate):
    """One version. `decoding` says nothing here: an utterance is decoded whole, greedily."""

    decoding: Decoding = "batched"

    COMPONENTS: ClassVar[tuple[str, ...]] = ("encoder", "cross_attention", "decoder", "vocabulary")
    FILES: ClassVar[Mapping[str, str]] = {"encoder": "encoder", "decoder": "decoder"}
    DECODED_HOW: ClassVar[str] = "The original is decoded greedily, a window at a time."
    MEMORY_RUN: ClassVar[str] = (
        "from wattscribe.seq2seq.files import find\n"
        "from wattscribe.seq2seq.opening import open_model\n"
        "import onnxruntime\n"
        "def transcribe(folder, frame_by_frame, samples):\n"
        "    open_model(find(folder)).transcribe([samples])\n"
    )

    @cached_property
    def metadata(self) -> Mapping[str, str]:
        return self._parsed("encoder").metadata

    @cached_property
    def window(self) -> Window | None:
        """The shorter window that the directory asks its runtime for; None: whole ones."""
        return window_of(self.metadata)

    @cached_property
    def gate_s(self) -> float | None:
        """Seconds of silence around speech that the gate before the encoder keeps; None: no gate."""
        return gate_of(self.metadata)

    @property
    def window_s(self) -> float:
        """Of a whole window."""
        return self._whole_frames / _FRAMES_PER_S

    @property
    def _whole_frames(self) -> int:
        return int(self.metadata["n_audio_ctx"])

    def _parsed(self, network: str) -> Model:
        return parse_model(self.networks[network], Path(f"{network}.onnx"))

    # --- components -------------------------------------------------------------------------------------------------
    def network_of(self, component: str) -> str:
        return LAST.get(component, component)

    def inside(self, component: str, model: Any) -> Callable[[str], bool]:
        network = self.network_of(component)
        graph = self._parsed(network).graph
        last = last_product(graph, OUTPUTS[network])
        theirs = {name for node in graph.nodes if last.intersection(node.outputs) for name in node.inputs} | last
        return lambda name: (name in theirs) == (component in LAST)

    # --- decoding ---------------------------------------------------------------------------------------------------
    def open(self, folder: Path, decoding: Decoding, answers: Answers | None = None) -> OpenedModel:
        files = find(folder)
        if answers is None:
            return OpenedWhisper(open_model(files))
        encoder = self.digests["encoder"]
        return OpenedWhisper(open_model(files, recall=lambda key, run: answers.recall(encoder, key, run)))

    def own_counts(self, counts: Sequence[Counts], audio: Sequence[Audio]) -> tuple[Counts, ...]:
        """The same tokens, in this one's windows; without a gate recordings of several windows stay as they are."""
        return tuple(self._in_windows(*pair) for pair in zip(counts, audio, strict=True))

    def _in_windows(self, counts: Counts, audio: Audio) -> Counts:
        samples, whole = len(audio), 2 * self._whole_frames
        if self.gate_s is None:
            if counts.encoder_rows != 1 or self.window is None:
                return counts
            pieces = [samples]
        else:
            pieces, judged = heard_pieces(audio, self.gate_s, whole * HOP)
            skipped = (samples - sum(pieces)) // FRAME_SAMPLES
            counts = replace(counts, gate_calls=judged, skipped_frames=skipped)
            pieces = [piece for piece in pieces if piece >= WINDOW]
        each = [whole if self.window is None else self.window.frames(piece, whole) for piece in pieces]
        frames, spoken = sum(each) // 2, sum(-(-piece // FRAME_SAMPLES) for piece in pieces)
        rows = len(pieces)
        return replace(
            counts, encoder_calls=rows, encoder_rows=rows, frames=frames, padded_frames=max(0, frames - spoken)
        )

    # --- energy -----------------------------------------------------------------------------------------------------
    def workload_key(self, counts: Sequence[Counts]) -> str:
        return f"{self.digest}-{sorted(self._lengths(counts).items())}"

    def workload(self, counts: Sequence[Counts]) -> Workload:
        """Encoder and cross-attention weighted by windows, decoder and vocabulary by the tokens behind windows of each length:
        the energy of the whole is then the sum over the utterances, but for the room in local memory that the longest takes."""
        lengths = self._lengths(counts)
        encoded = [_encoder_parts(self, frames) for frames in lengths]
        encoder_parts = [parts for parts, _ in encoded]
        decoder_parts = [_decoder_parts(self, looked_at) for _, looked_at in encoded]
        windows, rows = ([totals[which] for totals in lengths.values()] for which in (0, 1))
        parts = [_mean([pair[which] for pair in encoder_parts], windows) for which in (0, 1)]
        parts += [_mean([pair[which] for pair in decoder_parts], rows) for which in (0, 1)]
        if self.gate_s is not None:
            parts.append(gate_component())
        mean = sum(frames * count for frames, count in zip(lengths, windows, strict=True)) / sum(windows)
        return Workload(
            name="model", kind="encoder-decoder", components=tuple(parts), segment_s=mean / _FRAMES_PER_S,
            frames_per_segment=mean, vocabulary=int(self.metadata["n_vocab"]),
        )  # fmt: skip

    def _lengths(self, counts: Sequence[Counts]) -> dict[int, tuple[int, int]]:
        """Encoder frames of a window → windows of that length, and tokens that were fed behind them."""
        windows: Counter[int] = Counter()
        rows: Counter[int] = Counter()
        for utterance in counts:
            if utterance.encoder_rows:
                frames = round(utterance.frames / utterance.encoder_rows)
                windows[frames] += utterance.encoder_rows
                rows[frames] += utterance.predictor_rows
        if not windows:
            return {self._whole_frames: (1, 1)}
        return {frames: (windows[frames], max(1, rows[frames])) for frames in sorted(windows)}

    @cached_property
    def digests(self) -> Mapping[str, str]:
        """Of each network by itself."""
        return {name: hashlib.sha256(data).hexdigest() for name, data in self.networks.items()}


Parts = tuple[Component, Component]
_ENCODERS: dict[tuple[str, int], tuple[Parts, int]] = {}
_DECODERS: dict[tuple[str, int], Parts] = {}
"""Networks that were counted, by digest and frames: recipes share most of them."""


def _encoder_parts(candidate: WhisperCandidate, frames: int) -> tuple[Parts, int]:
    """Encoder and cross-attention of a window of so many frames, and the frames that the decoder then looks at."""
    key = (candidate.digests["encoder"], frames)
    if key not in _ENCODERS:
        asked = Asked(segment_s=frames / _FRAMES_PER_S)
        _ENCODERS[key] = _on_disk(candidate.networks["encoder"], lambda model: whisper_encoder(model, asked)[1:])
    return _ENCODERS[key]


def _decoder_parts(candidate: WhisperCandidate, frames: int) -> Parts:
    """Decoder and vocabulary that look at so many."""
    key = (candidate.digests["decoder"], frames)
    if key not in _DECODERS:
        places = int(candidate.metadata.get("n_text_ctx", "0"))
        _DECODERS[key] = _on_disk(
            candidate.networks["decoder"], lambda model: whisper_decoder(model, frames, places=places, ask=Asked())
        )
    return _DECODERS[key]


def _on_disk(network: bytes, count: Callable[[Model], T]) -> T:
    """onnxruntime executes a file."""
    with tempfile.TemporaryDirectory(prefix="wattscribe-") as folder:
        path = Path(folder) / "network.onnx"
        path.write_bytes(network)
        return count(read_model(path))


def _mean(parts: Sequence[Component], weights: Sequence[int]) -> Component:
    """What a row takes on average; the most at one time is that of the longest."""
    share = np.array(weights, np.float64) / sum(weights)

    def mean(values: Sequence[float]) -> float:
        return float(share @ np.array(values, np.float64))

    dtypes = dict.fromkeys(dtype for part in parts for dtype in part.macs)
    return replace(
        parts[-1],
        macs={dtype: mean([part.macs.get(dtype, 0.0) for part in parts]) for dtype in dtypes},
        activation_bytes=mean([part.activation_bytes for part in parts]),
        activation_bytes_unfused=mean([part.activation_bytes_unfused for part in parts]),
        peak_activation_bytes=max(part.peak_activation_bytes for part in parts),
    )


class OpenedWhisper:
    """See `opened.OpenedModel`. Nothing is shown before the text is whole, so that a listener waits for the last word alone."""

    def __init__(self, model: Recogniser) -> None:
        self._model = model

    def transcribe(self, audio: Audio) -> Transcript:
        return self._model.transcribe([audio])[0]

    def waited(self, speech: SpeechSet) -> Latency:
        spent_s = []
        for audio in speech.audio:
            start = time.process_time()
            self.transcribe(audio)
            spent_s.append(time.process_time() - start)
        return Latency(
            token_delay_mean_s=None, token_delay_p90_s=None, first_partial_s=None,
            finalisation_s=float(np.median(spent_s)),
        )  # fmt: skip


def read_whisper(directory: str | Path) -> WhisperCandidate:
    """The directory as it is, its float files. Raises InputError and ModelError for another layout, for a decoder without
    caches, and for weights that are in 8 bits or fewer."""
    files = find(directory)
    if files.kind != "sherpa-onnx Whisper":
        raise ModelError(
            f"is {files.kind}: compress takes a Whisper in sherpa-onnx's layout", where=directory, fix=_EXPORT
        )
    open_model(files)  # what it lacks is named by the path that was given
    networks = {name: network_of_file(files.parts[name]) for name in WhisperCandidate.FILES}
    candidate = WhisperCandidate(networks=networks, tokens=files.tokens.read_bytes(), placement=None)
    for name in WhisperCandidate.FILES:
        _refuse_narrow(candidate, name, files.parts[name])
    return candidate


def _refuse_narrow(candidate: WhisperCandidate, network: str, path: Path) -> None:
    stored = candidate._parsed(network).weight_bytes()
    if sum(stored.get(dtype, 0) for dtype in ("int8", "uint8", "int4", "uint4")) > sum(stored.values()) / 4:
        raise ModelError(
            "its weights are in 8 bits already: what they lost cannot be won back", where=path, fix=_EXPORT
        )
