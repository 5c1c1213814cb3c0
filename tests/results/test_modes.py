"""One recognizer in several power modes: which keeps up with speech, which of these takes the least energy, and what is said."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.stored_runs import CLEAN, MODELS, Model, Shape, made_up_run, store_run
from wattscribe.journal import read_run
from wattscribe.pages.formats import to_json, to_markdown
from wattscribe.pages.run_page import run_page
from wattscribe.records import PowerMode, RunFacts
from wattscribe.results import table
from wattscribe.results.compare import compare
from wattscribe.results.findings import correlations, eval_sets, pair_tests
from wattscribe.results.gates import Gates
from wattscribe.results.modes import AcrossModes, across_modes, keeps_up

SHAPE = Shape(utterances=8, speakers=4, utterance_s=2.0)
FAST = PowerMode(name="MAXN", settings={"nvpmodel": "2", "jetson_clocks": "on"})
MIDDLE = PowerMode(name="15W", settings={"nvpmodel": "0"})
SLOW = PowerMode(name="7W", settings={"nvpmodel": "1", "max_mhz": "700"})


def in_modes(
    *modes: tuple[PowerMode, float, float], models: tuple[Model, ...] = MODELS[:1], shape: Shape = SHAPE
) -> RunFacts:
    """Each mode with the real-time factor and the watts above idle of every model in it."""
    runs = []
    for at, (mode, rtf, power_w) in enumerate(modes):
        driven = tuple(replace(model, rtf=rtf, power_w=power_w) for model in models)
        facts = made_up_run(models=driven, precisions=("fp32",), conditions=(CLEAN,), shape=shape)
        for trial in facts.trials:
            told = replace(trial.trial, mode=mode, id=f"{trial.trial.id}-{at}")
            runs.append(replace(trial, trial=told))
    names = [{"name": mode.name} for mode, _, _ in modes]
    return replace(facts, trials=tuple(runs), experiment={**facts.experiment, "modes": names})


def found(facts: RunFacts) -> AcrossModes:
    (item,) = across_modes(eval_sets(table.view(facts)))
    return item


def test_the_least_energy_of_those_that_keep_up() -> None:
    """7 W would take the least and is too slow; of the others 15 W takes less than MAXN."""
    facts = in_modes((FAST, 0.2, 8.0), (MIDDLE, 0.4, 3.0), (SLOW, 1.2, 0.2))
    item = found(facts)
    assert [entry.row.mode for entry in item.entries] == ["MAXN", "15W", "7W"], "as the experiment lists them"
    assert [keeps_up(entry.row) for entry in item.entries] == [True, True, False]
    assert (item.name, item.reason) == ("fake:tiny fp32", None)
    assert item.least is not None
    assert item.least.row.mode == "15W"
    assert item.ratio is not None
    assert item.ratio.value == pytest.approx((8 + 2) * 0.2 / ((3 + 2) * 0.4), rel=0.05)
    for text in (to_markdown(facts), run_page(facts)):
        assert "of the modes that keep up with speech 15W takes the least energy" in text
    assert "1 recognizer in 3 power modes transcribed" in run_page(facts)
    assert 'id="modes"' in run_page(facts)
    assert "mode-energy-0" in run_page(facts)


def test_a_tail_that_is_slower_than_speech_does_not_keep_up() -> None:
    facts = in_modes((FAST, 0.2, 8.0), (MIDDLE, 0.4, 3.0))
    trials = []
    for trial in facts.trials:
        slowest = trial.utterances[-1]
        if trial.trial.mode == MIDDLE:
            slowest = replace(slowest, end_s=slowest.start_s + 1.5 * slowest.audio_s)
        trials.append(replace(trial, utterances=(*trial.utterances[:-1], slowest)))
    item = found(replace(facts, trials=tuple(trials)))
    rows = [entry.row for entry in item.entries]
    assert rows[1].rtf is not None
    assert rows[1].rtf < 1 < (rows[1].rtf_p99 or 0.0)
    assert [keeps_up(row) for row in rows] == [True, False]
    assert item.least is not None
    assert item.least.row.mode == "MAXN"
    assert item.next_best is None


@pytest.mark.parametrize(
    ("modes", "measured", "words"),
    [
        (((FAST, 1.1, 8.0), (MIDDLE, 1.4, 3.0)), True, "no mode keeps up with speech"),
        (((FAST, 0.2, 8.0), (MIDDLE, 0.4, 3.0)), False, "no sensor could be read"),
    ],
)
def test_none_is_named_without_a_reason(
    modes: tuple[tuple[PowerMode, float, float], ...], measured: bool, words: str
) -> None:
    facts = in_modes(*modes, shape=replace(SHAPE, measured=measured))
    facts = replace(facts, machine={"cpu": "nobody's"})
    item = found(facts)
    assert item.least is None
    assert words in (item.reason or "")
    assert f"no power mode is recommended: {item.reason}" in to_markdown(facts)


def test_modes_that_differ_by_chance_are_said_so() -> None:
    item = in_modes((FAST, 0.2, 3.0), (MIDDLE, 0.2, 3.02))
    assert "which is not shown to be more" in to_markdown(item)


def test_threads_are_the_modes_where_modes_set_them() -> None:
    one, two = PowerMode(name="1 thread", threads=1), PowerMode(name="2 threads", threads=2)
    facts = in_modes((one, 0.4, 3.0), (two, 0.3, 4.0))
    trials = tuple(
        replace(trial, trial=replace(trial.trial, recognizer=replace(trial.trial.recognizer, threads=threads)))
        for trial in facts.trials
        if trial.trial.mode is not None and (threads := trial.trial.mode.threads) is not None
    )
    item = found(replace(facts, trials=trials))
    assert [entry.row.threads for entry in item.entries] == [1, 2]
    rows = table.view(replace(facts, trials=trials)).rows
    assert [row.mode_settings for row in rows] == [{"threads": "1"}, {"threads": "2"}]


def test_a_run_without_modes_has_no_section() -> None:
    facts = made_up_run(models=MODELS[:2], precisions=("fp32",), conditions=(CLEAN,), shape=SHAPE)
    assert across_modes(eval_sets(table.view(facts))) == []
    assert 'id="modes"' not in run_page(facts)
    assert all(row.mode is None for row in table.view(facts).rows)


def test_journal_rows_and_labels_keep_the_modes_apart(tmp_path: object) -> None:
    from pathlib import Path

    facts = in_modes((FAST, 0.2, 8.0), (MIDDLE, 0.4, 3.0), models=MODELS[:2])
    again = read_run(store_run(facts, Path(str(tmp_path)) / "r"))
    assert [trial.trial.mode for trial in again.trials] == [trial.trial.mode for trial in facts.trials]
    rows = table.view(again).rows
    assert [row.model_label for row in rows] == [
        "fake:tiny (MAXN)", "fake:tiny (15W)", "fake:base (MAXN)", "fake:base (15W)",
    ]  # fmt: skip
    assert '"mode": "MAXN"' in to_json(again)
    sets = eval_sets(table.view(again))
    tests = pair_tests(sets)
    assert {(test.first.row.mode, test.second.row.mode) for test in tests} == {("MAXN", "MAXN"), ("15W", "15W")}
    assert all(item.result is None for item in correlations(sets)), "two models, however many modes"


def test_compare_keeps_to_the_same_mode() -> None:
    facts = in_modes((FAST, 0.2, 8.0), (MIDDLE, 0.4, 3.0))
    gates = Gates(max_error_increase_points=50.0)
    assert compare(facts, facts, gates).accepted
    assert len(compare(facts, facts, gates).verdicts) == 2
    other = in_modes((FAST, 0.2, 8.0), (replace(MIDDLE, settings={"nvpmodel": "3"}), 0.4, 3.0))
    refused = compare(facts, other, gates)
    (reason,) = refused.reasons
    assert "mode of the experiment: 15W (nvpmodel 0) in the base run, 15W (nvpmodel 3) in the new one" in reason
    lacking = compare(facts, in_modes((FAST, 0.2, 8.0), (SLOW, 0.4, 3.0)), gates)
    assert any("the new run has no fake:tiny (15W)" in why for why in lacking.reasons)
