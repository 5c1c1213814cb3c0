"""Moonshine on its authors' own library (moonshine-voice): what their applications run, streaming models too.

`onnx:` runs the files of the older, non-streaming models on this package's runtime, with the threads that are asked for. The
library takes no number of threads: onnxruntime inside it starts one per core.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from wattscribe.as_found import as_found
from wattscribe.errors import ModelError, RecognizerError
from wattscribe.hushed import hushed
from wattscribe.recognizers import options
from wattscribe.recognizers.base import Audio, Recognizer
from wattscribe.recognizers.checks import SHORTEST_SAMPLES, checked, foreign, require_open
from wattscribe.records import PrecisionAudit, RecognizerSpec, Transcript
from wattscribe.seq2seq.recognize import MOONSHINE_WINDOW_S
from wattscribe.seq2seq.windows import cut_at_silence
from wattscribe.units import SAMPLE_RATE_HZ

WHOLE = ("encoder_model.ort", "decoder_model_merged.ort", "tokenizer.bin")
STREAMING = (
    "frontend.ort", "encoder.ort", "adapter.ort", "cross_kv.ort", "decoder_kv.ort", "streaming_config.json", "tokenizer.bin",
)  # fmt: skip
"""The library's own file names (its core/transcriber.cpp)."""
_BASE_LAYER = b"past_key_values.7.decoder.key"
"""The eighth decoder layer, which base has and tiny has not: the library must be told which of them it opens."""
_HELD_SAMPLES = 1024
"""64 ms, two steps of the library's voice gate, kept for the end of a stream: with nothing new the library does not encode the
frames that still wait for more to come."""
_NO_END_S = 1e6
"""Longest segment of the library's own cut, which is nowhere near silence without its voice gate: it cuts here instead."""


def MoonshineRecognizer(spec: RecognizerSpec) -> Recognizer:
    """Load the directory; a MoonshineStreaming, which can stream, or a MoonshineWhole, as its files say."""
    folder = Path(spec.model).expanduser()
    streams = (folder / "streaming_config.json").is_file()
    parts = _parts(folder, STREAMING if streams else WHOLE)
    return MoonshineStreaming(spec, parts) if streams else MoonshineWhole(spec, parts)


class MoonshineWhole:
    """A model of whole utterances.

    Without `?vad=true` all audio is heard, as by the other runtimes. With it the library's voice gate cuts first; its state is
    one for the whole process and is not reset, so that a text may depend on what was heard before.
    """

    together = 1

    def __init__(self, spec: RecognizerSpec, parts: Mapping[str, Path]) -> None:
        self._spec, self._parts = spec, parts
        self._vad = options.flag(spec, "vad")
        self._chunk_samples = round(options.number(spec, "chunk_s", MOONSHINE_WINDOW_S, minimum=1.0) * SAMPLE_RATE_HZ)
        self._model: Any = self._load()

    def _load(self) -> Any:
        from moonshine_voice.moonshine_api import ModelArch
        from moonshine_voice.transcriber import Transcriber

        how: dict[str, Any] = {"return_audio_data": "false"}
        if not self._vad:
            how |= {"vad_threshold": 0, "vad_max_segment_duration": _NO_END_S}
        with foreign("moonshine-voice cannot load it", self._spec, lambda _: "Copy the model's files again"), hushed():
            return Transcriber(self._parts["tokenizer.bin"].parent, ModelArch(_arch(self._parts)), options=how)

    def transcribe(self, batch: Sequence[Audio]) -> list[Transcript]:
        """One Transcript per input, one after the other; audio under 25 ms is answered with an empty text.

        Without the voice gate longer audio than `chunk_s` is cut at its quietest points and the texts are joined.
        """
        require_open(self._model, self._spec)
        return [self._transcript(audio) for audio in checked(batch, self._spec)]

    def _transcript(self, audio: Audio) -> Transcript:
        pieces = [audio] if self._vad else cut_at_silence(audio, self._chunk_samples)
        texts = [self._text(piece) for piece in pieces if len(piece) >= SHORTEST_SAMPLES]
        return Transcript(text=" ".join(filter(None, texts)))

    def _text(self, audio: Audio) -> str:
        with foreign("moonshine-voice failed", self._spec):
            return text_of(self._model.transcribe_without_streaming(audio.tolist(), SAMPLE_RATE_HZ))

    @as_found()  # the audit opens the files in onnxruntime, which the library does not need
    def audit(self) -> PrecisionAudit:
        """What the files hold, as onnxruntime runs them."""
        from wattscribe.recognizers.onnx_facts import audit_onnx

        graphs = [path for path in self._parts.values() if path.suffix == ".ort"]
        audit = audit_onnx(self._spec, graphs, device="cpu")
        threads = f"moonshine-voice takes no number of threads ({self._spec.threads} asked for): it starts one per core"
        return replace(audit, note="; ".join(filter(None, (audit.note, threads))))

    def close(self) -> None:
        if self._model is not None:
            self._model.close()
            self._model = None


class MoonshineStreaming(MoonshineWhole):
    """A model whose encoder goes on from piece to piece; text comes every half second of audio, the library's own interval.

    Whole audio is a stream too: the library's call for it never encodes the last frames, which wait for more to come. One
    stream at a time: the library keeps a single state of the encoder for all of them, so opening one ends the one before.
    """

    current: MoonshineStream | None = None

    def _text(self, audio: Audio) -> str:
        stream = self.stream()
        stream.accept(audio, update=False)
        return stream.finish().text

    def stream(self) -> MoonshineStream:
        require_open(self._model, self._spec)
        self._end_current()
        self.current = MoonshineStream(self, self._model, self._spec)
        return self.current

    def close(self) -> None:
        self._end_current()
        super().close()

    def _end_current(self) -> None:
        if self.current is not None:
            self.current.give_back()
            self.current = None


class MoonshineStream:
    """One utterance being heard."""

    def __init__(self, owner: MoonshineStreaming, model: Any, spec: RecognizerSpec) -> None:
        self._owner, self._spec, self._text, self._finished = owner, spec, "", False
        self._held = np.zeros(0, np.float32)
        # The library's `add_audio` asks for text at moments that depend on how long it took before; here, by audio alone.
        self._raw = model.create_stream(update_interval=_NO_END_S)
        self._raw.start()

    def accept(self, samples: Audio, *, update: bool = True) -> None:
        """Hear samples; text follows when half a second has come since the last time. Raises RecognizerError after finish().

        `update` False: no text is asked for before the end.
        """
        if self._finished:
            raise RecognizerError("the stream is finished", where=self._spec.name, fix="Open another with stream()")
        self._require_current()
        heard = np.concatenate([self._held, checked([samples], self._spec)[0]])
        whole = max(0, len(heard) - _HELD_SAMPLES)
        self._held = heard[whole:]
        if whole:
            with foreign("moonshine-voice failed", self._spec):
                self._raw.add_audio(heard[:whole].tolist(), SAMPLE_RATE_HZ)
                if update:
                    self._text = text_of(self._raw.update_transcription())

    def partial(self) -> Transcript:
        return Transcript(text=self._text)

    def finish(self) -> Transcript:
        if not self._finished:
            self._require_current()
            self._finished = True
            with foreign("moonshine-voice failed", self._spec):
                self._raw.add_audio(self._held.tolist(), SAMPLE_RATE_HZ)
                last = self._raw.stop()
            self.give_back()
            if last is not None:
                self._text = text_of(last)
        return self.partial()

    def give_back(self) -> None:
        """Free what the library keeps of the stream; what was heard stays."""
        self._raw.close()

    def _require_current(self) -> None:
        if self._owner.current is not self:
            raise RecognizerError(
                "moonshine-voice hears one stream at a time, and another has begun",
                where=self._spec.name,
                fix="Finish each before the next, or open the model twice",
            )


def text_of(transcript: Any) -> str:
    """The lines in one."""
    return " ".join(filter(None, (line.text.strip() for line in transcript.lines)))


def _parts(folder: Path, names: Sequence[str]) -> dict[str, Path]:
    missing = [name for name in names if not (folder / name).is_file() or not (folder / name).stat().st_size]
    if missing:
        raise ModelError(
            f"holds no {missing[0]}, or an empty one",
            where=folder,
            fix="moonshine: takes " + " or ".join(", ".join(files) for files in (WHOLE, STREAMING)),
        )
    return {name: folder / name for name in names}


def _arch(parts: Mapping[str, Path]) -> int:
    """The library's number: 0 tiny, 1 base; of streaming models any of theirs, since their sizes are in the file."""
    if "streaming_config.json" not in parts:
        graph = np.memmap(parts["decoder_model_merged.ort"], np.uint8, "r")
        return int(_BASE_LAYER in graph.tobytes())
    path = parts["streaming_config.json"]
    try:
        depth = json.loads(path.read_text())["depth"]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError("states no depth of the model", where=path, fix="Copy the model's files again") from error
    if not isinstance(depth, int) or depth < 1:
        raise ModelError(f"states a depth of {depth!r}", where=path, fix="Copy the model's files again")
    return 2
