"""What the joules cover stands beside them everywhere, and what covers different things is never ranked or sorted together."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.results.test_device import beside_an_uncounted_one, unsensed
from tests.stored_runs import CLEAN, MODELS, Shape, made_up_run, store_run
from wattscribe import pages, results
from wattscribe.cli import main
from wattscribe.energy.devices import load
from wattscribe.errors import InputError
from wattscribe.pages import sections, sentences
from wattscribe.pages.page import Table
from wattscribe.records import RunFacts
from wattscribe.results.basis import bases, energy_name
from wattscribe.results.findings import correlations, eval_sets
from wattscribe.results.table import view


def two_meters(rows: int = 4) -> RunFacts:
    """Half of the recognizers measured by the module's sensor, half by an external meter of the whole device."""
    facts = made_up_run(models=MODELS[:rows], precisions=("fp32",), conditions=(CLEAN,))
    elsewhere = tuple(
        replace(
            trial,
            trial=replace(trial.trial, recognizer=replace(trial.trial.recognizer, device="cuda")),
            traces=tuple(
                replace(trace, channel="gpu", covers="GPU board 0", processors=("gpu",)) for trace in trial.traces
            ),
        )
        for trial in facts.trials[rows // 2 :]
    )
    return replace(facts, trials=facts.trials[: rows // 2] + elsewhere)


def test_a_name_says_evidence_and_coverage() -> None:
    assert (
        energy_name("modelled", "CPU cores above idle (server x86, 2 to 9 W per core)")
        == "modelled: CPU cores above idle"
    )
    assert energy_name("unavailable", None) == "unavailable"


def test_each_thing_covered_has_a_column_of_its_own() -> None:
    facts = two_meters()
    found = bases(view(facts).rows)
    assert [each.name for each in found[:2]] == ["measured: module total", "measured: GPU board 0"]
    assert found[2].prefix == "cpu_", "the two on the CPU have its basis beside what was measured"
    for row in view(facts).rows:
        own = [each for each in found[:2] if each.per_audio_s(row)[0] is not None]
        assert [each.covers for each in own] == [row.energy_covers]


def test_columns_of_one_short_name_keep_apart() -> None:
    facts = two_meters(2)
    one, two = facts.trials
    named = replace(two, traces=tuple(replace(trace, covers="module total (meter B)") for trace in two.traces))
    headers = [each.header for each in bases(view(replace(facts, trials=(one, named))).rows)]
    assert len(set(headers)) == len(headers) == 3
    assert "measured: module total (meter B)" in headers[1]
    text = pages.to_markdown(replace(facts, trials=(one, named)))
    assert all(header in text for header in headers)


def test_no_column_of_the_page_sorts_different_things_together() -> None:
    for facts in (two_meters(), beside_an_uncounted_one()):
        seen = view(facts)
        table = sections.table_section(seen).blocks[0]
        assert isinstance(table, Table)
        first = len(sections.HEADER)
        for at, basis in enumerate(bases(seen.rows)):
            shown = [row[first + at].sort for row in table.rows]
            assert shown == [basis.per_audio_s(row)[0] for row in seen.rows]
        kinds = [table.caption for table in sections.energy_tables(eval_sets(seen))]
        assert len(kinds) == len(set(kinds)) == len({row.energy_covers for row in seen.rows})


def test_the_tile_ranks_only_what_all_have_in_common() -> None:
    (tile,) = [each for each in sentences.tiles(eval_sets(view(beside_an_uncounted_one()))) if "energy" in each[1]]
    assert tile[1] == "least energy per second of audio, modelled: CPU cores above idle"
    rows = results.rows(beside_an_uncounted_one())
    assert float(tile[0].removesuffix(" J")) == pytest.approx(min(row["j_per_audio_s"] for row in rows), rel=0.01)
    assert not [each for each in sentences.tiles(eval_sets(view(two_meters()))) if "energy" in each[1]]


def test_one_sentence_never_names_two_winners() -> None:
    said = sentences.summary(view(beside_an_uncounted_one()), eval_sets(view(beside_an_uncounted_one())))
    assert " ".join(said).count("the least energy") == 1
    assert "the least energy (modelled: CPU cores above idle)" in " ".join(said)
    apart = sentences.summary(view(two_meters()), eval_sets(view(two_meters())))
    assert all(line.count("the least energy") <= 1 for line in apart)
    assert [line for line in apart if "(measured: GPU board 0)" in line]
    lone = sentences.summary(view(two_meters(2)), eval_sets(view(two_meters(2))))
    assert "least energy" not in " ".join(lone), "one alone of its kind is no winner"


def test_correlations_refuse_what_covers_different_things() -> None:
    found = correlations(eval_sets(view(two_meters())))[0]
    assert found.result is None
    assert "cover different things" in str(found.reason)


def test_a_terminal_line_says_what_its_joules_cover() -> None:
    text = pages.to_markdown(beside_an_uncounted_one())
    head, _, *lines = text.splitlines()
    assert [each.strip() for each in head.split("|")][-5:-1] == ["J", "energy of", "J/s = Wh/h audio", "J/s on phone"]
    for line in lines[:2]:
        assert "modelled: CPU cores above idle" in line
    assert "must not be compared with each other" in text
    assert "another machine than this run's" in text


def test_watt_hours_and_grams_for_who_plans() -> None:
    facts = unsensed(made_up_run(models=MODELS[:1], precisions=("fp32",), conditions=(CLEAN,)))
    (plain,), (row,) = results.rows(facts), results.rows(facts, grid_gco2_per_kwh=400.0)
    assert plain["energy_wh"] == pytest.approx(plain["energy_j"] / 3600)
    hours = plain["audio_s"] / 3600
    assert plain["wh_per_audio_h"] == pytest.approx(plain["energy_wh"] / hours)
    for name in ("grid_gco2_per_kwh", "energy_gco2", "gco2_per_audio_h", "gco2_per_audio_h_ci95"):
        assert plain[name] is None, "no intensity is assumed"
    assert row["energy_gco2"] == pytest.approx(0.4 * row["energy_wh"])
    assert row["gco2_per_audio_h"] == pytest.approx(0.4 * row["wh_per_audio_h"])
    assert row["gco2_per_audio_h_ci95"] == pytest.approx([0.4 * each for each in row["wh_per_audio_h_ci95"]])
    assert "CO2" not in pages.to_markdown(facts)
    assert "CO2 at 400 g per kWh, as stated" in pages.to_markdown(facts, grid_gco2_per_kwh=400.0)
    for bad in (-1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="`grid_gco2_per_kwh` 400"):
            results.rows(facts, grid_gco2_per_kwh=bad)


def test_the_grid_from_the_command_line(tmp_path: object, capsys: pytest.CaptureFixture[str]) -> None:
    facts = made_up_run(models=MODELS[:1], precisions=("fp32",), conditions=(CLEAN,), shape=Shape(measured=False))
    run = str(store_run(facts, tmp_path / "run"))  # type: ignore[operator]
    assert main(["report", run, "--format", "json", "--grid-gco2-per-kwh", "50"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert row["grid_gco2_per_kwh"] == 50
    assert main(["report", run, "--grid-gco2-per-kwh", "50"]) == 0
    assert "g CO2 / h audio" in (tmp_path / "run/report.html").read_text(encoding="utf-8")  # type: ignore[operator]
    assert main(["report", run, "--grid-gco2-per-kwh=-50"]) == 2
    assert main(["bench", "--model", "fake:x", "--data", "nowhere", "--grid-gco2-per-kwh=-50"]) == 2
    assert "a grid cannot emit -50 g" in capsys.readouterr().err


def test_a_measured_run_on_a_device_keeps_both_apart() -> None:
    facts = made_up_run(models=MODELS[:1], precisions=("fp32",), conditions=(CLEAN,))
    names = [each.name for each in bases(view(facts, device=load("phone")).rows)]
    assert names == ["measured: module total", "modelled: CPU cores above idle"]
