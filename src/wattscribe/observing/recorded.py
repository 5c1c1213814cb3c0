"""A few seconds of a real decode, call by call: what goes into encoder, predictor and joiner, and in which order."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from wattscribe.observing.replayed import FEEDS, JOB

if TYPE_CHECKING:
    from wattscribe.streaming import Transducer
    from wattscribe.streaming.features import Samples

COMPONENTS = ("encoder", "predictor", "joiner")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of a component."""

    component: str
    rows: int
    feeds: Mapping[str, Any]
    outputs: Sequence[str] = ()
    before: int = 0
    """Feature frames before an encoder's segment."""


def record(transducer: Transducer, decode: Callable[[Samples], object], audio: Samples) -> list[Call]:
    """The calls of `decode(audio)`, which uses the transducer, in their order."""
    calls: list[Call] = []
    slots: list[Any] = []
    opened = transducer.encoder.slot
    asked = {name: getattr(transducer, name)._run for name in COMPONENTS[1:]}

    def asking(name: str) -> Callable[..., Any]:
        def ask(net: Any, path: Path, outputs: list[str], feeds: Mapping[str, Any]) -> Any:
            copies = {key: np.array(value) for key, value in feeds.items()}
            rows = len(next(iter(copies.values())))
            calls.append(Call(component=name, rows=rows, feeds=copies, outputs=list(outputs)))
            return asked[name](net, path, outputs, feeds)

        return ask

    def slot() -> Any:
        stream_slot = opened()
        run = stream_slot.run

        def encode(before: int) -> Any:
            calls.append(
                Call(component="encoder", rows=1, feeds={"features": stream_slot.features.copy()}, before=int(before))
            )
            return run(before)

        _set(stream_slot, "run", encode)
        slots.append(stream_slot)
        return stream_slot

    _set(transducer.encoder, "slot", slot)
    for name in asked:
        _set(getattr(transducer, name), "_run", asking(name))
    try:
        decode(audio)
    finally:
        _set(transducer.encoder, "slot", opened)
        for each in slots:  # other streams may get them
            del each.run
        for name, run in asked.items():
            _set(getattr(transducer, name), "_run", run)
    return calls


def _set(owner: Any, name: str, value: Any) -> None:
    """On this object alone; type checkers forbid it, since nothing but a recording does it."""
    setattr(owner, name, value)


def segments(calls: Sequence[Call]) -> Iterator[list[int]]:
    """Places of the calls of each segment: an encoder call and what follows it until the next."""
    current: list[int] = []
    for index, call in enumerate(calls):
        if call.component == "encoder" and current:
            yield current
            current = []
        current.append(index)
    if current:
        yield current


def write_job(
    folder: Path, model: str, options: Mapping[str, Any], calls: Sequence[Call], groups: Sequence[Sequence[int]]
) -> None:
    """What the simulated process reads."""
    job = {
        "model": model,
        "options": dict(options),
        "calls": [
            {
                "component": call.component,
                "before": call.before,
                "inputs": list(call.feeds),
                "outputs": list(call.outputs),
            }
            for call in calls
        ],
        "groups": [list(group) for group in groups],
    }
    (folder / JOB).write_text(json.dumps(job), encoding="utf-8")
    arrays = {f"{index}:{name}": value for index, call in enumerate(calls) for name, value in call.feeds.items()}
    np.savez(folder / FEEDS, **arrays)
