"""A fleet on one machine: the boards' tables are those of single runs, whatever becomes of a board meanwhile."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

import wattscribe
from tests.fleets.conftest import Loopback, until
from tests.runs.conftest import write_corpus
from wattscribe.errors import InputError
from wattscribe.journal import read_run
from wattscribe.records import RunFacts
from wattscribe.results import view
from wattscribe.results.fleet import fleet_view
from wattscribe.runs.experiment import Experiment, check

LATE = Path(__file__).parent / "late"


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """Two recognizers, about a second each; the second is slower."""
    corpus = write_corpus(tmp_path_factory.mktemp("fleet") / "corpus", utterances=8)
    return check(
        {
            "models": [f"fake:a?corpus={corpus}&wer=0.3&cpu=0.2", f"fake:b?corpus={corpus}&wer=0.1&cpu=0.4"],
            "data": [str(corpus)],
            "idle_s": 0.2,
        }
    )


@pytest.fixture(scope="module")
def single(experiment: Experiment, tmp_path_factory: pytest.TempPathFactory) -> RunFacts:
    return wattscribe.bench(experiment, tmp_path_factory.mktemp("single") / "r", simulated_board="orin-nano")


def hosts(folder: Path, **boards: str | None) -> Path:
    """A list of boards of this machine, by label what is played there."""
    tables = [
        f'[[boards]]\nlabel = "{label}"\n' + (f'simulated_board = "{kind}"\n' if kind else "")
        for label, kind in boards.items()
    ]
    path = folder / "boards.toml"
    path.write_text("\n".join(tables), encoding="utf-8")
    return path


def test_two_boards_of_this_machine(experiment: Experiment, single: RunFacts, tmp_path: Path) -> None:
    """Workers that the fleet starts itself; the boards' tables are that of a single run, and each has its own joules."""
    said: list[str] = []
    out = tmp_path / "f"
    ended = wattscribe.fleet(experiment, out, hosts=hosts(tmp_path, one="orin-nano", two="orin-nano"), say=said.append)
    assert ended.errors == ()
    runs = [read_run(out / label) for label in ("one", "two")]
    for run in runs:
        assert [trial.status for trial in run.trials] == ["done"] * 2
        assert texts(run) == texts(single)
        assert [row.wer for row in view(run).rows] == [row.wer for row in view(single).rows]
        assert all(row.energy_j is not None and row.energy_evidence == "simulated" for row in view(run).rows)
        for trial in run.trials:
            taken = (trial.surroundings or {})["bystanders"]
            assert taken["core_share"] <= 0.05, "of a second or two, on a machine that others use"
    assert {run.board.label for run in runs if run.board} == {"one", "two"}
    assert len({run.board.id for run in runs if run.board}) == 2
    assert any(line.startswith("one: fake:a") and line.endswith(": done") for line in said)
    with pytest.raises(InputError, match="a fleet's run already"):
        wattscribe.fleet(experiment, out, hosts=hosts(tmp_path, one="orin-nano"))


def texts(run: RunFacts) -> dict[str, list[tuple[str, str | None]]]:
    return {trial.trial.id: [(result.id, result.hypothesis) for result in trial.utterances] for trial in run.trials}


def test_what_becomes_of_boards_does_not_show(
    experiment: Experiment, single: RunFacts, loopback: Loopback, tmp_path: Path
) -> None:
    """Four boards: one is killed in the middle of a trial and comes back, one is two hours late, one is of another class."""
    names = {"steady": "orin-nano", "killed": "orin-nano", "late": "orin-nano", "other": "orin-nx"}
    for name in names:
        loopback.worker(name, path=[LATE] if name == "late" else [])
    said: list[str] = []

    def disturb() -> None:
        until(lambda: any(line.startswith("killed: fake") and line.endswith(": started") for line in said))
        loopback.kill("killed")
        until(lambda: any(line.startswith("killed: lost") for line in said))
        loopback.worker("killed")

    thread = threading.Thread(target=disturb)
    thread.start()
    out = tmp_path / "f"
    boards = hosts(tmp_path, **names)
    until(lambda: len(loopback.children("other")) > 0)
    ended = wattscribe.fleet(experiment, out, scheduler=loopback.address, hosts=boards, say=said.append)
    thread.join()
    assert ended.errors == ()
    assert "killed: back" in said
    runs = {label: read_run(out / label) for label in names}
    for run in runs.values():
        assert texts(run) == texts(single)
    seen = fleet_view(list(runs.values()))
    assert [kind.labels for kind in seen.classes] == [("steady", "killed", "late"), ("other",)]
    assert seen.disagreements == ()
    assert [row.scored.interval.rate for row in seen.pooled if row.scored] == 2 * [row.wer for row in view(single).rows]
    assert all(row.energy.energy_j is not None for row in seen.pooled)
    assert len(seen.between) == 2
    assert all(pair.energy is not None and pair.energy.value > 1 for pair in seen.between), "an NX draws more at rest"
    began = {label: run.created for label, run in runs.items()}
    assert began["late"] < min(began[label] for label in names if label != "late")
    again = wattscribe.fleet(None, out, scheduler=loopback.address, hosts=boards, resume=True)
    assert again.errors == (), "nothing is left to do"
    assert texts(read_run(out / "killed")) == texts(single)


def test_shards_over_boards_make_the_table_of_one(experiment: Experiment, single: RunFacts, tmp_path: Path) -> None:
    parts = check({**experiment.model_dump(), "shards": 3})
    out = tmp_path / "f"
    said: list[str] = []
    ended = wattscribe.fleet(parts, out, hosts=hosts(tmp_path, one="orin-nano", two="orin-nano"), say=said.append)
    assert ended.errors == (), said
    runs = [read_run(out / label) for label in ("one", "two")]
    assert all(any(trial.status == "done" for trial in run.trials) for run in runs), "both did some of it"
    shared = fleet_view(runs).shared
    assert shared is not None
    rows = {(row.model, row.condition): row for row in view(single).rows}
    for row in shared.rows:
        one = rows[row.model, row.condition]
        columns = ("wer", "wer_ci95", "cer", "utterances", "words", "audio_s", "speakers", "status", "rejected")
        for name in columns:
            assert getattr(row, name) == pytest.approx(getattr(one, name)), name
        assert row.energy_j == pytest.approx(one.energy_j, rel=0.3)
    said.clear()
    again = wattscribe.fleet(None, out, hosts=tmp_path / "boards.toml", resume=True, say=said.append)
    assert again.errors == ()
    assert not [line for line in said if line.endswith(": started")], "no board does what another has done"
