"""A compression's search on workers: they weigh, the study stays here, and what becomes of a worker does not show."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.compression import builders
from tests.fleets.conftest import Loopback, until
from tests.fleets.test_fleet import hosts
from wattscribe.compression.candidate import read_candidate
from wattscribe.compression.checked import placed
from wattscribe.compression.elsewhere import Question, Weighed
from wattscribe.compression.run import Options, make_bench
from wattscribe.compression.search import Search, weigh
from wattscribe.compression.there import by, material_of, weigh_there
from wattscribe.compression.workbench import Workbench
from wattscribe.errors import InputError
from wattscribe.fleets import dispatch, questions
from wattscribe.verbs.of_fleets import workers_of

pytest.importorskip("optuna")
TRIALS = 12


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return builders.build(tmp_path_factory.mktemp("search") / "model")


@pytest.fixture(scope="module")
def asked(model: Path) -> Options:
    dev = str(builders.corpus(model.parent / "dev", model, count=4))
    return Options(
        data=(dev,), unlabelled=(dev,), max_wer_increase_points=30.0, calibration_s=4.0, probe_s=2.0, strategy="search"
    )


@pytest.fixture
def workers(loopback: Loopback) -> Loopback:
    for name in ("left", "right"):
        loopback.worker(name)
    return loopback


def bench_of(model: Path, asked: Options, said: list[str]) -> Workbench:
    return make_bench(read_candidate(model), asked, said.append, hold_back=True)


def test_a_search_on_two_workers_of_which_one_is_killed(
    model: Path, asked: Options, workers: Loopback, tmp_path: Path
) -> None:
    """It goes on and ends as one alone does: so many recipes, each asked once, with figures that this machine has too."""
    said: list[str] = []

    def say(line: str) -> None:
        """Kill the left one when both have answered and it has the next recipe in hand."""
        both = {line.rpartition(" ")[2] for line in [*said, line]} >= {"(left)", "(right)"}
        if both and line.endswith("(right)") and "killed" not in said:
            workers.kill("left")
            said.append("killed")
        said.append(line)

    bench = make_bench(read_candidate(model), asked, say, hold_back=True)
    with workers_of(hosts(tmp_path, left=None, right=None), workers.address, say) as there:
        assert there is not None
        until(lambda: len(there.cluster.present()) == 2, 240.0)
        search = Search(
            trials=TRIALS, elsewhere=by(there), material=lambda bench: material_of(bench, str(model), placed(asked))
        )
        found = search.run(bench, [])
    assert "killed" in said
    assert any(line.startswith("left: lost; what it had in hand goes to another") for line in said)
    answers = [line for line in said if "mJ/s, divergence" in line]
    assert {line.rpartition("(")[2].rstrip(")") for line in answers} == {"left", "right"}
    numbers = [int(line.split()[1].rstrip(":")) for line in answers]
    assert len(numbers) == len(set(numbers)) <= TRIALS, "none is told twice"
    looked = [tried for tried in bench.tried if tried.kl is not None and tried.wer is None]
    assert len(looked) == len(numbers)
    for tried in looked[:3]:
        here = weigh(bench, (), [step for step in tried.steps if not isinstance(step, str)])
        assert (here.energy_mj, here.size_bytes) == (tried.energy_mj, tried.size_bytes)
        assert here.kl == pytest.approx(tried.kl, rel=1e-3, abs=1e-9)
    assert bench.energy_mj(bench.build(found.steps)) < bench.energy_mj(bench.original)
    assert bench.measure(bench.build(found.steps)).wer <= bench.limit


def test_an_answer_that_is_lost_with_its_worker_is_asked_for_again(
    workers: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was finished and not fetched when the worker was killed: Dask alone would wait for that worker to come back."""
    monkeypatch.setattr(dispatch, "FETCH_S", 2.0)
    left = iter(range(4))
    answers: list[tuple[int, int | None, str]] = []

    def both_at_first(futures: list[Any]) -> None:
        return as_ever(futures) if answers else until(lambda: all(one.done() for one in futures))

    as_ever = questions._until_one_is_done
    monkeypatch.setattr(questions, "_until_one_is_done", both_at_first)

    def told(question: int, answer: int | None, where: str) -> None:
        if not answers:
            workers.kill("left" if where == "right" else "right")
        answers.append((question, answer, where))

    with workers_of(hosts(tmp_path, left=None, right=None), workers.address, lambda _: None) as there:
        assert there is not None
        until(lambda: len(there.cluster.present()) == 2, 240.0)
        there.answer(math.factorial, lambda: next(left, None), told, lambda: None)
    assert {(question, answer) for question, answer, _ in answers} == {(0, 1), (1, 1), (2, 2), (3, 6)}
    assert len(answers) == 4
    assert {where for _, _, where in answers} == {answers[0][2]}, "who was killed has answered nothing"


def test_a_worker_with_other_speech_is_refused(model: Path, asked: Options, tmp_path: Path) -> None:
    """As it answers: a figure of other speech would never show."""
    bench = bench_of(model, asked, [])
    material = material_of(bench, str(model), placed(asked))
    question = Question(material=material, base=(), steps=(), number=0)
    assert weigh_there(question) == weigh(bench, (), ())
    other = str(builders.corpus(tmp_path / "other", model, count=3))
    bench = bench_of(model, replace(asked, data=(other,)), [])
    wrong = material_of(bench, str(model), placed(asked))
    refused = weigh_there(Question(material=wrong, base=(), steps=(), number=0))
    assert refused == Weighed(refused="the model, the speech or the device there is another than here")
    gone = material_of(bench, str(tmp_path / "nothing"), placed(asked))
    assert "nothing" in (weigh_there(Question(material=gone, base=(), steps=(), number=0)).refused or "")

    class Refusing:
        def answer(self, function, ask, told, check) -> None:  # type: ignore[no-untyped-def]
            told(ask(), refused, "left")

    search = Search(trials=2, elsewhere=by(Refusing()), material=lambda _: wrong)
    with pytest.raises(InputError, match="it cannot work on this search: the model, the speech"):
        search.run(bench, [])
