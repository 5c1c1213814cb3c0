"""What is removed in mid-run ends the run with that reason; no trial gets a verdict for it, and the run goes on afterwards."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.runs.conftest import write_corpus
from wattscribe.corpora import open_corpus
from wattscribe.errors import InputError, WattscribeError
from wattscribe.journal import read_run
from wattscribe.records import Trial, Utterance
from wattscribe.runs.beginning import SPOOL_DIRECTORY
from wattscribe.runs.experiment import Experiment, check
from wattscribe.runs.progress import Silent
from wattscribe.runs.runner import run
from wattscribe.runs.spool import spool_all


class Remover(Silent):
    """Removes something when the first trial starts."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def started(self, trial: Trial) -> None:
        if self.path.is_dir():
            shutil.rmtree(self.path)
        else:
            self.path.unlink(missing_ok=True)


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_corpus(tmp_path / "c", utterances=2)
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "weights").touch()
    return tmp_path


def experiment() -> Experiment:
    return check({"models": ["fake:m?text=x"], "data": ["c"], "idle_s": 0})


@pytest.mark.parametrize(
    ("removed", "reason"),
    [
        ("m", "m: the model was removed during the run. Restore it"),
        ("m/weights", "weights: this file was removed during the run. Restore it"),
        (f"r/{SPOOL_DIRECTORY}", "the prepared speech was removed during the run. Continue with `resume`"),
    ],
)
def test_the_run_ends_and_goes_on(folders: Path, removed: str, reason: str) -> None:
    with pytest.raises(WattscribeError, match=reason):
        run(experiment(), Path("r"), meters=[], watcher=Remover(folders / removed))
    assert [trial.status for trial in read_run(Path("r")).trials] == ["pending"]
    assert not Path("r", SPOOL_DIRECTORY).exists()
    (folders / "m").mkdir(exist_ok=True)
    (folders / "m" / "weights").touch()
    run(experiment(), Path("r"), meters=[], resume=True)
    assert [trial.status for trial in read_run(Path("r")).trials] == ["done"]


def test_a_folder_that_is_gone_says_so(folders: Path) -> None:
    with pytest.raises(
        WattscribeError, match=r"r: the run's folder was removed while it was being measured. Start again"
    ):
        run(experiment(), Path("r"), meters=[], watcher=Remover(folders / "r"))


def test_a_failure_for_want_of_the_model_is_no_verdict(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Removed between the check before the attempt and the worker's look."""
    from wattscribe.runs import attempt

    before: Callable[[attempt.Attempt], attempt.Verdict] = attempt.Attempt.run

    def removing(self: attempt.Attempt) -> attempt.Verdict:
        shutil.rmtree(folders / "r" / SPOOL_DIRECTORY)
        return before(self)

    monkeypatch.setattr(attempt.Attempt, "run", removing)
    with pytest.raises(WattscribeError, match="the prepared speech was removed"):
        run(experiment(), Path("r"), meters=[])
    (trial,) = read_run(Path("r")).trials
    assert (trial.status, trial.reason) == ("running", None)


def test_a_corpus_that_is_gone_is_no_list_of_missing_files(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from wattscribe.runs.plan import plan

    corpus = open_corpus("c")
    entries: Iterable[Utterance] = [each for each in corpus if isinstance(each, Utterance)]
    shutil.rmtree(folders / "c")
    monkeypatch.setattr(type(corpus), "__iter__", lambda _self: iter(entries))
    monkeypatch.setattr("wattscribe.runs.spool.open_corpus", lambda _spec: corpus)
    with pytest.raises(InputError, match="c: it was removed while its speech was being prepared"):
        spool_all(plan(experiment()), folders / "spool")
