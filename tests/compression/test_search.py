"""The search: resumable after kill -9, several processes on one journal, cheap questions first."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.compression import builders
from tests.known import known
from wattscribe.compression.candidate import read_candidate
from wattscribe.compression.run import Options, make_bench
from wattscribe.compression.search import Search, _question
from wattscribe.compression.step import Step
from wattscribe.compression.workbench import Workbench, joined

optuna = pytest.importorskip("optuna")
from optuna.trial import FrozenTrial  # noqa: E402

REPO = Path(__file__).resolve().parents[2]
WORKER = """
import sys
from wattscribe.compression.candidate import read_candidate
from wattscribe.compression.run import Options, make_bench
from wattscribe.compression.search import Search
from pathlib import Path
model, dev, journal, trials = sys.argv[1:]
options = Options(data=(dev,), unlabelled=(dev,), max_wer_increase_points=20.0, calibration_s=4.0, probe_s=2.0)
bench = make_bench(read_candidate(model), options, lambda text: print(text, flush=True))
Search(storage=Path(journal), trials=int(trials)).run(bench, [])
"""


World = tuple[Path, Path, Path]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    root = tmp_path_factory.mktemp("search")
    model = builders.build(root / "model")
    return root, model, builders.corpus(root / "dev", model, count=4)


def start(world: World, journal: Path, trials: int) -> subprocess.Popen[str]:
    _, model, dev = world
    command = [sys.executable, "-c", WORKER, str(model), str(dev), str(journal), str(trials)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=REPO, env={**os.environ, "PYTHONPATH": "src"}
    )


def finished(journal: Path) -> list[FrozenTrial]:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend
    from optuna.trial import TrialState

    storage = JournalStorage(JournalFileBackend(str(journal)))
    (name,) = optuna.get_all_study_names(storage)
    states = (TrialState.COMPLETE, TrialState.PRUNED)
    found: list[FrozenTrial] = optuna.load_study(study_name=name, storage=storage).get_trials(states=states)
    return found


def test_a_killed_search_goes_on_where_it_stopped(world: World) -> None:
    journal = world[0] / "killed.journal"
    process = start(world, journal, 400)
    deadline = time.monotonic() + 200
    seen = 0
    while seen < 3 and time.monotonic() < deadline:  # it is told before it is written
        line = known(process.stdout).readline()
        seen += line.strip().startswith("recipe")
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = {trial.number: trial.values for trial in finished(journal)}
    assert len(before) >= 2
    again = start(world, journal, len(before) + 2)
    said, _ = again.communicate(timeout=250)
    assert again.returncode == 0
    assert f"search: {len(before)} of {len(before) + 2} recipes are known already" in said
    after = {trial.number: trial.values for trial in finished(journal)}
    assert len(after) == len(before) + 2
    assert {number: after[number] for number in before} == before


def told(process: subprocess.Popen[str], count: int) -> set[int]:
    """The numbers of the next `count` recipes that the process says it has asked."""
    numbers: set[int] = set()
    for line in known(process.stdout):
        if "mJ/s, divergence" in line:
            numbers.add(int(line.split()[1].rstrip(":")))
        if len(numbers) == count:
            break
    return numbers


def test_two_processes_share_a_journal_and_one_may_be_killed(world: World) -> None:
    journal = world[0] / "shared.journal"
    killed, other = start(world, journal, 400), start(world, journal, 400)
    gone, before = told(killed, 2), told(other, 2)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    after = told(other, 2)
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert [len(each) for each in (gone, before, after)] == [2, 2, 2], "each asks, and the one that is left goes on"
    assert not gone & (before | after), "each asks its own"
    numbers = {trial.number for trial in finished(journal)}
    assert before <= numbers, "what is told is written before the next is asked"
    assert gone & numbers, "what the killed process finished counts"
    assert after & numbers
    assert len({str(sorted(trial.params.items())) for trial in finished(journal)}) > len(numbers) // 2
    last = start(world, journal, len(numbers))
    said, _ = last.communicate(timeout=250)
    assert last.returncode == 0
    assert f"search: {len(numbers)} of {len(numbers)} recipes are known already" in said


def test_the_search_answers_with_the_cheapest_recipe_that_holds(world: World) -> None:
    _, model, dev = world
    options = Options(
        data=(str(dev),), unlabelled=(str(dev),), max_wer_increase_points=30.0, calibration_s=4.0, probe_s=2.0
    )
    bench = make_bench(read_candidate(model), options, lambda _: None)
    lossless = bench.lossless()
    found = Search(trials=8).run(bench, lossless)
    base = bench.energy_mj(bench.build(tuple(each.step for each in lossless if each.kept)))
    assert bench.energy_mj(bench.build(found.steps)) < base
    assert bench.measure(bench.build(found.steps)).wer <= bench.limit
    full = [each for each in bench.tried if each.on == "full"]
    asked = [each for each in bench.tried if each.kl is not None and each.wer is None]
    assert len(full) < len(asked), "the cascade decodes few of what it asks cheaply"


def bench_of(world: World, **changed: Any) -> Workbench:
    _, model, dev = world
    own = (str(dev),)
    options = Options(data=own, unlabelled=own, max_wer_increase_points=30.0, calibration_s=4.0, probe_s=2.0)
    return make_bench(read_candidate(model), replace(options, **changed), lambda _: None)


def test_a_resumed_search_reports_what_it_tried_before(world: World) -> None:
    journal = world[0] / "resumed.journal"
    first, again = bench_of(world), bench_of(world)
    Search(storage=journal, trials=4).run(first, [])
    Search(storage=journal, trials=5).run(again, [])

    def asked(bench: Workbench) -> list[tuple[object, ...]]:
        return [(each.steps, each.energy_mj, each.size_bytes, each.kl) for each in bench.tried if each.wer is None]

    assert len(asked(first)) >= 2
    assert asked(again)[: len(asked(first))] == asked(first)


def test_another_question_is_another_study(world: World, tmp_path: Path) -> None:
    _, model, dev = world
    other = builders.corpus(tmp_path / "other", model, count=4, first=20)
    place = Step(lever="place", component="all")
    names = [
        _question(bench_of(world), [], {}),
        _question(bench_of(world, data=(str(other),)), [], {}),
        _question(bench_of(world, unlabelled=(str(other),)), [], {}),
        _question(bench_of(world), [place], {}),
        _question(bench_of(world), [place, joined(2)], {}),
        _question(bench_of(world, device="phone"), [], {}),
        _question(bench_of(world, seed=1), [], {}),
    ]
    assert len(set(names)) == len(names)
    assert _question(bench_of(world, max_wer_increase_points=1.0), [], {}) == names[0], (
        "the limit chooses among the answers"
    )
    renamed = tmp_path / "renamed"
    shutil.copytree(dev, renamed)
    assert _question(bench_of(world, data=(str(renamed),)), [], {}) == names[0]


def test_recipes_that_do_not_hold_are_in_the_outcome(world: World) -> None:
    bench = bench_of(world, max_wer_increase_points=0.0)
    bench.limit = -2.0  # nothing holds
    found = Search(trials=4).run(bench, [])
    assert found.done
    assert not any(each.kept for each in found.done)
    assert all("reverted: WER" in each.reason for each in found.done)
