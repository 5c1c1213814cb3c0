"""The simulated process, `python -m wattscribe.observing.replayed FOLDER PARENT`: opens a transducer, makes recorded calls again.

Between two groups of calls it calls `MARK`, before which callgrind writes a dump and counts from zero. It imports and opens
before the simulator is switched on, which its parent does once `READY` lies in the folder, and says so by `GO`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

JOB, FEEDS, READY, GO = "job.json", "feeds.npz", "ready", "go"
MARK = "ctermid"
"""A function of the C library that Python calls for `os.ctermid` and nothing else calls: it copies a constant.

By `ctypes` no function can be marked: libffi jumps to it in a way that callgrind does not take for a call."""


def main(folder: Path) -> None:
    """The small networks once without the simulator, for what a first call of each shape does more; then group by group."""
    import numpy as np

    job = json.loads((folder / JOB).read_bytes())
    with np.load(folder / FEEDS, allow_pickle=False) as feeds:
        arrays = {name: np.ascontiguousarray(feeds[name]) for name in feeds.files}
    calls = _calls(job, arrays)
    for each, call in zip(job["calls"], calls, strict=True):
        if each["component"] != "encoder":  # whose calls all have one shape, and opening it makes one
            call()
    groups = [[calls[index] for index in group] for group in job["groups"]]
    (folder / READY).touch()
    while not (folder / GO).exists():
        time.sleep(0.01)
    for group in groups:
        os.ctermid()
        for call in group:
            call()
    os.ctermid()
    os._exit(0)  # what ends an interpreter would only be simulated


def _calls(job: Any, arrays: dict[str, Any]) -> list[Callable[[], object]]:
    """One function for each recorded call, which does what the runtime does."""
    from wattscribe import first_run
    from wattscribe.graph import session
    from wattscribe.streaming import open_transducer

    first_run.LONGEST_S = 1e6  # these graphs have run: here they take fifty times as long
    transducer = open_transducer(job["model"], **job["options"])
    slot = transducer.encoder.slot()
    calls: list[Callable[[], object]] = []
    for index, each in enumerate(job["calls"]):
        if each["component"] == "encoder":
            calls.append(partial(_encode, slot, arrays[f"{index}:features"], each["before"]))
            continue
        part = transducer.predictor if each["component"] == "predictor" else transducer.joiner
        given = {name: arrays[f"{index}:{name}"] for name in each["inputs"]}
        calls.append(partial(session.run, part.net, part.path, each["outputs"], given))
    return calls


def _encode(slot: Any, features: Any, before: int) -> None:
    slot.features[...] = features
    slot.run(before)


if __name__ == "__main__":
    from wattscribe.runs.process import die_with

    die_with(int(sys.argv[2]))  # it would wait for its orders for ever
    main(Path(sys.argv[1]))
