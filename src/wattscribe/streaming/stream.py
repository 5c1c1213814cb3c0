"""One utterance, or one endless microphone, being transcribed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from wattscribe.errors import InputError
from wattscribe.records import Counts, Token, Transcript
from wattscribe.streaming.encoder import Features, Slot, States
from wattscribe.streaming.features import (
    SHIFT_SAMPLES,
    FrameSource,
    Samples,
    SavedSource,
    check_rate,
    checked,
    feature_frames,
)
from wattscribe.streaming.hypothesis import Decoded
from wattscribe.streaming.tally import Tally
from wattscribe.units import FRAME_SHIFT_S, SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from wattscribe.models.vocabulary import Vocabulary
    from wattscribe.streaming.ahead import Ahead
    from wattscribe.streaming.beam import Beam
    from wattscribe.streaming.decoding import Decoding
    from wattscribe.streaming.encoder import Encoder
    from wattscribe.streaming.endpoint import Endpointing
    from wattscribe.streaming.greedy import Greedy


class Owner(Protocol):
    """What a stream asks of its transducer."""

    encoder: Encoder
    decoder: Greedy | Beam
    decoding: Decoding
    endpointing: Endpointing | None
    vocabulary: Vocabulary
    frame_s: float
    tail_s: float

    def advance(self, streams: Sequence[Stream]) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """An utterance that an endpoint closed."""

    transcript: Transcript
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedStream:
    """A stream as a value: whoever restores it goes on with the same text, bit for bit."""

    source: SavedSource
    overlap: Features
    """Feature frames that the next segment shares with the last one."""
    states: States
    decoding: Decoding
    decoded: Decoded
    ended: tuple[Ended, ...]
    counts: Counts
    segments: int
    utterance_start: int
    real_samples: int | None
    finished: bool


class Stream:
    """Made by `Transducer.stream`. Text comes as it is recognised; `ended` collects utterances where endpointing is on.

    Streams of one transducer may run in several threads, each stream in one at a time.
    """

    def __init__(self, transducer: Owner, saved: SavedStream | None = None) -> None:
        self._transducer = transducer
        layout = transducer.encoder.layout
        self._segment, self._shift = layout.segment_frames, layout.shift_frames
        self._source = layout.source()
        self._decoded = transducer.decoder.start()
        self._tally = Tally()
        self._slot: Slot | None = transducer.encoder.slot()
        """None once it is released."""
        self._overlap = 0
        """Rows of the slot's features that are filled already."""
        self._segments = 0
        self._decoded_segments = 0
        """Behind `_segments` only while segments encoded ahead are decoded."""
        self._utterance_start = 0
        """The segment at which the utterance since the last endpoint began."""
        self._real_samples: int | None = None
        self._finished = False
        self.ended: list[Ended] = []
        if saved is not None:
            self._restore(saved)

    # --- audio in ----------------------------------------------------------------------------------------------------
    def accept(self, samples: Samples, sample_rate_hz: int = SAMPLE_RATE_HZ) -> None:
        """Hear any number of samples, also none, and decode every segment that they complete. Raises InputError."""
        self.buffer(samples, sample_rate_hz)
        self._transducer.advance([self])

    def buffer(self, samples: Samples, sample_rate_hz: int = SAMPLE_RATE_HZ) -> None:
        """Take samples without decoding: for several streams that `Transducer.advance` then decodes together."""
        check_rate(sample_rate_hz)
        self._check_open()
        if self._finished:
            raise InputError("the stream is finished", fix="Open another with stream()")
        audio = checked(samples)
        if len(audio):
            self._source.accept(audio)

    def finish(self) -> Transcript:
        """No more samples come: append the tail of silence, decode what remains, return the final transcript."""
        self.close()
        self._transducer.advance([self])
        return self.partial()

    def release(self) -> None:
        """Give the encoder's buffers to the next stream; only reading is allowed after it. Idempotent."""
        if self._slot is not None:
            self._transducer.encoder.release(self._slot)
            self._slot = None

    def _check_open(self) -> None:
        """Raises InputError once the stream is released."""
        _ = self.slot

    def close(self) -> None:
        """Mark the end of the audio without decoding; idempotent."""
        self._check_open()
        if self._finished:
            return
        self._real_samples = self._source.samples
        tail = round(self._transducer.tail_s * SAMPLE_RATE_HZ)
        if tail and self._real_samples:
            self._source.accept(np.zeros(tail, np.float32))
        missing = self._transducer.encoder.layout.missing_frames(self._feature_frames())
        if missing:
            self._source.accept(np.zeros(missing * SHIFT_SAMPLES, np.float32))
        self._source.finish()
        self._finished = True

    def _feature_frames(self) -> int:
        """Of the whole utterance and its tail, once its end is known."""
        tail = round(self._transducer.tail_s * SAMPLE_RATE_HZ) if self._real_samples else 0
        return feature_frames((self._real_samples or 0) + tail)

    # --- reading ----------------------------------------------------------------------------------------------------
    def partial(self) -> Transcript:
        """What is recognised since the last endpoint: text, tokens with times from the start of the stream, counts."""
        best = self._decoded.best()
        vocabulary, frame_s = self._transducer.vocabulary, self._transducer.frame_s
        ids = best.tokens[self._decoded.context :]
        tokens = tuple(
            Token(text=vocabulary.piece(token), start_s=frame * frame_s, log_probability=probability)
            for token, frame, probability in zip(ids, best.frames, best.log_probabilities, strict=True)
        )
        return Transcript(text=vocabulary.text(ids), tokens=tokens, counts=self.counts)

    @property
    def text(self) -> str:
        """The text since the last endpoint, without building tokens."""
        return self._transducer.vocabulary.text(self._decoded.best().tokens[self._decoded.context :])

    @property
    def counts(self) -> Counts:
        """What the stream has cost since its start."""
        return self._tally.counts()

    @property
    def heard_s(self) -> float:
        """Seconds of audio received, without the tail."""
        return (self._source.samples if self._real_samples is None else self._real_samples) / SAMPLE_RATE_HZ

    # --- endpoints --------------------------------------------------------------------------------------------------
    def endpoint(self) -> bool:
        """Whether one of the transducer's endpoint rules holds now."""
        rules = self._transducer.endpointing
        return rules is not None and rules.reached(
            feature_frames=(self._decoded_segments - self._utterance_start) * self._shift,
            silent_frames=self._decoded.best().trailing_blanks * self._shift / self._transducer.encoder.frames,
        )

    def reset(self) -> Ended:
        """Close the utterance and go on: encoder states and the last tokens are kept (hot start), in NeMo's models neither.

        sherpa-onnx starts those anew.
        """
        end_s = self._decoded_segments * self._shift * FRAME_SHIFT_S
        ended = Ended(
            transcript=self.partial(), start_s=self._utterance_start * self._shift * FRAME_SHIFT_S, end_s=end_s
        )
        self._decoded = self._transducer.decoder.hot_start(self._decoded)
        self._utterance_start = self._decoded_segments
        if self._transducer.encoder.layout.nemo is not None:
            self.slot.clear()
        return ended

    # --- a stream as a value ----------------------------------------------------------------------------------------
    def save(self) -> SavedStream:
        """A copy of everything that the stream remembers."""
        return SavedStream(
            source=self._source.save(),
            overlap=self.slot.features[0, : self._overlap].copy(),
            states=self.slot.states,
            decoding=self._transducer.decoding,
            decoded=self._decoded,
            ended=tuple(self.ended),
            counts=self.counts,
            segments=self._segments,
            utterance_start=self._utterance_start,
            real_samples=self._real_samples,
            finished=self._finished,
        )

    def _restore(self, saved: SavedStream) -> None:
        if [state.shape for state in saved.states] != [state.shape for state in self._transducer.encoder.layout.states]:
            raise InputError(
                "the stream was saved from another model, or with another batch size",
                fix="Open the model with its original settings",
            )
        self._transducer.decoding.check_saved(saved.decoding)
        self._source = FrameSource.restore(saved.source)
        self._overlap = len(saved.overlap)
        self.slot.features[0, : self._overlap] = saved.overlap
        self.slot.states = saved.states
        self._decoded = saved.decoded
        self.ended = list(saved.ended)
        self._tally = Tally.of(saved.counts)
        self._segments = self._decoded_segments = saved.segments
        self._utterance_start = saved.utterance_start
        self._real_samples, self._finished = saved.real_samples, saved.finished
        if self._finished:
            self._source.finish()

    # --- called by Transducer.advance -------------------------------------------------------------------------------
    def ready(self) -> bool:
        """Whether a segment can be encoded; sherpa-onnx asks for one frame more than the segment."""
        return self._overlap + self._source.ready > self._segment

    def waiting(self) -> int:
        """Segments that can be encoded now."""
        return max(0, (self._overlap + self._source.ready - self._segment - 1) // self._shift + 1)

    def fill(self) -> None:
        """Put the next segment's features in place."""
        rows = self.slot.features[0]
        self._source.take(self._segment - self._overlap, rows[self._overlap :])

    def encode(self) -> Features:
        """Run the encoder on the features in place; valid until the next run."""
        frames: Features = self.slot.run(self._segments * self._shift)[: self.kept()]
        self._tally.encoder_calls += 1
        self.encoded()
        return frames

    def kept(self) -> int:
        """Encoder frames of the next call that count: a call of several segments may reach beyond the tail of silence."""
        encoder = self._transducer.encoder
        if encoder.layout.segments_per_call == 1 or not self._finished:
            return encoder.frames
        return min(encoder.frames, self._whole_frames() - self._segments * encoder.frames)

    def _whole_frames(self) -> int:
        """Encoder frames of the whole utterance and its tail, once its end is known."""
        encoder = self._transducer.encoder
        return encoder.layout.segments_of(self._feature_frames()) * encoder.frames // encoder.layout.segments_per_call

    def encode_ahead(self, ahead: Ahead) -> list[Features]:
        """Run the encoder on as many of the next segments as are there, at most what it takes at once."""
        slot, features, first = self.slot, ahead.room(), self._segments
        kept = []
        for place in features[: self.waiting()]:
            self.fill()
            place[...] = slot.features[0]
            kept.append(self.kept())
            self.encoded()
        frames, slot.states = ahead.run(features, first, slot.states)
        self._tally.encoder_calls += len(kept)
        return [segment[:count] for segment, count in zip(frames, kept, strict=False)]

    def encoded(self) -> None:
        """Move on by one segment."""
        rows = self.slot.features[0]
        self._overlap = self._segment - self._shift
        rows[: self._overlap] = rows[self._shift :].copy()
        self._segments += 1
        self._tally.encoder_rows += 1

    def decoded(self, after: Decoded, segments: int) -> None:
        """Take the decoder's memory after `segments` more segments, and close the utterance at an endpoint."""
        self._decoded_segments += segments
        if self._real_samples is not None:
            encoder = self._transducer.encoder
            start = (self._decoded_segments - segments) * encoder.frames
            end = min(start + segments * encoder.frames, self._whole_frames())
            real = self._real_samples / SAMPLE_RATE_HZ / self._transducer.frame_s
            self._tally.padded_frames += sum(frame >= real for frame in range(start, end))
        self._decoded = after
        if self.endpoint():
            self.ended.append(self.reset())

    @property
    def decoder_state(self) -> Decoded:
        return self._decoded

    @property
    def tally(self) -> Tally:
        return self._tally

    @property
    def slot(self) -> Slot:
        """The stream's place in the encoder. Raises InputError once it is released."""
        if self._slot is None:
            raise InputError("the stream is released", fix="Open another with stream()")
        return self._slot

    @property
    def segments(self) -> int:
        return self._segments

    @property
    def finished(self) -> bool:
        return self._finished


def batch_of(streams: Sequence[Stream]) -> Features:
    """The streams' features in place as one batch."""
    return np.concatenate([stream.slot.features for stream in streams])
