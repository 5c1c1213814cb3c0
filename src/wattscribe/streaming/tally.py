"""What a stream has done so far, counted where it is done."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from wattscribe.records import Counts


@dataclass(slots=True)
class Tally:
    """Running counts of one stream, with the fields of `records.Counts` that a transducer fills.

    A call that several streams share is counted once, for the first of them: sums over streams are exact invocations.
    Rows: an encoder row is one stream's segment, a predictor row one hypothesis, a joiner row one frame of one hypothesis.
    `padded_frames` are encoder frames that begin after the last sample of real audio.
    """

    encoder_calls: int = 0
    encoder_rows: int = 0
    predictor_calls: int = 0
    predictor_rows: int = 0
    joiner_calls: int = 0
    joiner_rows: int = 0
    frames: int = 0
    blanks: int = 0
    tokens: int = 0
    padded_frames: int = 0

    def counts(self) -> Counts:
        return Counts(**dataclasses.asdict(self))

    @classmethod
    def of(cls, counts: Counts) -> Tally:
        return cls(**{item.name: getattr(counts, item.name) for item in dataclasses.fields(cls)})
