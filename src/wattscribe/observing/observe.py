"""`profile --observe`: a few segments of a real decode, simulated, and put beside the energy model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from wattscribe.energy.breakdown import Breakdown
from wattscribe.energy.observed import AsExecuted, Observed, Seen, SeenCall, compared
from wattscribe.observing.callgrind import Crossed, Dump
from wattscribe.observing.memory import cache_of
from wattscribe.observing.played import Player, per_call
from wattscribe.observing.recorded import COMPONENTS, Call, segments
from wattscribe.observing.simulate import simulate

if TYPE_CHECKING:
    from wattscribe.streaming import Transducer

SEGMENTS = 3
"""Simulated together, the first of them to fill the cache: the calls that follow an encoder call vary with what is said."""
_ENCODER_CALLS = 2
"""Simulated alone: one for each of its sets of states. Of the other components all calls of the segments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The calls to be simulated, and in which groups; what a group is for."""

    calls: tuple[Call, ...]
    alone: Mapping[str, tuple[int, ...]]
    first: int
    """Calls of the first segment."""
    end: int
    """Calls of all segments. Behind them is one of a component that is not in them."""

    @property
    def groups(self) -> list[tuple[int, ...]]:
        """Each component's calls twice, the second time counted; then all in their order, after the first segment one by one."""
        alone = [group for name in self.alone for group in (self.alone[name], self.counted_alone(name))]
        return [*alone, tuple(range(self.first)), *((index,) for index in range(self.first, self.end))]

    def counted_alone(self, name: str) -> tuple[int, ...]:
        """An encoder's calls are all alike, and take nearly all of the time."""
        return self.alone[name][:1] if name == "encoder" else self.alone[name]


def plan(calls: Sequence[Call]) -> Plan:
    """The consecutive segments that are most like the whole decode, their start excepted."""
    parts = list(segments(calls))
    usual = parts[1:-1] if len(parts) >= SEGMENTS + 2 else parts
    starts = range(max(1, len(usual) - SEGMENTS + 1))
    wanted = SEGMENTS * sum(map(len, usual)) / len(usual)
    start = min(starts, key=lambda each: abs(sum(map(len, usual[each : each + SEGMENTS])) - wanted))
    chosen = [calls[index] for part in usual[start : start + SEGMENTS] for index in part]
    absent = [name for name in COMPONENTS if not _alone_of(chosen, name)]
    more = [call for name in absent for call in calls if call.component == name]
    every = (*chosen, *{call.component: call for call in reversed(more)}.values())
    alone = {name: _alone_of(every, name) for name in COMPONENTS}
    return Plan(
        calls=every,
        alone={name: indices for name, indices in alone.items() if indices},
        first=len(usual[start]) if len(usual) > start + 1 else 0,
        end=len(chosen),
    )


def _alone_of(calls: Sequence[Call], name: str) -> tuple[int, ...]:
    indices = tuple(index for index, call in enumerate(calls) if call.component == name)
    return indices[:_ENCODER_CALLS] if name == "encoder" else indices


def observe(
    breakdown: Breakdown,
    calls: Sequence[Call],
    transducer: Transducer,
    options: Mapping[str, Any],
    utterance: str,
    say: Callable[[str], None],
) -> Observed:
    """Simulate what is like the recorded `calls` of the model, opened with `options`. Raises InputError and WattscribeError."""
    capacity = breakdown.device.local.capacity_bytes
    cache, planned = cache_of(capacity), plan(calls)
    say(f"{len(planned.calls)} of {len(calls)} recorded calls go through a simulated cache of {cache.size_bytes} bytes")
    executed = play(transducer, planned, cache.size_bytes)
    model = str(transducer.files.directory.resolve())
    dumps = simulate(model, options, planned.calls, planned.groups, cache, say)
    each_call = dumps[2 * len(planned.alone) + 1 :]
    together = planned.calls[planned.first : planned.end]
    interpreter = seen([dump.interpreter for dump in each_call], len(each_call))
    return Observed(
        local_memory_bytes=capacity,
        simulated_bytes=cache.size_bytes,
        components=compared(
            breakdown.workload,
            breakdown.rates,
            breakdown.device,
            breakdown.placement,
            breakdown.activations,
            rows={name: _mean_rows(planned, name) for name in planned.alone},
            alone={
                name: (
                    per_call(executed[2 * number + 1]),
                    seen([dumps[2 * number + 1].runtime], len(planned.counted_alone(name))),
                )
                for number, name in enumerate(planned.alone)
            },
            shared={name: _shared(planned, name, executed, dumps) for name in planned.alone},
        ),
        calls=tuple(
            SeenCall(component=call.component, rows=call.rows, seen=seen([dump.runtime], 1))
            for call, dump in zip(together, each_call, strict=True)
        ),
        interpreter_bytes=interpreter.total_bytes,
        utterance=utterance,
    )


def play(transducer: Transducer, planned: Plan, cache_bytes: int) -> list[list[AsExecuted]]:
    """What each call of each group moves, as executed."""
    with TemporaryDirectory(prefix="wattscribe-executed-") as folder:
        player = Player(transducer, Path(folder), cache_bytes)
        return [player.play(planned.calls, group) for group in planned.groups]


def _mean_rows(planned: Plan, name: str) -> float:
    of_alone = planned.counted_alone(name)
    return sum(planned.calls[index].rows for index in of_alone) / len(of_alone)


def _shared(
    planned: Plan, name: str, executed: Sequence[Sequence[AsExecuted]], dumps: Sequence[Dump]
) -> tuple[AsExecuted, Seen] | None:
    """Its calls among the others; None where there are none."""
    start = 2 * len(planned.alone) + 1
    own = [
        start + place for place, call in enumerate(planned.calls[planned.first : planned.end]) if call.component == name
    ]
    if not own:
        return None
    return per_call([executed[place][0] for place in own]), seen([dumps[place].runtime for place in own], len(own))


def seen(moved: Sequence[Crossed], calls: int) -> Seen:
    """Per call."""
    total = sum(moved, Crossed())
    return Seen(read_bytes=total.read_bytes / calls, written_bytes=total.written_bytes / calls)
