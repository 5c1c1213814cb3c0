"""A whole tuning: real benches of fake recognizers, what it leaves, and that any kill loses nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import wattscribe
from tests.runs.conftest import write_corpus
from tests.runs.test_killed import kill_and_check_orphans
from wattscribe.errors import InputError
from wattscribe.journal import FILE_NAME, read_run
from wattscribe.metering import open_meters
from wattscribe.records import RunFacts
from wattscribe.results.tuned import sentences, to_plain
from wattscribe.runs.experiment import Experiment, load
from wattscribe.tuning import here
from wattscribe.tuning.run import CHOSEN, PAGE, QUESTION, RESULT, finished

PATIENCE_S = 120.0


def space(corpus: Path, **keys: Any) -> dict[str, Any]:
    """Two that are wrong too often, one that is cheap and right, one that is right and dear, one that cannot be loaded."""
    options = {"corpus": str(corpus)}
    return {
        "data": [str(corpus)],
        "idle_s": 0.0,
        "models": [
            {"model": "fake:wrong", "options": {**options, "wer": [0.9, 0.7], "cpu": 0.01}},
            {"model": "fake:right", "options": {**options, "wer": 0.02, "cpu": [0.05, 0.4]}},
            {"model": "fake:broken", "options": {**options, "fail_load": True}},
        ],
        "repeats": 2,
        **keys,
    }


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("speech") / "corpus", utterances=30, speakers=3)


@pytest.fixture(scope="module")
def tuned(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, list[str]]:
    out, said = tmp_path_factory.mktemp("tuned") / "t", list[str]()
    result = wattscribe.tune(
        space(corpus), out, max_wer_percent=30, max_latency_ms=5000, minimise="cpu_s", say=said.append
    )
    return out, result, said


def test_it_finds_the_cheap_one_that_is_right(tuned: tuple[Path, Any, list[str]]) -> None:
    _, result, said = tuned
    assert result.chosen is not None
    assert result.chosen.axes["cpu"] == "0.05"
    assert result.chosen.holds
    assert result.chosen.evidence == "measured"
    assert result.chosen.cost == pytest.approx(0.05, rel=0.8)
    assert {each.label: each.outcome for each in result.standings}["fake:broken fp32"] == "failed"
    assert sum(each.outcome == "dropped" for each in result.standings) >= 1
    assert said[0].startswith("stage 1: 5 configurations; ")
    text = sentences(result)
    assert text[0].startswith("Take fake:right")
    assert "energy" not in text[0]
    assert " J " not in text[0]
    assert "on 8 utterances of 3 speakers" in text[1].lower()
    assert "latency" in text[1]
    assert "too few utterances to tell" in text[1]


def test_what_it_leaves_is_read_by_every_verb(tuned: tuple[Path, Any, list[str]], corpus: Path, tmp_path: Path) -> None:
    out, result, _ = tuned
    plain = json.loads((out / RESULT).read_text("utf-8"))
    assert plain == json.loads(json.dumps(to_plain(result)))
    assert plain["schema"] == 1
    assert plain["share"] == pytest.approx(result.audio_s / result.exhaustive_audio_s)
    assert wattscribe.report(out / "stage-1", format="md")
    experiment = load(out / CHOSEN)
    facts = wattscribe.bench(experiment.model_copy(update={"idle_s": 0.0, "limit": 2}), tmp_path / "again")
    assert facts.trials[0].trial.recognizer.options["cpu"] == "0.05"
    page = (out / PAGE).read_text("utf-8")
    assert "tuning-front" in page
    for each in result.standings:
        assert each.label in page


def test_the_audio_is_counted_as_the_journals_have_it(tuned: tuple[Path, Any, list[str]]) -> None:
    out, result, _ = tuned
    runs = [read_run(path.parent) for path in out.glob(f"*/{FILE_NAME}")]
    heard_s = sum(u.audio_s for facts in runs for trial in facts.trials for u in trial.utterances)
    failed = sum(trial.status == "failed" for facts in runs for trial in facts.trials)
    assert failed == 1
    first_s = result.stages[0].audio_s / result.stages[0].configurations
    assert result.audio_s == pytest.approx(heard_s + failed * first_s)
    assert len(runs) == len(result.stages)


def test_the_proof_is_of_speech_that_no_stage_has_used(tuned: tuple[Path, Any, list[str]]) -> None:
    out, _, _ = tuned
    ids = {
        path.name: {u.id for t in read_run(path).trials for u in t.utterances}
        for path in out.iterdir()
        if path.is_dir()
    }
    proof = ids.pop("proof-1")
    assert len(proof) == 8
    assert not proof & set().union(*ids.values())
    assert sum(map(len, ids.values())) + len(proof) == 30


def test_finished_stages_are_not_measured_again(tuned: tuple[Path, Any, list[str]], corpus: Path) -> None:
    out, result, _ = tuned
    before = {path: path.stat().st_mtime_ns for path in out.glob(f"*/{FILE_NAME}")}
    again = wattscribe.tune(space(corpus), out, max_wer_percent=30, max_latency_ms=5000, minimise="cpu_s", resume=True)
    assert to_plain(again) == to_plain(result)
    assert {path: path.stat().st_mtime_ns for path in out.glob(f"*/{FILE_NAME}")} == before


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"resume": True, "max_wer_percent": 29}, "this tuning began with another question: limits differ"),
        ({"resume": True, "budget_percent": 30}, "another question: limits, budget differ"),
        ({}, "there is a run already"),
        ({"resume": True, "overwrite": True}, "exclude each other"),
    ],
)
def test_another_question_is_refused_and_loses_nothing(
    tuned: tuple[Path, Any, list[str]], corpus: Path, keys: dict[str, Any], message: str
) -> None:
    out, _, _ = tuned
    with pytest.raises(InputError, match=message):
        wattscribe.tune(space(corpus), out, minimise="cpu_s", **keys)
    assert (out / RESULT).exists()
    with pytest.raises(InputError, match="there is no tuning to go on with"):
        wattscribe.tune(space(corpus), out.parent / "none", minimise="cpu_s", resume=True)


def test_without_a_meter_energy_is_refused_before_anything_is_measured(corpus: Path, tmp_path: Path) -> None:
    if open_meters():
        pytest.skip("this machine has a sensor")
    with pytest.raises(
        InputError, match=r"energy cannot be minimised: no sensor could be read\. Name what stands for it"
    ):
        wattscribe.tune(space(corpus), tmp_path / "t")
    assert not (tmp_path / "t").exists()


def test_where_energy_was_not_measured_it_is_refused_too(corpus: Path, tmp_path: Path) -> None:
    """A bench elsewhere, on a board whose sensor cannot be read."""
    if open_meters():
        pytest.skip("this machine has a sensor")
    asked: list[Path] = []

    def bench(experiment: Experiment, out_dir: Path) -> RunFacts:
        asked.append(out_dir)
        return here.stage_here(experiment, out_dir)

    with pytest.raises(InputError, match="no sensor could be read"):
        wattscribe.tune(space(corpus), tmp_path / "t", bench=bench)
    assert [path.name for path in asked] == ["stage-1"]


def test_a_simulated_board_has_joules(corpus: Path, tmp_path: Path) -> None:
    keys = space(corpus, repeats=1, models=[{"model": "fake:a", "options": {"text": "x", "cpu": [0.2, 1]}}])
    result = wattscribe.tune(keys, tmp_path / "t", simulated_board="orin-nano")
    assert result.chosen is not None
    assert result.chosen.evidence == "simulated"
    assert result.chosen.axes["cpu"] == "0.2"
    assert result.unit == "J"
    assert all(proof.holds for proof in result.proofs)
    with pytest.raises(InputError, match="there is no simulated board 'x'"):
        wattscribe.tune(keys, tmp_path / "u", simulated_board="x")


def test_a_stage_of_another_search_is_not_taken_for_this_one(tuned: tuple[Path, Any, list[str]]) -> None:
    out, _, _ = tuned
    facts = read_run(out / "stage-2")
    experiment = Experiment.model_validate(dict(facts.experiment))
    assert finished(experiment, out / "stage-2") is not None
    with pytest.raises(InputError, match="this stage is not the one that the search would take now: seed is 9"):
        finished(experiment.model_copy(update={"seed": 9}), out / "stage-2")


RUN = """
import json, sys, wattscribe
space, out, resume = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3] == "resume"
wattscribe.tune(space, out, max_wer_percent=30, max_latency_ms=5000, minimise="cpu_s", resume=resume)
"""


def start(keys: dict[str, Any], out: Path, how: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", RUN, json.dumps(keys), str(out), how], stderr=subprocess.DEVNULL)


def started(out: Path, stage: str, runner: subprocess.Popen[bytes]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not (out / stage / FILE_NAME).exists():
        assert runner.poll() is None, "the tuning ended before the moment to kill it"
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


@pytest.mark.timeout(600)
def test_killed_in_any_stage_it_goes_on(corpus: Path, tmp_path: Path) -> None:
    """As soon as the first stage has a journal, in a later stage, and in the proof: in the end all is there, and once."""
    options = {"corpus": str(corpus)}
    wrong = {"model": "fake:wrong", "options": {**options, "wer": 0.9}}
    right = {"model": "fake:right", "options": {**options, "cpu": [0.05, 0.4]}}
    out, keys = tmp_path / "killed", space(corpus, models=[wrong, right], repeats=1)
    for stage, delay_s in (("stage-1", 0.0), ("stage-2", 0.5), ("proof-1", 0.5)):
        runner = start(keys, out, "resume" if (out / QUESTION).exists() else "new")
        started(out, stage, runner)
        time.sleep(delay_s)
        kill_and_check_orphans(runner)
    first_stage = read_run(out / "stage-1").trials
    assert start(keys, out, "resume").wait(PATIENCE_S) == 0
    assert read_run(out / "stage-1").trials == first_stage, "what was finished is measured once"
    result = json.loads((out / RESULT).read_text("utf-8"))
    assert result["chosen"]["axes"]["cpu"] == "0.05"
    runs = [read_run(path.parent) for path in out.glob(f"*/{FILE_NAME}")]
    assert len(runs) == len(result["stages"]) >= 5
    trials = [trial for facts in runs for trial in facts.trials]
    assert all(trial.status == "done" for trial in trials)
    assert all(len({u.id for u in trial.utterances}) == len(trial.utterances) for trial in trials)
    assert result["audio_s"] == pytest.approx(sum(u.audio_s for trial in trials for u in trial.utterances))
