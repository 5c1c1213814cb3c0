"""Exported streaming transducers, run by this package's own runtime."""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence

from wattscribe.errors import RecognizerError
from wattscribe.graph import cache
from wattscribe.graph.memory import give_back
from wattscribe.models import locate
from wattscribe.recognizers import options
from wattscribe.recognizers.base import Audio, Recognizer, Stream
from wattscribe.records import MAX_BEAM, PrecisionAudit, RecognizerSpec, Transcript
from wattscribe.seq2seq.files import is_encoder_decoder
from wattscribe.streaming import Transducer, open_transducer
from wattscribe.streaming.decoding import DECODINGS
from wattscribe.streaming.phrases import Phrase, read_phrases

_FOR_ENCODER_DECODERS = ("window", "vad", "loops", "max_new_tokens", "draft", "draft_tokens", "draft_precision")


def open_onnx(spec: RecognizerSpec) -> Recognizer:
    """A streaming transducer, or an encoder–decoder, as the directory's files say."""
    folder = locate(spec.model)
    if folder.is_dir() and is_encoder_decoder(folder):
        from wattscribe.recognizers.seq2seq import EncoderDecoderRecognizer

        return EncoderDecoderRecognizer(spec)
    return OnnxRecognizer(spec)


class OnnxRecognizer:
    """A directory with encoder*.onnx, decoder*.onnx, joiner*.onnx and tokens.txt; counts come with every transcript.

    Options: `decoding`, `beam`, `phrase`, `phrases`, `tail_s`, `blank_penalty`, `frame_by_frame`.
    """

    def __init__(self, spec: RecognizerSpec) -> None:
        self._spec = spec
        options.refuse(spec, _FOR_ENCODER_DECODERS, "encoder–decoders")
        self._transducer: Transducer | None = open_transducer(
            spec.model,
            precision=spec.precision,
            threads=spec.threads,
            decoding=options.choice(spec, "decoding", DECODINGS),
            beam=options.integer(spec, "beam", 4, minimum=1, maximum=MAX_BEAM),
            blank_penalty=options.number(spec, "blank_penalty", 0.0),
            frame_by_frame=options.flag(spec, "frame_by_frame"),
            phrases=_phrases(spec),
            tail_s=options.number(spec, "tail_s", 0.0, maximum=options.MAX_TAIL_S)
            if "tail_s" in spec.options
            else None,
            batch_size=spec.batch_size,
        )

    @property
    def transducer(self) -> Transducer:
        """The loaded transducer. Raises RecognizerError after close()."""
        if self._transducer is None:
            raise RecognizerError("the recognizer is closed", where=self._spec.name, fix="Open it again")
        return self._transducer

    @property
    def together(self) -> int:
        """One where the export is frozen to one stream."""
        return self.transducer.batch_size

    def settle(self, audio_s: float) -> None:
        """Open the encoder of several segments now, where files of so many seconds will use it; else never."""
        self.transducer.settle(audio_s)

    def transcribe(self, batch: Sequence[Audio]) -> list[Transcript]:
        """One Transcript per input; up to `batch_size` of them share encoder calls where the export's batch is free."""
        return self.transducer.transcribe(batch)

    def stream(self) -> Stream:
        """A fresh stream, for audio that comes piece by piece."""
        return self.transducer.stream()

    def audit(self) -> PrecisionAudit:
        from wattscribe.recognizers.onnx_facts import audit_onnx

        files = [path for _, path in self.transducer.files.components]
        return audit_onnx(self._spec, files, device="cpu")

    def close(self) -> None:
        """Drop the transducer; what it had goes back to the system, where no stream of it is left."""
        if self._transducer is not None:
            self._transducer = None
            gc.collect()  # buffers that wait for the next stream know the encoder that keeps them
            give_back()


def _phrases(spec: RecognizerSpec) -> tuple[Phrase, ...]:
    phrases = tuple(Phrase.parse(line) for line in spec.options.get("phrase", "").splitlines() if line.strip())
    return (*phrases, *(read_phrases(spec.options["phrases"]) if "phrases" in spec.options else ()))


def prepare(spec: RecognizerSpec, audio_s: float) -> float | None:
    """Keep the graphs that `spec` runs for files of so many seconds in all, or for live audio (0).

    Seconds that it took, 0 where they were there; None where none can be kept.
    """
    if not cache.possible() or is_encoder_decoder(locate(spec.model)):
        return None
    before, start_s = cache.written(), time.monotonic()
    recognizer = OnnxRecognizer(spec)
    recognizer.transducer.settle(audio_s, to_keep=True)
    took_s = time.monotonic() - start_s
    recognizer.close()
    return took_s if cache.written() != before else 0.0
