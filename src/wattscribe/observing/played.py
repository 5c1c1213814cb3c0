"""Recorded calls played through a cache that keeps what was used last: every value that their networks read and write."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from wattscribe.energy.observed import AsExecuted
from wattscribe.observing.addresses import size_of
from wattscribe.observing.callgrind import LINE_BYTES
from wattscribe.observing.executed import Network, Networks, Places, kind_of
from wattscribe.observing.kernels import Memory, Span, touch
from wattscribe.observing.lru import Lru
from wattscribe.observing.recorded import Call

if TYPE_CHECKING:
    from wattscribe.streaming import Transducer


@dataclass(frozen=True, slots=True)
class _Account:
    """Lines of onnxruntime's own account: read by a call, of those changed, and written without having been read.

    Measured by callgrind past 256 kB, onnxruntime 1.31, not taken from the models that are counted. 1,000 Adds of one element
    read 784 bytes and write 349 per node, of which 228 did not lie there; with a weight of its own for each 1,327, 601 and 278.
    Ten of the latter, behind something that empties the cache, read 29.1 kB and write 17.4, 10.2 of it new: the rest is the call.
    """

    read: int
    changed: int
    new: int

    @property
    def lines(self) -> int:
        return self.read + self.new


_OF_CALL, _OF_STEP, _OF_WEIGHT = _Account(248, 61, 117), _Account(12, 1, 4), _Account(7, 3, 1)


class Player:
    """A cache, and the memory of a transducer's networks behind it. Calls are played one by one; the cache keeps what it has."""

    def __init__(self, transducer: Transducer, folder: Path, cache_bytes: int) -> None:
        self._places = Places()
        self._networks = Networks(transducer, folder, self._places)
        self._states = {
            "encoder": tuple((spec.name, spec.output) for spec in transducer.encoder.layout.states),
            "predictor": tuple((spec.name, spec.output) for spec in transducer.predictor.states),
        }
        self._outside: dict[tuple[object, ...], Span] = {}
        self._encoded = 0
        self._moved: Counter[str] = Counter()
        moved = self._moves
        cache = Lru(cache_bytes // LINE_BYTES, moved, lambda start, lines: None, moved)
        self._memory = Memory(cache.read, cache.write)

    def _moves(self, start: int, lines: int) -> None:
        self._moved[kind_of(start * LINE_BYTES)] += lines * LINE_BYTES

    def play(self, calls: Sequence[Call], places: Sequence[int]) -> list[AsExecuted]:
        """What each of these calls moves; `places` of the calls among all that were recorded."""
        return [self._play(calls[place], place) for place in places]

    def _play(self, call: Call, place: int) -> AsExecuted:
        network = self._networks.of(call)
        spans = self._spans(call, place, network)
        self._moved.clear()
        self._note(None, None, _OF_CALL)  # what does not grow with the graph is common to all of them
        noted: set[str] = set()
        for number, step in enumerate(network.steps):
            self._note(call.component, number, _OF_STEP)
            for name in step.inputs:
                if name in network.weights and name not in noted:
                    noted.add(name)
                    self._note(call.component, name, _OF_WEIGHT)
            touch(step, spans, network.typed, self._memory, network.scratch)
        return AsExecuted(
            weight_bytes=self._moved["weights"],
            state_bytes=self._moved["states"],
            activation_bytes=self._moved["activations"],
            runtime_bytes=self._moved["runtime"],
        )

    def _note(self, component: str | None, what: object, account: _Account) -> None:
        start, _ = self._place("runtime", account.lines * LINE_BYTES, component, what)
        self._memory.read(start, account.read * LINE_BYTES)
        self._memory.write(start, account.changed * LINE_BYTES)
        self._memory.write(start + account.read * LINE_BYTES, account.new * LINE_BYTES)

    def _spans(self, call: Call, place: int, network: Network) -> Mapping[str, Span]:
        """Every value where this call finds it."""
        own = {**network.spans, **self._given(call, place, network)}
        return {
            name: own[name] if name in network.weights else (own[home][0], size_of(network.typed[name]))
            for name, home in network.homes.items()
        }

    def _given(self, call: Call, place: int, network: Network) -> dict[str, Span]:
        """Inputs and outputs. An encoder's states lie in two sets that change places at every call; what goes into the other
        networks is a call's own."""
        encoder = call.component == "encoder"
        now, then = (self._encoded % 2, 1 - self._encoded % 2) if encoder else (0, 1)
        self._encoded += encoder
        spans: dict[str, Span] = {}
        for name, output in self._states.get(call.component, ()):
            size = size_of(network.typed[name])
            spans[name] = self._place("states", size, call.component, name, now)
            spans[output] = self._place("states", size, call.component, name, then)
        for name in (*network.inputs, *network.outputs):
            if name not in spans and name in network.typed:
                of_call = () if encoder or name in network.outputs else (place,)
                spans[name] = self._place(
                    "activations", size_of(network.typed[name]), call.component, name, call.rows, *of_call
                )
        return spans

    def _place(self, kind: str, size: int, *key: object) -> Span:
        """The same one every time."""
        whose = (kind, *key)
        if whose not in self._outside:
            self._outside[whose] = self._places.take(kind, size)
        return self._outside[whose]


def per_call(moved: Sequence[AsExecuted]) -> AsExecuted:
    """The mean."""
    return AsExecuted(
        **{kind.name: sum(getattr(each, kind.name) for each in moved) / len(moved) for kind in fields(AsExecuted)}
    )
