"""SPACE.toml: lists of settings become configurations, each of which every stage measures as what it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from wattscribe.errors import InputError
from wattscribe.runs.part import PartEntry, in_part
from wattscribe.runs.plan import plan
from wattscribe.tuning.partition import of_experiment
from wattscribe.tuning.space import key_of, load, read

PART = PartEntry(of=4, taken=[1, 3])


def space(**keys: Any) -> Any:
    return read({"models": ["fake:a"], "data": ["bundled"], **keys})


def test_lists_make_every_combination() -> None:
    table = {
        "model": "fake:a",
        "precision": ["fp32", "int8"],
        "threads": [1, 2],
        "options": {"cpu": [0.1, 1], "text": "x"},
    }
    made = space(models=[table, "fake:b"], precision=["fp16"])
    assert len(made.configurations) == 9
    assert len({each.key for each in made.configurations}) == len({each.label for each in made.configurations}) == 9
    assert {each.axes["cpu"] for each in made.configurations if "cpu" in each.axes} == {"0.1", "1"}
    assert made.configurations[-1].label == "fake:b fp16"
    assert made.configurations[0].label == "fake:a (cpu=0.1, text=x) fp32"


def test_modes_are_an_axis_and_their_threads_win() -> None:
    modes = [{"name": "slow", "threads": 1}, {"name": "fast", "threads": 4}]
    made = space(models=[{"model": "fake:a", "threads": [1, 2]}, "fake:b"], modes=modes)
    assert [(each.label, each.recognizer.threads) for each in made.configurations] == [
        ("fake:a (slow) fp32", 1), ("fake:a (fast) fp32", 4), ("fake:b (slow) fp32", 1), ("fake:b (fast) fp32", 4),
    ]  # fmt: skip


def test_a_stage_measures_these_configurations_and_no_other() -> None:
    modes = [{"name": "slow", "threads": 1}, {"name": "fast", "threads": 4}]
    table = {"model": "fake:a", "precision": ["fp32", "int8"], "options": {"wer": [0, 0.5]}}
    made = space(models=[table], modes=modes, options={"seed": "7"}, batch_size=2)
    chosen = [made.configurations[at] for at in (0, 3, 6)]
    experiments = made.stage(chosen, PART, repeats=2)
    trials = [trial for experiment in experiments for trial in plan(experiment)]
    assert len(experiments) == 2
    assert {key_of(trial.recognizer, trial.mode) for trial in trials} == {each.key for each in chosen}
    assert len(trials) == 6
    assert {trial.part for trial in trials} == {PART.part()}
    assert {trial.recognizer.options["seed"] for trial in trials} == {"7"}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"models": [{"model": "fake:a", "threads": []}]}, "threads is an empty list"),
        ({"models": [{"model": "fake:a", "threads": [1, 1]}]}, "threads lists 1 twice"),
        ({"models": [{"model": "fake:a", "thread": [1]}]}, "there is no key 'models.0.thread', did you mean threads"),
        ({"models": [{"model": "fake:a", "options": {"beem": [1]}}]}, "has no option 'beem'"),
        (
            {"models": [{"model": "fake:a", "options": {"seed": list(range(999)), "cpu": list(range(99))}}]},
            "98,901 config",
        ),
        ({"noise": ["white"], "snr": [10]}, "a space has one condition, this one has 2: clean, white@10dB"),
        ({"mark": True}, "mark is no key of a space"),
        ({"part": {"of": 2, "taken": [0]}}, "part is no key of a space"),
        ({"models": []}, "models"),
        ({"models": [3]}, "models"),
    ],
)
def test_what_no_space_may_say_is_refused_in_one_line(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        space(**keys)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_paths_start_at_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/space.toml").write_text('models = ["fake:a"]\ndata = ["corpus"]\n', encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert load(Path("in/space.toml")).experiment.data == ["in/corpus"]


def test_too_little_speech_is_refused() -> None:
    with pytest.raises(InputError, match=r"bundled: 19 utterances are too few to choose on some and prove on others"):
        of_experiment(space(limit=19).experiment)
    assert of_experiment(space(limit=20).experiment).held_back.of == 20


def test_a_part_is_of_the_first_so_many(tmp_path: Path) -> None:
    from dataclasses import replace

    from wattscribe.corpora import open_corpus

    corpus = open_corpus("bundled")
    ids = [entry.id for entry in corpus]
    (trial,) = plan(space(limit=10).stage(space().configurations, PART, repeats=1)[0])
    assert [entry.id for _, entry in in_part(corpus, replace(trial, limit=10))] == ids[1:10:2]
    assert [entry.id for _, entry in in_part(corpus, replace(trial, limit=None))] == ids[1::2]
    assert [entry.id for _, entry in in_part(corpus, replace(trial, part=None))] == ids


def test_a_part_that_is_none_is_refused() -> None:
    from wattscribe.runs.experiment import check

    with pytest.raises(InputError, match="taken holds remainders of a division by 4, which are 0 to 3"):
        check({"models": ["fake:a"], "data": ["bundled"], "part": {"of": 4, "taken": [4]}})
    with pytest.raises(InputError, match=r"there is no key 'part.take', did you mean taken"):
        check({"models": ["fake:a"], "data": ["bundled"], "part": {"of": 4, "take": [1]}})
