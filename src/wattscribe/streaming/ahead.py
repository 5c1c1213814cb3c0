"""Several consecutive segments of a file in one encoder call: made when there is enough audio to pay for it, then checked."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from wattscribe.errors import ModelError
from wattscribe.graph import cache, session
from wattscribe.graph.memory import give_back
from wattscribe.graph.names import shortened
from wattscribe.graph.read import parse_model, read_model
from wattscribe.graph.unroll import CannotUnroll, unroll
from wattscribe.streaming import opening
from wattscribe.streaming.layout import Array

if TYPE_CHECKING:
    from wattscribe.streaming.encoder import Encoder, Features, States

SEGMENTS = 8
"""Segments per call: a segment takes 0.69 of its own call's time in fours, 0.61 in eights (zipformer, 1 thread); in sixteens
little less, and the last call of a file is emptier."""
WORTH = 0.65
"""A call for eight takes the time of about five: with fewer segments left than that, they go one by one."""
_PAYS_AFTER = 150
"""Segments. Making it takes the time that about so many calls save."""
_OPENING = 4
"""Opening one that was kept takes so much less."""


class Ahead:
    """The encoder rewritten for `SEGMENTS` segments. It keeps nothing between calls, so streams may share it across threads."""

    def __init__(self, encoder: Encoder, net: Any) -> None:
        self._encoder, self._net = encoder, net
        shape = encoder.layout
        self._names = [f"{name}/out" for name in (shape.output, *(spec.output for spec in shape.states))]

    def room(self) -> Features:
        """A place for the features of one call [SEGMENTS, T, mels]; segments that are not filled are zeros."""
        return np.zeros((SEGMENTS, *self._encoder.segment_shape), np.float32)

    def run(self, features: Features, first: int, states: States) -> tuple[Array, States]:
        """Encode SEGMENTS segments, `first` of its stream and those after it → frames [SEGMENTS, F, D], the next states."""
        shape = self._encoder.layout
        feeds = shape.feeds(features, [(first + k) * shape.shift_frames for k in range(SEGMENTS)], states)
        frames, *after = session.run(self._net, self._encoder.path, self._names, feeds)
        session.require_numbers(frames, self._encoder.path)
        return self._encoder.layout.turned(frames), tuple(after)


class Lookahead:
    """Decides whether files are encoded several segments at a time, and says why not."""

    def __init__(self, encoder: Encoder, *, allowed: bool, threads: int) -> None:
        self._encoder, self._threads = encoder, threads
        self._ahead: Ahead | None = None
        self._seen = 0
        self._making = threading.Lock()
        self.refused: str | None = None if allowed else "the graph runs as it was exported"
        """Why this encoder takes one segment at a time."""

    def get(self, segments: int) -> Ahead | None:
        """The rewritten encoder, once files of enough segments have come, `segments` now; None: one by one.

        While one thread makes it, the others go one by one.
        """
        if self._ahead is None and self.refused is None and self._making.acquire(blocking=False):
            try:
                self._seen += segments
                self._decide(opening=self._seen >= _PAYS_AFTER // _OPENING, making=self._seen >= _PAYS_AFTER)
            finally:
                self._making.release()
        return self._ahead

    def settle(self, segments: int, *, to_keep: bool = False) -> None:
        """Decide now and for good, for files of so many segments in all: nothing is made or opened while they are heard.

        `to_keep`: made where opening it again will pay. Else it is only opened, for whoever can keep it has made it by then;
        made where nothing is kept.
        """
        with self._making:
            pays = segments >= _PAYS_AFTER // _OPENING
            if self._ahead is None and self.refused is None:
                unkept = segments >= _PAYS_AFTER and _place(self._encoder) is None
                self._decide(opening=pays, making=(to_keep and pays) or unkept)
            if self._ahead is None and self.refused is None:
                self.refused = f"none is kept, or {segments} segments are too few for it to pay"

    def _decide(self, *, opening: bool, making: bool) -> None:
        """Open the one that was kept, else make it; or note why not."""
        try:
            if opening:
                self._ahead = _kept(self._encoder, self._threads)
            if making and self._ahead is None:
                self._ahead = make(self._encoder, self._threads)
        except (CannotUnroll, ModelError) as error:
            self.refused = str(error)


def _kept(encoder: Encoder, threads: int) -> Ahead | None:
    """The one that was made and tried on an earlier day."""
    net = opening.kept(encoder.path, _place(encoder), threads)
    return None if net is None else Ahead(encoder, net)


def _place(encoder: Encoder) -> Path | None:
    return cache.place(encoder.path, f"encoder ahead {SEGMENTS} of {'any' if encoder.layout.batchable else 'one'}")


def make(encoder: Encoder, threads: int) -> Ahead:
    """Rewrite the graph as onnxruntime has optimised it, and try it. Raises CannotUnroll or ModelError."""
    shape = encoder.layout
    features, states = encoder.noise(SEGMENTS)
    with tempfile.TemporaryDirectory(prefix="wattscribe-") as folder:
        optimised = Path(folder) / "encoder.onnx"
        opening.open_encoder(
            encoder.path, threads=threads, rewriting=True, alone=not encoder.layout.batchable, saved=optimised
        )
        model = read_model(optimised)
        if opening.external(model):
            raise CannotUnroll("its weights lie in a file beside it")
        feeds = shape.feeds(features[:1], [0], states)
        changed = unroll(model, feeds, shape.states, shape.output, SEGMENTS, at_most=0.5)
        del model
    changed = shortened(parse_model(changed, encoder.path)) or changed
    with cache.writing(_place(encoder)) as new:
        net = session.open_session(encoder.path, threads=threads, model=changed, optimised=False, saved=new)
        del changed
        give_back()
        ahead = Ahead(encoder, net)
        if not _same(encoder, ahead, features, states):
            raise CannotUnroll("segments encoded together differ from those encoded one by one")
    encoder.release(encoder.slot().settled())
    give_back()
    return ahead


def _same(encoder: Encoder, ahead: Ahead, features: Array, states: States) -> bool:
    """Bit for bit, frames and states, over two calls."""
    slot = encoder.slot()
    slot.states = after = states
    for first in (0, SEGMENTS):
        frames, after = ahead.run(features, first, after)
        for index, segment in enumerate(features):
            slot.features[0] = segment
            if not np.array_equal(slot.run((first + index) * encoder.layout.shift_frames), frames[index]):
                return False
        if not all(np.array_equal(one, other) for one, other in zip(slot.states, after, strict=True)):
            return False
    return True
