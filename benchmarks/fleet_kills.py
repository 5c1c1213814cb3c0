"""Kills at random moments of a fleet's run: what is resumed ends with the table of a run that nobody disturbed.

Run as `python -m benchmarks.fleet_kills [--kills 200] [--minutes N] [--seed N]`. Two boards that are this machine, a corpus in
shards, a fake recognizer that errs by a rule. Killed are, in turn and with SIGKILL: `runner`, the process that measures;
`worker`, Dask's; `board`, all of a board's processes at once, as a power cut takes them; `scheduler`, the process that
coordinates, which holds Dask's scheduler. Whatever ends without success is resumed as a user would. Every figure that time does
not decide, and every text, is compared; `differences` lists each that is another.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from tests.runs.conftest import write_corpus

import wattscribe
from benchmarks.fleet_load import SAME
from wattscribe.journal import read_run
from wattscribe.journal_file import holds_run, run_folders
from wattscribe.records import RunFacts
from wattscribe.results import rows
from wattscribe.results.fleet import as_one
from wattscribe.results.shards import joined

KINDS = ("runner", "worker", "board", "scheduler")
UTTERANCES, SHARDS, LABELS = 24, 4, ("left", "right")
KILLS_A_RUN, MOST_STARTS = 12, 30
LONGEST_S = 900.0
"""Of one start of a run, which is then taken to hang."""
APART_S = 10.0
"""The most between two kills."""
Table = Mapping[str, Any]


# --- the run ----------------------------------------------------------------------------------------------------------
def write_question(folder: Path) -> dict[str, Any]:
    """What a fleet is asked, in files; returned is the same of one machine that takes the corpus whole."""
    corpus = write_corpus(folder / "corpus", UTTERANCES)
    model = f"fake:a?corpus={corpus}&wer=0.3&latency=0.4"
    experiment = {"models": [model], "data": [str(corpus)], "idle_s": 0.0}
    (folder / "experiment.toml").write_text(
        "".join(f"{key} = {json.dumps(value)}\n" for key, value in {**experiment, "shards": SHARDS}.items()),
        encoding="utf-8",
    )
    (folder / "boards.toml").write_text(
        "".join(f'[[boards]]\nlabel = "{label}"\n' for label in LABELS), encoding="utf-8"
    )
    return experiment


def start(folder: Path, out: Path) -> subprocess.Popen[bytes]:
    """The run, or what is left of it."""
    begun = (out / "fleet.json").exists()
    what = ["--resume", "--retry-failed"] if begun else ["experiment.toml"]
    command = [sys.executable, "-m", "wattscribe", "fleet", "run", *what, "--hosts", "boards.toml", "--out", str(out)]
    with (folder / "said.log").open("ab") as log:
        return subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)


def of_boards(out: Path) -> list[RunFacts]:
    return [read_run(each) for each in run_folders(out) if holds_run(each)]


def table(runs: list[RunFacts]) -> Table:
    """What time does not decide, of the boards' runs as one, with every text in its order."""
    seen = []
    for facts in as_one(runs):
        (row,) = rows(facts)
        (trial,) = joined(facts).trials
        texts = [(result.id, result.reference, result.hypothesis) for result in trial.utterances]
        seen.append({**{column: row[column] for column in (*SAME, "status")}, "texts": texts})
    first = seen[0]
    return first if all(one == first for one in seen) else {"boards": seen}


# --- kills ------------------------------------------------------------------------------------------------------------
def below(process: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return [one for one in process.children(recursive=True) if one.status() != psutil.STATUS_ZOMBIE]
    return []


def end(together: list[psutil.Process]) -> None:
    for one in together:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()


def says(process: psutil.Process, *words: str) -> bool:
    with contextlib.suppress(psutil.Error):
        line = " ".join(process.cmdline())
        return all(word in line for word in words)
    return False


def victims(kind: str, coordinator: psutil.Process, draw: random.Random) -> list[psutil.Process]:
    """The processes that are killed together; none where there is no such process now."""
    if kind == "scheduler":
        return [coordinator]
    everybody = below(coordinator)
    boards = [one for one in everybody if says(one, "distributed.cli.dask_spec")]
    found: dict[str, Callable[[], list[list[psutil.Process]]]] = {
        "runner": lambda: [[one] for one in everybody if says(one, "wattscribe.fleets.runner")],
        "worker": lambda: [
            [child] for board in boards for child in below(board) if says(child, "multiprocessing.spawn", "spawn_main")
            and child.ppid() == board.pid
        ],
        "board": lambda: [[board, *below(board)] for board in boards],
    }  # fmt: skip
    with contextlib.suppress(psutil.NoSuchProcess):
        choices = found[kind]()
        return draw.choice(choices) if choices else []
    return []


@dataclass(slots=True)
class Killing:
    """Who is killed next, and what was done."""

    draw: random.Random
    left: int
    done: Counter[str] = field(default_factory=Counter)
    kinds: Iterator[str] = field(init=False)

    def __post_init__(self) -> None:
        self.kinds = self._in_turn()

    def _in_turn(self) -> Iterator[str]:
        while True:
            yield from self.draw.sample(KINDS, len(KINDS))

    def disturb(self, process: subprocess.Popen[bytes], most: int) -> int:
        """Kill up to `most` times while the run goes on; returns how often."""
        killed = 0
        while killed < most and self.left > 0:
            kind = next(self.kinds)
            until_s = time.monotonic() + self.draw.uniform(0.2, APART_S)
            together: list[psutil.Process] = []
            while process.poll() is None and (time.monotonic() < until_s or not together):
                time.sleep(0.1)
                together = victims(kind, psutil.Process(process.pid), self.draw) if time.monotonic() >= until_s else []
            if process.poll() is not None:
                return killed
            end(together)
            killed, self.left = killed + 1, self.left - 1
            self.done[kind] += 1
        return killed


def disturbed(folder: Path, out: Path, killing: Killing, failures: Counter[str]) -> int:
    """A run with kills until it ends well; how often it was started. Raises RuntimeError where it never does."""
    most = KILLS_A_RUN
    for starts in range(1, MOST_STARTS + 1):
        process = start(folder, out)
        try:
            most -= killing.disturb(process, most)
            status = process.wait(LONGEST_S)
        except subprocess.TimeoutExpired:
            failures["it hung"] += 1
            status = -1
        finally:
            if process.poll() is None:
                end([*below(psutil.Process(process.pid)), psutil.Process(process.pid)])
        if status == 0:
            return starts
        if status > 0:
            failures[f"exit status {status}"] += 1
    raise RuntimeError(f"the run did not end well in {MOST_STARTS} starts: {folder / 'said.log'}")


def differences(wanted: Table, got: Table) -> list[str]:
    return [key for key in {**wanted, **got} if wanted.get(key) != got.get(key)]


def main(kills: int, minutes: float, seed: int) -> dict[str, Any]:
    began_s = time.monotonic()
    killing = Killing(draw=random.Random(seed), left=kills)
    found: list[str] = []
    failures: Counter[str] = Counter()
    starts = runs = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["XDG_DATA_HOME"] = str(folder / "data")
        alone = write_question(folder)
        wanted = table([wattscribe.bench(alone, folder / "wanted")])
        while killing.left > 0 and time.monotonic() - began_s < 60 * minutes:
            out = folder / f"run-{runs}"
            try:
                starts += disturbed(folder, out, killing, failures)
                found += [f"run {runs}: {key}" for key in differences(wanted, table(of_boards(out)))]
            except KeyboardInterrupt:  # what was seen until now is said
                break
            except RuntimeError:
                found.append(f"run {runs}: no table\n" + (folder / "said.log").read_text(encoding="utf-8")[-3000:])
            runs += 1
            print(
                f"{runs} runs, {sum(killing.done.values())} kills, {len(found)} differences",
                file=sys.stderr,
                flush=True,
            )
    done = sum(killing.done.values())
    return {
        "kills": done,
        "asked_for": kills,
        "by_kind": dict(sorted(killing.done.items())),
        "runs": runs,
        "starts": starts,
        "ends_that_were_resumed": dict(failures),
        "wer": wanted["wer"],
        "utterances": wanted["utterances"],
        "took_s": round(time.monotonic() - began_s),
        "differences": found,
        "within": done == kills and not found,
    }


def _interrupt(number: int, _: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _interrupt)
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=60.0, help="begin no further run after so long")
    parser.add_argument("--seed", type=int, default=0)
    print(json.dumps(main(**vars(parser.parse_args())), indent=1))
