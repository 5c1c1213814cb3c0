"""A corpus in parts: each a trial, together all of it once, in its order."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.runs.conftest import write_corpus
from wattscribe.errors import InputError
from wattscribe.journal import read_run
from wattscribe.journal_file import connect
from wattscribe.journal_rows import change
from wattscribe.records import Condition, Part, RecognizerSpec, Trial
from wattscribe.results import rows
from wattscribe.results.shards import joined
from wattscribe.runs.experiment import Experiment, check
from wattscribe.runs.plan import plan, trial_of
from wattscribe.runs.runner import run
from wattscribe.runs.spool import spool_all

TRIAL = Trial(id="", recognizer=RecognizerSpec(runtime="fake", model="a"), corpus="c", condition=Condition())


def test_a_whole_corpus_has_the_id_that_it_had_before_there_were_parts() -> None:
    assert trial_of(TRIAL).id == "eb155e17c90cc1ec"
    ids = {trial_of(replace(TRIAL, part=part)).id for part in (None, Part(of=2, taken=(0,)), Part(of=2, taken=(1,)))}
    assert len(ids) == 3


def test_a_plan_has_every_part_once(experiment: Callable[..., Experiment]) -> None:
    trials = plan(experiment(shards=3, repeats=2))
    assert len(trials) == 6
    assert len({trial.id for trial in trials}) == 6
    assert {trial.part for trial in trials} == {Part(of=3, taken=(index,)) for index in range(3)}


def test_one_part_is_a_row_of_the_condition(tmp_path: Path) -> None:
    """Nothing is waited for where a part is all that was asked; what was prepared and left out is the row's."""
    corpus = write_corpus(tmp_path / "corpus", utterances=6)
    (corpus / "u3.wav").write_bytes(b"no audio")
    known = write_corpus(tmp_path / "known", utterances=6)
    asked = {"models": [f"fake:a?corpus={known}"], "data": [str(corpus)], "part": {"of": 2, "taken": [1]}}
    (row,) = rows(read_run(run(check(asked), tmp_path / "r", meters=[])))
    assert (row["condition"], row["status"], row["utterances"], row["rejected"]) == ("clean", "done", 2, 1)


def test_runs_that_were_cut_into_consecutive_parts(tmp_path: Path) -> None:
    """By a version before: what they say of no shard is passed over, a shard of theirs is refused in one line."""
    corpus = write_corpus(tmp_path / "corpus", utterances=2)
    out = run(check({"models": [f"fake:a?corpus={corpus}"], "data": [str(corpus)]}), tmp_path / "r", meters=[])

    def say(shard: Any) -> None:
        with contextlib.closing(connect(out / "journal.sqlite")) as db, db:
            (text,) = db.execute("SELECT trial FROM trial").fetchone()
            change(db, "trial", {"trial": json.dumps({**json.loads(text), "shard": shard})})

    say(None)
    assert [trial.status for trial in read_run(out).trials] == ["done"]
    run(check({"models": [f"fake:a?corpus={corpus}"], "data": [str(corpus)]}), out, meters=[], resume=True)
    say({"index": 0, "of": 2})
    with pytest.raises(InputError, match="consecutive parts") as caught:
        read_run(out)
    assert "\n" not in str(caught.value)


def test_what_parts_exclude(experiment: Callable[..., Experiment]) -> None:
    for keys in ({"limit": 2}, {"pace": "realtime"}):
        with pytest.raises(InputError, match="shards cut a whole corpus: leave out limit, and"):
            experiment(shards=2, **keys)
    with pytest.raises(InputError, match="a part of 1 remainders is not cut into 2 shards"):
        experiment(shards=2, part={"of": 2, "taken": [0]})
    shards = {trial.part for trial in plan(experiment(shards=2, part={"of": 8, "taken": [0, 3, 5]}))}
    assert shards == {Part(of=8, taken=(0, 5)), Part(of=8, taken=(3,))}, "a part is cut as a corpus is"


def test_a_run_in_parts_gives_the_table_of_a_whole_one(tmp_path: Path) -> None:
    """With noise, whose draws are of each utterance, and an input that cannot be used, which is counted once; one speaker, so
    that the interval follows from the order of the utterances."""
    corpus = write_corpus(tmp_path / "corpus", utterances=11, speakers=1)
    (corpus / "u3.wav").write_bytes(b"no audio")
    known = write_corpus(tmp_path / "known", utterances=11)
    whole = {"models": [f"fake:a?corpus={known}&wer=0.4"], "data": [str(corpus)], "noise": ["white"], "snr": [5.0]}
    tables, orders = [], []
    for shards in (1, 3):
        out = run(check({**whole, "clean": False, "shards": shards}), tmp_path / str(shards), meters=[])
        facts = read_run(out)
        tables.append(rows(facts)[0])
        orders.append([result.id for result in joined(facts).trials[0].utterances])
    for name in ("utterances", "rejected", "words", "wer", "wer_ci95", "cer", "audio_s", "scaled_utterances", "status"):
        assert tables[1][name] == (pytest.approx(tables[0][name]) if name == "audio_s" else tables[0][name]), name
    assert (tables[0]["status"], tables[0]["rejected"]) == ("done", 1)
    assert orders[1] == orders[0] == [f"u{index}" for index in range(11) if index != 3]


def test_only_some_trials_of_a_plan_and_then_the_rest(tmp_path: Path) -> None:
    """As a board is given them: the speech of others is not prepared, and they stay without a verdict."""
    corpus = write_corpus(tmp_path / "corpus", utterances=4)
    parts = check({"models": [f"fake:a?corpus={corpus}"], "data": [str(corpus)], "shards": 2})
    first, second = plan(parts)
    out = run(parts, tmp_path / "r", meters=[], only=[second.id])
    facts = read_run(out)
    assert {trial.trial.id: trial.status for trial in facts.trials} == {first.id: "pending", second.id: "done"}
    assert len(facts.heard) == 1
    run(parts, out, meters=[], resume=True, only=[first.id, second.id])
    assert [trial.status for trial in read_run(out).trials] == ["done", "done"]


def test_the_speech_of_a_part_is_its_own(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", utterances=5)
    trial = replace(TRIAL, corpus=str(corpus))
    shards = [replace(trial, part=Part(of=2, taken=(index,))) for index in range(2)]
    spools = spool_all([trial, *shards], tmp_path / "spool")
    texts = [[piece.utterance.id for piece in spool.pieces] for spool in spools.values()]
    assert texts == [["u0", "u1", "u2", "u3", "u4"], ["u0", "u2", "u4"], ["u1", "u3"]]
    assert [spool.name for spool in spools.values()] == ["clean", "clean, part 1 of 2", "clean, part 2 of 2"]
