"""A stage of a tuning on boards: each hears a part of it from every configuration; one is killed, and it shows what one does."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

import wattscribe
from tests.fleets.conftest import Loopback, until
from tests.fleets.test_fleet import hosts
from tests.runs.conftest import write_corpus
from wattscribe.errors import InputError
from wattscribe.journal import holds_run, read_run
from wattscribe.journal_file import run_folders
from wattscribe.results.cost import energy_rule
from wattscribe.runs.part import PartEntry
from wattscribe.testing.simulated_bench import stage_on_board
from wattscribe.tuning.objective import objective
from wattscribe.tuning.observed import Observed, observe
from wattscribe.tuning.space import Space, read
from wattscribe.verbs.of_fleets import stages_of


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of two recognizers that err alike the second takes more processor time."""
    corpus = write_corpus(tmp_path_factory.mktemp("tuning") / "corpus", utterances=20, speakers=4)
    models = [f"fake:{name}?corpus={corpus}&wer=0.2&cpu={cpu}" for name, cpu in (("lean", 0.1), ("greedy", 0.6))]
    return {"models": models, "data": [str(corpus)], "idle_s": 0.1}


def observed(facts: Any) -> dict[str, Observed]:
    found = observe([(facts, energy_rule(facts))], objective("energy", None), "whisper")
    assert all(isinstance(one, Observed) for one in found.values()), found
    return {key: one for key, one in found.items() if isinstance(one, Observed)}


def test_a_stage_on_two_boards_of_which_one_is_killed(keys: dict[str, Any], loopback: Loopback, tmp_path: Path) -> None:
    space: Space = read(keys)
    (stage,) = space.stage(space.configurations, PartEntry(of=8, taken=[0, 3, 5]), repeats=1)
    alone = observed(stage_on_board("orin-nano")(stage, tmp_path / "alone"))
    said: list[str] = []

    def disturb() -> None:
        until(lambda: any(line.startswith("left: fake") and line.endswith(": started") for line in said))
        loopback.kill("left")
        until(lambda: any(line.startswith("left: lost") for line in said))
        loopback.worker("left")

    for name in ("left", "right"):
        loopback.worker(name)
    thread = threading.Thread(target=disturb)
    thread.start()
    out, boards = tmp_path / "out", hosts(tmp_path, left="orin-nano", right="orin-nano")
    with stages_of(boards, loopback.address, said.append) as on_boards:
        shared = observed(on_boards(stage, out))
        thread.join()
        starts = sum(line.endswith(": started") for line in said)
        assert observed(on_boards(stage, out)).keys() == shared.keys()
        assert sum(line.endswith(": started") for line in said) == starts, "nothing is measured again"
    assert any(line.startswith("left: lost") for line in said)
    assert shared.keys() == alone.keys()
    for key, one in alone.items():
        assert shared[key].ids == one.ids, "the same utterances in the same order"
        assert shared[key].counts.errors.tolist() == one.counts.errors.tolist()
        assert shared[key].rate is not None
        assert shared[key].kind == one.kind
    cheaper = min(alone, key=lambda key: alone[key].rate or 0.0)
    assert min(shared, key=lambda key: shared[key].rate or 0.0) == cheaper
    runs = [read_run(folder) for folder in run_folders(out) if holds_run(folder)]
    done = [{(t.trial.part, t.trial.recognizer.model) for t in run.trials if t.status == "done"} for run in runs]
    assert any(len(pairs) in (2, 4) and len({part for part, _ in pairs}) * 2 == len(pairs) for pairs in done), (
        "a board hears its part from both"
    )


def test_boards_of_two_classes_are_not_tuned_together(keys: dict[str, Any], tmp_path: Path) -> None:
    boards = hosts(tmp_path, nano="orin-nano", other="orin-nx")
    with pytest.raises(InputError, match=r"2 classes, whose joules do not compare: .*nano.*other"):
        wattscribe.tune(keys, tmp_path / "out", hosts=boards)
    with pytest.raises(InputError, match="on boards or here"):
        wattscribe.tune(keys, tmp_path / "out", hosts=boards, simulated_board="orin-nano")
