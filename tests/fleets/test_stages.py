"""A tuning on boards: each hears a part of every stage from every configuration, one is killed, the choice is that of one."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

import wattscribe
from tests.fleets.conftest import Loopback, until
from tests.fleets.test_fleet import hosts
from tests.runs.conftest import write_corpus
from wattscribe.errors import InputError
from wattscribe.journal import read_run
from wattscribe.journal_file import holds_run, run_folders

pytest.importorskip("optuna")


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """Of two recognizers that err alike the second takes four times the processor time."""
    corpus = write_corpus(tmp_path_factory.mktemp("tuning") / "corpus", utterances=20, speakers=4)
    models = [f"fake:{name}?corpus={corpus}&wer=0.2&cpu={cpu}" for name, cpu in (("lean", 0.1), ("greedy", 0.6))]
    return {"models": models, "data": [str(corpus)], "idle_s": 0.1, "repeats": 1}


def test_a_tuning_on_two_boards_of_which_one_is_killed(
    space: dict[str, object], loopback: Loopback, tmp_path: Path
) -> None:
    alone = wattscribe.tune(space, tmp_path / "alone", simulated_board="orin-nano", budget_percent=100.0)
    said: list[str] = []

    def disturb() -> None:
        until(lambda: any(line.startswith("left: fake") and line.endswith(": started") for line in said))
        loopback.kill("left")
        until(lambda: any(line.startswith("left: lost") for line in said))
        loopback.worker("left")

    boards = hosts(tmp_path, left="orin-nano", right="orin-nano")
    for name in ("left", "right"):
        loopback.worker(name)
    thread = threading.Thread(target=disturb)
    thread.start()
    out = tmp_path / "out"
    tuned = wattscribe.tune(space, out, scheduler=loopback.address, hosts=boards, budget_percent=100.0, say=said.append)
    thread.join()
    assert "left: back" in said
    assert alone.chosen is not None
    assert tuned.chosen is not None
    assert tuned.chosen.label == alone.chosen.label
    assert tuned.audio_s == pytest.approx(alone.audio_s)
    assert [(stage.name, stage.configurations) for stage in tuned.stages] == [
        (stage.name, stage.configurations) for stage in alone.stages
    ]
    first = [read_run(folder) for folder in run_folders(out / "stage-1") if holds_run(folder)]
    for run in first:
        parts = {trial.trial.part: 0 for trial in run.trials if trial.status == "done"}
        for part in parts:
            done = {
                trial.trial.recognizer.model
                for trial in run.trials
                if (trial.trial.part, trial.status) == (part, "done")
            }
            assert len(done) == 2 or run.board is None or run.board.label == "left", "what compares is on one board"
    again = wattscribe.tune(space, out, scheduler=loopback.address, hosts=boards, budget_percent=100.0, resume=True)
    assert again == tuned, "nothing is measured again"


def test_boards_of_two_classes_are_not_tuned_together(space: dict[str, object], tmp_path: Path) -> None:
    boards = hosts(tmp_path, nano="orin-nano", other="orin-nx")
    with pytest.raises(InputError, match=r"2 classes, whose joules do not compare: .*nano.*other"):
        wattscribe.tune(space, tmp_path / "out", hosts=boards)
    with pytest.raises(InputError, match="on boards or here"):
        wattscribe.tune(space, tmp_path / "out", hosts=boards, simulated_board="orin-nano")
