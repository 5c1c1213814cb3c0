"""A loaded transducer: open a directory, run streams, transcribe files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from wattscribe.as_found import as_found
from wattscribe.errors import InputError, ModelError
from wattscribe.graph.memory import give_back
from wattscribe.models.vocabulary import Vocabulary, read_vocabulary
from wattscribe.records import MAX_BATCH, MAX_THREADS, Transcript
from wattscribe.streaming.ahead import SEGMENTS, WORTH, Lookahead
from wattscribe.streaming.beam import Beam
from wattscribe.streaming.decoding import Decoding
from wattscribe.streaming.encoder import Encoder
from wattscribe.streaming.endpoint import Endpointing
from wattscribe.streaming.features import Samples
from wattscribe.streaming.files import TransducerFiles, find_files
from wattscribe.streaming.greedy import Greedy
from wattscribe.streaming.joiner import Joiner
from wattscribe.streaming.nemo import SYMBOLS_PER_FRAME
from wattscribe.streaming.opening import open_encoder, open_rows, takes_one_scale
from wattscribe.streaming.phrases import Phrase
from wattscribe.streaming.predictor import Predictor
from wattscribe.streaming.stream import SavedStream, Stream, batch_of
from wattscribe.units import FRAME_SHIFT_S

FOREIGN = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
SEGMENTS_AHEAD = 2
"""Segments of a file that are decoded together: the joiner's calls fall by a fifth. With more its extra rows cost more time than
the calls that they save (zipformer, 1 thread)."""


def _check_count(name: str, value: Any, most: int) -> None:
    """Raises InputError."""
    if not isinstance(value, Integral) or not 1 <= int(value) <= most:
        raise InputError(f"{name} is {value!r}", fix=f"It must be a whole number, 1 to {most}")


class Transducer:
    """Encoder, predictor, joiner and vocabulary of one directory, ready to run."""

    def __init__(
        self,
        files: TransducerFiles,
        *,
        threads: int = 1,
        decoding: Decoding | None = None,
        tail_s: float | None = None,
        endpointing: Endpointing | None = None,
        batch_size: int = 1,
        rewriting: bool = True,
    ) -> None:
        if tail_s is not None and not 0 <= tail_s < float("inf"):
            raise InputError(f"tail_s is {tail_s}", fix="It must be 0 or more")
        _check_count("threads", threads, MAX_THREADS)
        _check_count("batch_size", batch_size, MAX_BATCH)
        self.files, self.endpointing = files, endpointing
        self.decoding = decoding or Decoding()
        self.vocabulary: Vocabulary = read_vocabulary(files.tokens)
        give_back()
        self.notes = list(files.notes)
        """What a user should know of how the files run."""
        self.encoder = _encoder(files.encoder, threads, rewriting, batch_size == 1, self.notes)
        self.tail_s = self.encoder.layout.tail_s if tail_s is None else tail_s
        self.lookahead = Lookahead(self.encoder, allowed=rewriting, threads=threads)
        self._open_rows(threads, batch_size)
        self.scored_tokens = self._check()
        self.batch_size = batch_size if self.encoder.layout.batchable else 1
        self.frame_s = self.encoder.layout.shift_frames * FRAME_SHIFT_S / self.encoder.frames
        self.decoder = self._decoder()
        give_back()

    def _open_rows(self, threads: int, batch_size: int) -> None:
        """Predictor and joiner.

        In sherpa-onnx the hypotheses of a beam share the scale of a dynamic quantisation, so they do here. Greedily decoded
        frames share none: each is asked with its own, and the predictor is only ever asked for one row.
        """
        files, beam, alone = self.files, self.decoding.method == "beam", batch_size == 1
        scaled = {path: beam and alone and takes_one_scale(path) for path in (files.predictor, files.joiner)}
        self.joint_scale = scaled[files.joiner]
        net = open_rows(files.predictor, threads=threads, many=not alone, notes=self.notes)
        facts = self.encoder.layout.nemo
        self.predictor = Predictor(net, files.predictor, one_scale=scaled[files.predictor], facts=facts)
        self.predict_anew = scaled[files.predictor] and not self.predictor.states
        many = not alone or not (self.joint_scale or self.decoding.frame_by_frame)
        net = open_rows(files.joiner, threads=threads, many=many, notes=self.notes)
        self.joiner = Joiner(net, files.joiner, one_scale=self.joint_scale)

    def _check(self) -> int:
        """Tokens that the joiner scores. Raises ModelError where networks or vocabulary belong to other models.

        tokens.txt may list more: icefall adds disambiguation symbols (`#0` …) that no network knows.
        """
        files = self.files
        scored = self.joiner.check_widths(
            (files.encoder.name, self.encoder.dim), (files.predictor.name, self.predictor.dim)
        )
        listed, known = len(self.vocabulary), self.predictor.vocabulary
        wrong = f"tokens.txt lists {listed}" if listed < scored else None
        if known not in (None, scored):
            wrong = f"{files.predictor.name} knows {known}"
        facts = self.encoder.layout.nemo
        if facts is not None and scored != facts.blank + 1:
            wrong = f"{files.encoder.name} knows {facts.blank} and a blank"
        if wrong is not None:
            raise ModelError(
                f"{files.joiner.name} scores {scored} tokens, but {wrong}",
                where=files.directory,
                fix="Take all files from one export",
            )
        return scored

    def _decoder(self) -> Greedy | Beam:
        chosen, facts = self.decoding, self.encoder.layout.nemo
        if chosen.method == "greedy":
            return Greedy(
                self.predictor,
                self.joiner,
                unknown_id=self.vocabulary.unknown_id if facts is None else None,
                blank_penalty=chosen.blank_penalty,
                frame_by_frame=chosen.frame_by_frame,
                symbols_per_frame=1 if facts is None else SYMBOLS_PER_FRAME,
                remembers=facts is None,
            )
        if facts is not None:
            raise InputError(
                "NeMo's models are decoded greedily here",
                where=self.files.directory,
                fix="Leave out the beam, or use sherpa:DIRECTORY",
            )
        return Beam(
            self.predictor,
            self.joiner,
            unknown_id=self.vocabulary.unknown_id,
            beam=chosen.beam,
            blank_penalty=chosen.blank_penalty,
            frame_by_frame=chosen.frame_by_frame or self.joint_scale,
            predict_anew=self.predict_anew,
            context_graph=self.decoding.context_graph(self.vocabulary, self.scored_tokens),
        )

    # --- streams ----------------------------------------------------------------------------------------------------
    def stream(self, saved: SavedStream | None = None) -> Stream:
        """A fresh, independent stream, or one that goes on where `saved` stopped."""
        return Stream(self, saved)

    def advance(self, streams: Sequence[Stream], *, ahead: int = 1) -> None:
        """Decode every complete segment of the streams, each once; they share calls where `batch_size` allows.

        `ahead` segments of a stream are encoded before they are decoded together: for audio that is all there. With endpoints
        it is one, since each segment may end the utterance. Where calls are not shared between streams, each stream's own
        segments share them (`lookahead`).
        """
        streams = list(dict.fromkeys(streams))
        alone = ahead > 1 and self.batch_size == 1
        ahead = 1 if self.endpointing is not None else ahead
        for stream in streams if alone else ():
            self._ahead(stream, ahead)
        while waiting := [stream for stream in streams if stream.ready()]:
            for start in range(0, len(waiting), self.batch_size):
                self._segments(waiting[start : start + self.batch_size], ahead)

    def _ahead(self, stream: Stream, together: int) -> None:
        """Encode several segments per call as long as that pays, and decode them `together` at a time."""
        encoder = self.lookahead.get(stream.waiting())
        while encoder is not None and (count := stream.waiting()):
            if count < SEGMENTS and (count < SEGMENTS * WORTH or not stream.finished):
                return  # a call that is not full leaves states that only a stream at its end may have
            frames = stream.encode_ahead(encoder)
            for start in range(0, len(frames), together):
                self._decode([stream], [frames[start : start + together]])

    def _segments(self, streams: Sequence[Stream], ahead: int) -> None:
        """Encode up to `ahead` segments of each stream, then decode them."""
        frames: list[list[Samples]] = [[] for _ in streams]
        for step in range(ahead):
            going = [index for index, stream in enumerate(streams) if stream.ready()]
            if not going:
                break
            encoded = self._encode([streams[index] for index in going])
            for index, rows in zip(going, encoded, strict=True):
                frames[index].append(rows.copy() if step + 1 < ahead else rows)
        self._decode(streams, frames)

    def _decode(self, streams: Sequence[Stream], frames: Sequence[Sequence[Samples]]) -> None:
        """The frames of one or more segments of each stream."""
        states = self.decoder.advance(
            [stream.decoder_state for stream in streams],
            [rows[0] if len(rows) == 1 else np.concatenate(rows) for rows in frames],
            [stream.tally for stream in streams],
        )
        for stream, state, parts in zip(streams, states, frames, strict=True):
            stream.decoded(state, len(parts))

    def _encode(self, streams: Sequence[Stream]) -> list[Samples]:
        """The next segment of each stream → its frames."""
        for stream in streams:
            stream.fill()
        return [streams[0].encode()] if len(streams) == 1 else self._encode_together(streams)

    def _encode_together(self, streams: Sequence[Stream]) -> list[Samples]:
        shift = self.encoder.layout.shift_frames
        kept = [stream.kept() for stream in streams]
        frames, states = self.encoder.run(
            batch_of(streams), [stream.segments * shift for stream in streams], [s.slot.states for s in streams]
        )
        streams[0].tally.encoder_calls += 1
        for stream, after in zip(streams, states, strict=True):
            stream.slot.states = after
            stream.encoded()
        return [rows[:count] for rows, count in zip(frames, kept, strict=True)]

    # --- files ------------------------------------------------------------------------------------------------------
    def settle(self, audio_s: float, *, to_keep: bool = False) -> None:
        """Get ready for files of so many seconds in all: whatever `transcribe` uses for them is opened now, or never.

        For whoever measures; without it, it is opened once enough audio has come. `to_keep`: only to have it kept on disk.
        """
        if self.batch_size == 1:
            self.lookahead.settle(int(audio_s / (self.encoder.layout.shift_frames * FRAME_SHIFT_S)), to_keep=to_keep)

    def transcribe(self, batch: Iterable[Samples]) -> list[Transcript]:
        """The transcript of each piece of audio, in order; up to `batch_size` of them share encoder calls."""
        return list(self.transcribe_each(batch))

    def transcribe_each(self, batch: Iterable[Samples]) -> Iterator[Transcript]:
        """`transcribe`, one after the other as they are done."""
        waiting = iter(batch)
        while group := [audio for _, audio in zip(range(self.batch_size), waiting, strict=False)]:
            streams = [self.stream() for _ in group]
            for stream, audio in zip(streams, group, strict=True):
                stream.buffer(audio)
                stream.close()
            self.advance(streams, ahead=SEGMENTS_AHEAD)
            for stream in streams:
                stream.release()
                yield whole(stream)


def whole(stream: Stream) -> Transcript:
    """Everything that a finished stream transcribed, utterances before endpoints included."""
    last = stream.partial()
    parts = [utterance.transcript for utterance in stream.ended] + [last]
    return Transcript(
        text=" ".join(part.text for part in parts if part.text),
        tokens=tuple(token for part in parts for token in part.tokens),
        counts=last.counts,
    )


def _encoder(path: Path, threads: int, rewriting: bool, alone: bool, notes: list[str]) -> Encoder:
    """The encoder, of its rewritten graph; as it was exported, should the rewritten one not run."""
    net, apart = open_encoder(path, threads=threads, rewriting=rewriting, alone=alone, notes=notes)
    try:
        return Encoder(net, path, streams_apart=apart)
    except ModelError:
        if not rewriting:
            raise
    return _encoder(path, threads, False, alone, notes)


@as_found()
def open_transducer(
    directory: str | Path,
    *,
    precision: str | None = None,
    threads: int = 1,
    decoding: str | Decoding = "greedy",
    beam: int = 4,
    blank_penalty: float = 0.0,
    frame_by_frame: bool = False,
    phrases: Sequence[Phrase | str] = (),
    tail_s: float | None = None,
    endpointing: Endpointing | None = None,
    batch_size: int = 1,
    rewriting: bool = True,
) -> Transducer:
    """Load an exported transducer. Raises ModelError (which file, what is wrong, what to do) and InputError (options).

    `tail_s`: silence appended to an utterance; None takes what the model's segments need. `rewriting` False runs the
    encoder's graph as it was exported.
    """
    if isinstance(decoding, str):
        decoding = Decoding(
            method=decoding,
            beam=beam,
            blank_penalty=blank_penalty,
            frame_by_frame=frame_by_frame,
            phrases=tuple(phrases),
        )
    else:
        decoding = replace(decoding)
    files = find_files(directory, precision)
    try:
        return Transducer(
            files,
            threads=threads,
            decoding=decoding,
            tail_s=tail_s,
            endpointing=endpointing,
            batch_size=batch_size,
            rewriting=rewriting,
        )
    except FOREIGN as error:  # graphs are programs of others: what they give has any shape
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ModelError(
            f"its graphs are none that this runtime can take ({reason})",
            where=files.directory,
            fix="Export the model again in sherpa-onnx's layout",
        ) from error
