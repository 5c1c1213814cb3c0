"""A loaded transducer: open a directory, run streams, transcribe files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from pathlib import Path

import numpy as np

from wattscribe.as_found import as_found
from wattscribe.errors import InputError, ModelError
from wattscribe.records import Transcript
from wattscribe.streaming.ahead import SEGMENTS, WORTH, Lookahead
from wattscribe.streaming.beam import Beam
from wattscribe.streaming.context import ContextGraph
from wattscribe.streaming.encoder import Encoder
from wattscribe.streaming.endpoint import Endpointing
from wattscribe.streaming.features import FRAME_SHIFT_S, Samples
from wattscribe.streaming.files import TransducerFiles, Vocabulary, find_files, read_vocabulary
from wattscribe.streaming.giving import give_back
from wattscribe.streaming.greedy import Greedy
from wattscribe.streaming.joiner import Joiner
from wattscribe.streaming.opening import open_encoder, open_rows, takes_one_scale
from wattscribe.streaming.predictor import Predictor
from wattscribe.streaming.stream import SavedStream, Stream, batch_of

DECODINGS = ("greedy", "beam")
TAIL_S = 0.8
"""Silence appended at the end of an utterance, so that its last segment is complete (MODEL.md of the zipformer)."""


SEGMENTS_AHEAD = 2
"""Segments of a file that are decoded together: the joiner's calls fall by a fifth. With more its extra rows cost more time than
the calls that they save (zipformer, 1 thread)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoding:
    """How the joiner's answers become text."""

    method: str = "greedy"
    beam: int = 4
    blank_penalty: float = 0.0
    frame_by_frame: bool = False
    phrases: tuple[tuple[int, ...], ...] = ()
    """Token sequences that beam search favours, numbers as in tokens.txt."""
    phrase_score: float = 1.5

    def __post_init__(self) -> None:
        if self.method not in DECODINGS:
            raise InputError(f"there is no decoding {self.method!r}", fix="One of: " + ", ".join(DECODINGS))
        if self.beam < 1:
            raise InputError(f"beam is {self.beam}", fix="It must be 1 or more")
        if not 0 <= self.blank_penalty < float("inf"):
            raise InputError(f"blank_penalty is {self.blank_penalty}", fix="It must be 0 or more")
        if self.phrases and self.method != "beam":
            raise InputError("phrases need beam search", fix="Use decoding beam")
        object.__setattr__(self, "phrases", tuple(_numbers(phrase) for phrase in self.phrases))

    def check_vocabulary(self, vocabulary: Vocabulary) -> None:
        """Raises InputError for a phrase with a token that is never emitted: it would be favoured in vain."""
        for phrase in self.phrases:
            for token in phrase:
                if not 0 < token < len(vocabulary) or token == vocabulary.unknown_id:
                    raise InputError(
                        f"phrase {phrase} holds {token}, which is never emitted",
                        where=vocabulary.path,
                        fix=f"Its tokens are 1 to {len(vocabulary) - 1}, the unknown one excepted",
                    )

    def check_saved(self, then: Decoding) -> None:
        """Raises InputError where hypotheses that were saved from `then` mean nothing here."""
        if then.method != self.method:
            raise InputError(
                f"the stream was saved from decoding {then.method}, but this transducer decodes {self.method}",
                fix=f"Open the model with decoding {then.method}",
            )
        if (then.phrases, then.phrase_score) != (self.phrases, self.phrase_score):
            raise InputError(
                f"the stream was saved with {_favoured(then)}, but this transducer has {_favoured(self)}",
                fix="Open the model with the phrases and the phrase_score of then",
            )


def _check_count(name: str, value: object) -> None:
    """Raises InputError."""
    if not isinstance(value, Integral) or value < 1:
        raise InputError(f"{name} is {value!r}", fix="It must be a whole number, 1 or more")


def _numbers(phrase: object) -> tuple[int, ...]:
    """A phrase as plain token numbers. Raises InputError for text, and for a phrase without tokens."""
    tokens = tuple(phrase) if isinstance(phrase, Iterable) and not isinstance(phrase, str | bytes) else ()
    if not tokens or not all(isinstance(token, Integral) for token in tokens):
        raise InputError(f"phrase {phrase!r} is not a sequence of token numbers", fix="Look them up in tokens.txt")
    return tuple(int(token) for token in tokens)


def _favoured(decoding: Decoding) -> str:
    phrases = decoding.phrases
    shown = ", ".join(map(str, phrases[:3])) + (", …" if len(phrases) > 3 else "")
    return f"phrases {shown} at {decoding.phrase_score}" if phrases else "no phrases"


class Transducer:
    """Encoder, predictor, joiner and vocabulary of one directory, ready to run."""

    def __init__(
        self,
        files: TransducerFiles,
        *,
        threads: int = 1,
        decoding: Decoding | None = None,
        tail_s: float = TAIL_S,
        endpointing: Endpointing | None = None,
        batch_size: int = 1,
        rewriting: bool = True,
    ) -> None:
        if not 0 <= tail_s < float("inf"):
            raise InputError(f"tail_s is {tail_s}", fix="It must be 0 or more")
        _check_count("threads", threads)
        _check_count("batch_size", batch_size)
        self.files, self.tail_s, self.endpointing = files, tail_s, endpointing
        self.decoding = decoding or Decoding()
        self.vocabulary: Vocabulary = read_vocabulary(files.tokens)
        self.decoding.check_vocabulary(self.vocabulary)
        give_back()
        self.encoder = _encoder(files.encoder, threads, rewriting, alone=batch_size == 1)
        self.lookahead = Lookahead(self.encoder, allowed=rewriting, threads=threads)
        self._open_rows(threads, batch_size)
        self._check()
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
        net = open_rows(files.predictor, threads=threads, many=not alone)
        self.predictor = Predictor(net, files.predictor, one_scale=scaled[files.predictor])
        self.predict_anew = scaled[files.predictor] and not self.predictor.states
        many = not alone or not (self.joint_scale or self.decoding.frame_by_frame)
        net = open_rows(files.joiner, threads=threads, many=many)
        self.joiner = Joiner(net, files.joiner, one_scale=self.joint_scale)

    def _check(self) -> None:
        """Do the three networks and the vocabulary belong together? Raises ModelError."""
        files = self.files
        size = self.joiner.check_widths(
            (files.encoder.name, self.encoder.dim), (files.predictor.name, self.predictor.dim)
        )
        for what, value in (
            (f"{files.joiner.name} scores", size),
            (f"{files.predictor.name} knows", self.predictor.vocabulary),
        ):
            if value is not None and value != len(self.vocabulary):
                raise ModelError(
                    f"{what} {value} tokens, but tokens.txt lists {len(self.vocabulary)}",
                    where=files.directory,
                    fix="Take all files from one export",
                )

    def _decoder(self) -> Greedy | Beam:
        chosen = self.decoding
        if chosen.method == "greedy":
            return Greedy(
                self.predictor,
                self.joiner,
                unknown_id=self.vocabulary.unknown_id,
                blank_penalty=chosen.blank_penalty,
                frame_by_frame=chosen.frame_by_frame,
            )
        return Beam(
            self.predictor,
            self.joiner,
            unknown_id=self.vocabulary.unknown_id,
            beam=chosen.beam,
            blank_penalty=chosen.blank_penalty,
            frame_by_frame=chosen.frame_by_frame or self.joint_scale,
            predict_anew=self.predict_anew,
            context_graph=ContextGraph(chosen.phrases, chosen.phrase_score) if chosen.phrases else None,
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
    def transcribe(self, batch: Iterable[Samples]) -> list[Transcript]:
        """The transcript of each piece of audio, in order; up to `batch_size` of them share encoder calls."""
        return list(self.transcribe_each(batch))

    def transcribe_each(self, batch: Iterable[Samples]) -> Iterator[Transcript]:
        """`transcribe`, one after the other as they are done."""
        waiting = iter(batch)
        while group := [audio for _, audio in zip(range(self.batch_size), waiting, strict=False)]:
            streams = [self.stream() for _ in group]
            for stream, audio in zip(streams, group, strict=True):
                stream.hear(audio)
                stream.close()
            self.advance(streams, ahead=SEGMENTS_AHEAD)
            for stream in streams:
                stream.release()
                yield whole(stream)


def whole(stream: Stream) -> Transcript:
    """Everything a finished stream has heard, utterances before endpoints included."""
    last = stream.partial()
    parts = [each.transcript for each in stream.ended] + [last]
    return Transcript(
        text=" ".join(part.text for part in parts if part.text),
        tokens=tuple(token for part in parts for token in part.tokens),
        counts=last.counts,
    )


def _encoder(path: Path, threads: int, rewriting: bool, alone: bool) -> Encoder:
    """The encoder, of its rewritten graph; as it was exported, should the rewritten one not run."""
    net, apart = open_encoder(path, threads=threads, rewriting=rewriting, alone=alone)
    try:
        return Encoder(net, path, streams_apart=apart)
    except ModelError:
        if not rewriting:
            raise
    return _encoder(path, threads, rewriting=False, alone=alone)


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
    tail_s: float = TAIL_S,
    endpointing: Endpointing | None = None,
    batch_size: int = 1,
    rewriting: bool = True,
) -> Transducer:
    """Load an exported transducer. Raises ModelError (which file, what is wrong, what to do) and InputError (options).

    `rewriting` False runs the encoder's graph as it was exported.
    """
    if isinstance(decoding, str):
        decoding = Decoding(method=decoding, beam=beam, blank_penalty=blank_penalty, frame_by_frame=frame_by_frame)
    else:
        decoding = replace(decoding)
    return Transducer(
        find_files(directory, precision),
        threads=threads,
        decoding=decoding,
        tail_s=tail_s,
        endpointing=endpointing,
        batch_size=batch_size,
        rewriting=rewriting,
    )
