"""Thousands of unsound files for every reader: `python -m benchmarks.attack [EXAMPLES [MINUTES [READER,…]]]`.

Readers of text, a transducer's files and what runs them, journals. 2,000 examples a reader and half an hour unless said; what
the time does not reach is left out, and `left_out` says so. `within`: each was taken or refused in one line, none in a
traceback, none killed the process, and none took more than five seconds of processor time. What is found is told with the seed
that draws it again. Each reader works in a process of its own, which is started anew after one that killed it.
"""

from __future__ import annotations

import json
import logging
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

EXAMPLES = 2000
MINUTES = 30.0
LONGEST_S = 5.0
SILENT_S = 300.0
"""Of a process: what native code never returns from."""
MOST_BYTES = 8 << 30
"""Of address space: what takes more is a fault too."""
_RUNS_S = 2.0
"""In place of the minute that a graph's first run may take."""

Attack = Callable[[Path, random.Random], "str | None"]


def attacks() -> dict[str, tuple[Callable[[Path], None], Attack]]:
    """What prepares a folder and what uses it, by reader."""
    from tests import attacks as texts
    from tests import checkpoint_attacks as checkpoints
    from tests import journal_attacks as journals
    from tests import model_attacks as models

    def of_text(reader: texts.Reader) -> Attack:
        return lambda folder, choices: texts.attack(reader, folder, texts.unsound(reader, choices, most=4))

    readers: dict[str, tuple[Callable[[Path], None], Attack]] = {
        kind: (texts.prepare, of_text(reader)) for kind, reader in texts.READERS.items()
    }
    for kind in models.USES:
        readers[f"model: {kind}"] = (models.prepare, models.attack_of(kind))
    readers["model: configuration"] = (models.prepare_configurations, models.configuration_attack)
    readers["model: ort"] = (models.prepare, models.ort_attack)
    for runtime in ("hf", "ct2"):
        readers[f"directory: {runtime}"] = (
            checkpoints.prepare(runtime),
            checkpoints.attack_of(checkpoints.use_of(runtime)),
        )
    readers["directory: export"] = (checkpoints.prepare("hf"), checkpoints.attack_of(checkpoints.export))
    for kind in journals.USES:
        readers[f"journal: {kind}"] = (journals.prepare, journals.attack_of(kind))
    return readers


def measure(examples: int, minutes: float, only: list[str]) -> dict[str, object]:
    """Counts by reader, and what was neither taken nor refused."""
    from wattscribe import first_run

    logging.disable(logging.CRITICAL)
    first_run.LONGEST_S = _RUNS_S
    end_s = time.monotonic() + 60 * minutes
    readers = {kind: reader for kind, reader in attacks().items() if not only or kind in only}
    counts: dict[str, dict[str, int]] = {}
    faults: list[str] = []
    for number, (kind, (prepare, use)) in enumerate(readers.items()):
        until_s = time.monotonic() + (end_s - time.monotonic()) / (len(readers) - number)
        with tempfile.TemporaryDirectory() as name:
            prepare(Path(name))
            outcomes: Counter[str] = Counter()
            for seed, outcome in _seeds(use, Path(name), examples, until_s):
                outcomes[outcome if outcome in ("taken", "refused") else "faults"] += 1
                if outcome not in ("taken", "refused"):
                    faults.append(f"{kind}, seed {seed}: {outcome}")
        counts[kind] = dict(outcomes)
        print(kind, counts[kind], file=sys.stderr, flush=True)
    left = {kind: examples - sum(tally.values()) for kind, tally in counts.items() if sum(tally.values()) < examples}
    return {"readers": counts, "left_out": left, "faults": faults[:100], "within": not faults}


def _seeds(use: Attack, folder: Path, examples: int, until_s: float) -> Iterator[tuple[int, str]]:
    """Each seed with what came of it, from processes that go on behind the one that killed the last."""
    seed = 0
    while seed < examples and time.monotonic() < until_s:
        source, sink = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(source)
            _child(use, folder, range(seed, examples), until_s, os.fdopen(sink, "w"))
        os.close(sink)
        with os.fdopen(source) as answers:
            for line in answers:
                seed = json.loads(line)[0] + 1
                yield seed - 1, json.loads(line)[1]
        _, status = os.waitpid(child, 0)
        if status != 0:
            yield seed, f"the process died: {os.waitstatus_to_exitcode(status)}"
            seed += 1
        elif time.monotonic() >= until_s:
            return


def _child(use: Attack, folder: Path, seeds: range, until_s: float, answers: IO[str]) -> None:
    """Never returns."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, _stop)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    for seed in seeds:
        if time.monotonic() >= until_s:
            break
        signal.alarm(int(SILENT_S))
        outcome = _outcome(use, folder, random.Random(seed))
        print(json.dumps([seed, outcome]), file=answers, flush=True)
    answers.close()
    os._exit(0)


def _outcome(use: Attack, folder: Path, choices: random.Random) -> str:
    """taken, refused, or what went wrong and where."""
    signal.setitimer(signal.ITIMER_PROF, 4 * LONGEST_S)
    started_s = time.process_time()
    try:
        message = use(folder, choices)
    except BaseException as error:  # noqa: BLE001 - what is looked for
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if "wattscribe" in Path(frame.filename).parts] or frames
        return f"{type(error).__name__} in {Path(own[-1].filename).name}:{own[-1].lineno}: {str(error)[:100]}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    took_s = time.process_time() - started_s
    if took_s > LONGEST_S:
        return f"it took {took_s:.1f} s"
    if message is not None and ("\n" in message or len(message) > 6000):
        return f"more than a line: {message[:100]!r}"
    return "taken" if message is None else "refused"


def _stop(*_: object) -> None:
    raise TimeoutError(f"more than {4 * LONGEST_S:g} s")


if __name__ == "__main__":
    given = sys.argv[1:]
    print(
        json.dumps(
            measure(
                int(given[0]) if given else EXAMPLES,
                float(given[1]) if len(given) > 1 else MINUTES,
                given[2].split(",") if len(given) > 2 else [],
            )
        )
    )
