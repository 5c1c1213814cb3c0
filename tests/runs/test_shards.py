"""A corpus in parts: each a trial, together all of it once, in its order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runs.conftest import write_corpus
from wattscribe.errors import InputError
from wattscribe.journal import read_run
from wattscribe.records import Condition, RecognizerSpec, Shard, Trial
from wattscribe.results import rows
from wattscribe.runs.experiment import Experiment, check
from wattscribe.runs.plan import plan, trial_of
from wattscribe.runs.runner import run
from wattscribe.runs.spool import _entries, spool_all

TRIAL = Trial(id="", recognizer=RecognizerSpec(runtime="fake", model="a"), corpus="c", condition=Condition())


@given(st.integers(0, 40), st.integers(1, 12))
def test_parts_are_the_corpus_in_its_order(count: int, of: int) -> None:
    entries = list(range(count))
    parts = [_entries(entries, Shard(index=index, of=of)) for index in range(of)]  # type: ignore[arg-type]
    assert [entry for part in parts for entry in part] == entries
    sizes = [len(list(part)) for part in parts]
    assert max(sizes) - min(sizes) <= 1


def test_a_whole_corpus_has_the_id_that_it_had_before_there_were_parts() -> None:
    assert trial_of(TRIAL).id == "eb155e17c90cc1ec"
    ids = {trial_of(replace(TRIAL, shard=shard)).id for shard in (None, Shard(index=0, of=2), Shard(index=1, of=2))}
    assert len(ids) == 3


def test_a_plan_has_every_part_once(experiment: Callable[..., Experiment]) -> None:
    trials = plan(experiment(shards=3, repeats=2))
    assert len(trials) == 6
    assert len({trial.id for trial in trials}) == 6
    assert {trial.shard for trial in trials} == {Shard(index=index, of=3) for index in range(3)}


def test_what_parts_exclude(experiment: Callable[..., Experiment]) -> None:
    for keys in ({"limit": 2}, {"pace": "realtime"}):
        with pytest.raises(InputError, match="shards are parts of a whole corpus"):
            experiment(shards=2, **keys)


def test_a_run_in_parts_gives_the_table_of_a_whole_one(tmp_path: Path) -> None:
    """With noise, whose draws are of each utterance, and an input that cannot be used, which is counted once."""
    corpus = write_corpus(tmp_path / "corpus", utterances=7)
    (corpus / "u3.wav").write_bytes(b"no audio")
    whole = {"models": [f"fake:a?corpus={corpus}&wer=0.4"], "data": [str(corpus)], "noise": ["white"], "snr": [5.0]}
    tables = []
    for shards in (1, 3):
        out = run(check({**whole, "clean": False, "shards": shards}), tmp_path / str(shards), meters=[])
        tables.append(rows(read_run(out))[0])
    for name in ("utterances", "rejected", "words", "wer", "wer_ci95", "cer", "audio_s", "scaled_utterances", "status"):
        assert tables[1][name] == pytest.approx(tables[0][name]), name
    assert tables[0]["rejected"] == 1


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
    shards = [replace(trial, shard=Shard(index=index, of=2)) for index in range(2)]
    spools = spool_all([trial, *shards], tmp_path / "spool")
    texts = [[piece.utterance.id for piece in spool.pieces] for spool in spools.values()]
    assert texts == [["u0", "u1", "u2", "u3", "u4"], ["u0", "u1"], ["u2", "u3", "u4"]]
    assert [spool.name for spool in spools.values()] == ["clean", "clean, part 1 of 2", "clean, part 2 of 2"]
