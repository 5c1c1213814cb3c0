"""The plan is the whole matrix, in an order that depends on nothing but the experiment."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattscribe.errors import InputError
from wattscribe.runs.experiment import check
from wattscribe.runs.plan import notes_of, plan

FULL: dict[str, Any] = {
    "models": ["fake:a", {"model": "fake:b", "precision": ["fp16"]}],
    "precision": ["fp32", "int8"],
    "data": ["bundled", "other"],
    "noise": ["white"],
    "snr": [10.0, 0.0],
    "repeats": 3,
}


def test_every_combination_once_per_repeat() -> None:
    trials = plan(check(FULL))
    cells = [(t.recognizer.model, t.recognizer.precision, t.corpus, t.condition.name, t.repeat) for t in trials]
    expected = {
        (model, precision, corpus, condition, repeat)
        for model, precision in (("a", "fp32"), ("a", "int8"), ("b", "fp16"))
        for corpus in ("bundled", "other")
        for condition in ("clean", "white@10dB", "white@0dB")
        for repeat in range(3)
    }
    assert len(cells) == len(expected)
    assert set(cells) == expected


def test_repeats_are_spread() -> None:
    trials = plan(check(FULL))
    assert [trial.repeat for trial in trials] == sorted(trial.repeat for trial in trials)
    blocks = [[(t.recognizer, t.corpus, t.condition) for t in trials if t.repeat == repeat] for repeat in range(3)]
    assert blocks[0] != blocks[1]
    assert {str(cell) for cell in blocks[0]} == {str(cell) for cell in blocks[1]}


def test_conditions_are_interleaved() -> None:
    """A drifting machine must not meet one model first and another last."""
    models = [trial.recognizer.model for trial in plan(check(FULL)) if trial.repeat == 0]
    assert models != sorted(models)
    assert models != sorted(models, reverse=True)


@given(st.integers(min_value=0, max_value=10_000))
def test_the_same_seed_gives_the_same_plan(seed: int) -> None:
    one, other = plan(check({**FULL, "seed": seed})), plan(check({**FULL, "seed": seed}))
    assert one == other


def test_the_seed_changes_the_order() -> None:
    orders = {tuple(t.recognizer.model + t.condition.name for t in plan(check({**FULL, "seed": s}))) for s in range(5)}
    assert len(orders) == 5


def test_ids_follow_the_content() -> None:
    first = plan(check({"models": ["fake:a"], "data": ["bundled"]}))[0]
    assert first == plan(check({"models": ["fake:a"], "data": ["bundled"], "repeats": 2}))[0]
    changed = [
        plan(check({"models": ["fake:a"], "data": ["bundled"], **keys}))[0].id
        for keys in (
            {"seed": 1},
            {"threads": 2},
            {"latency": True},
            {"limit": 5},
            {"timeout_s": 7.0},
            {"batch_size": 2},
        )
    ]
    assert len({first.id, *changed}) == 7


def test_a_longer_run_keeps_the_ids_of_a_shorter_one() -> None:
    short = {trial.id for trial in plan(check({**FULL, "repeats": 2}))}
    assert short < {trial.id for trial in plan(check(FULL))}


def test_a_model_named_twice_is_refused() -> None:
    with pytest.raises(InputError, match="twice"):
        plan(check({"models": ["fake:a", "fake:a"], "data": ["bundled"]}))


def test_an_unknown_precision_is_refused_with_what_there_is() -> None:
    with pytest.raises(InputError, match=r"fp7.*One of: .*int8"):
        plan(check({"models": ["fake:a"], "precision": ["fp7"], "data": ["bundled"]}))


def test_an_option_of_all_holds_for_those_that_have_it_and_the_others_are_named() -> None:
    experiment = check(
        {"models": ["fake:a", {"model": "pocketsphinx:en-us", "options": {"lm": "x"}}], "data": ["bundled"],
         "options": {"text": "yes", "seed": "1"}}
    )  # fmt: skip
    options = {trial.recognizer.runtime: trial.recognizer.options for trial in plan(experiment)}
    assert options == {"fake": {"text": "yes", "seed": "1"}, "pocketsphinx": {"lm": "x"}}
    assert notes_of(experiment) == [
        "option text=yes is left out where there is none: pocketsphinx:en-us",
        "option seed=1 is left out where there is none: pocketsphinx:en-us",
    ]


def test_an_option_that_none_has_is_refused() -> None:
    for models in (["fake:a"], ["fake:a", "pocketsphinx:en-us"]):
        experiment = check({"models": models, "data": ["bundled"], "options": {"txt": "yes"}})
        with pytest.raises(InputError, match="no option 'txt'"):
            plan(experiment)
        assert notes_of(experiment) == []


def test_an_option_in_a_name_is_that_models_own_mistake() -> None:
    experiment = check({"models": ["fake:a", "pocketsphinx:en-us?text=yes"], "data": ["bundled"]})
    with pytest.raises(InputError, match="pocketsphinx has no option 'text'"):
        plan(experiment)


def test_what_a_class_takes_is_its_own_matter() -> None:
    experiment = check({"models": ["fake:a", "python:m:C"], "data": ["bundled"], "options": {"text": "yes"}})
    assert all(trial.recognizer.options == {"text": "yes"} for trial in plan(experiment))
