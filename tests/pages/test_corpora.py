"""Corpora in a report: two of one name are told apart, and a text rule that does not suit their language is said."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.stored_runs import CLEAN, MODELS, Shape, made_up_run
from wattscribe.pages import formats
from wattscribe.records import RunFacts


def on(*corpora: str) -> RunFacts:
    """One model that heard the same under several names."""
    facts = made_up_run(models=MODELS[:1], conditions=(CLEAN,), shape=Shape(utterances=6))
    trials = [
        replace(each, trial=replace(each.trial, id=f"{each.trial.id}{index}", corpus=corpus))
        for index, corpus in enumerate(corpora)
        for each in facts.trials
    ]
    return replace(facts, trials=tuple(trials))


@pytest.mark.parametrize(
    ("corpora", "labels"),
    [
        (("/a/clean/dev", "/a/noisy/dev"), ("clean/dev", "noisy/dev")),
        (("/a/clean/dev/x", "/a/noisy/dev/x"), ("clean/dev/x", "noisy/dev/x")),
        (("dev/x", "/a/dev/x"), ("dev/x", "a/dev/x")),
        (("bundled", "hub:me/bundled"), ("bundled", "hub:me/bundled")),
    ],
)
def test_corpora_that_end_alike_have_labels_of_their_own(corpora: tuple[str, str], labels: tuple[str, str]) -> None:
    table = formats.to_markdown(on(*corpora)).splitlines()[2:4]
    assert sorted(line.split("|")[3].strip() for line in table) == sorted(labels)


def test_an_english_rule_on_german_is_said() -> None:
    facts = on("bundled")
    assert "the text rule" not in formats.to_markdown(facts)
    german = [
        replace(
            each,
            utterances=tuple(
                replace(result, reference="ich gehe nicht in die Stadt und kaufe ein Brot")
                for result in each.utterances
            ),
        )
        for each in facts.trials
    ]
    assert "- bundled: the text rule 'whisper' is for English, and 30% of" in formats.to_markdown(
        replace(facts, trials=tuple(german))
    )
