"""The machine-readable contract: every column, missing as null, repeats and failures counted once."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.stored_runs import CLEAN, MODELS, NOISY, Shape, made_up_run
from wattscribe import pages, results
from wattscribe.errors import InputError
from wattscribe.pages import formats
from wattscribe.records import (
    Counts,
    PowerTrace,
    Rejected,
    RunFacts,
    StreamingLatency,
    TrialFacts,
    UtteranceResult,
    Window,
    finite,
)
from wattscribe.results.cost import within_and_between

COLUMNS = (
    "model precision precision_ok corpus condition snr_db utterances failed audio_s wer wer_ci95 cer rtf latency_p50_s "
    "latency_p90_s latency_p99_s load_s peak_memory_bytes energy_j energy_ci95_j energy_idle_j energy_evidence "
    "energy_covers j_per_audio_s"
)
CONTRACT = COLUMNS.split()
TINY = MODELS[:1]


def one(**changes: Any) -> RunFacts:
    """A run of one trial, its facts changed."""
    facts = made_up_run(models=TINY, precisions=("fp32",), conditions=(CLEAN,), shape=Shape(utterances=6, speakers=3))
    return replace(facts, trials=(replace(facts.trials[0], **changes),))


def only_row(facts: RunFacts) -> dict[str, Any]:
    (row,) = results.rows(facts)
    return row


def test_the_contract_holds() -> None:
    document = json.loads(pages.to_json(made_up_run(conditions=(CLEAN, NOISY[2]))))
    assert document["schema"] == 1
    assert len(document["rows"]) == 4 * 3 * 2
    for row in document["rows"]:
        assert set(CONTRACT) <= set(row)
        assert 0 <= row["wer_ci95"][0] <= row["wer"] <= row["wer_ci95"][1] <= 1
        assert row["energy_ci95_j"][0] <= row["energy_j"] <= row["energy_ci95_j"][1]
        assert row["energy_evidence"] == "measured"
        assert row["rtf"] * row["rtfx"] == pytest.approx(1.0)
    assert {row["snr_db"] for row in document["rows"]} == {None, 5.0}


def test_energy_is_that_of_the_trace() -> None:
    """2 W idle and 3 W of work over the window: the noise of the made-up sensor is 2 %."""
    facts = one()
    row, window = only_row(facts), facts.trials[0].window
    assert window is not None
    assert row["energy_j"] == pytest.approx(5.0 * window.duration_s, rel=0.01)
    assert row["energy_idle_j"] == pytest.approx(2.0 * window.duration_s, rel=0.02)
    assert row["energy_net_j"] == pytest.approx(3.0 * window.duration_s, rel=0.03)
    assert row["mean_power_w"] == pytest.approx(5.0, rel=0.01)
    assert row["j_per_audio_s"] == pytest.approx(row["energy_j"] / row["audio_s"])


def test_missing_is_null_and_never_zero() -> None:
    facts = one(traces=(), cpu_s=None, load_s=None, peak_memory_bytes=None, audit=None)
    row = json.loads(pages.to_json(facts))["rows"][0]
    for name in ("energy_j", "energy_ci95_j", "j_per_audio_s", "load_s", "peak_memory_bytes", "precision_ok", "snr_db"):
        assert row[name] is None
    assert row["energy_evidence"] == "unavailable"
    assert "no sensor" in row["energy_reason"]


def test_without_a_sensor_energy_is_modelled_from_cpu_seconds() -> None:
    row = only_row(one(traces=(), cpu_s=10.0))
    assert row["energy_evidence"] == "modelled"
    low, high = row["energy_ci95_j"]
    assert low < row["energy_j"] < high
    assert "W per core" in str(row["energy_covers"])


def test_a_sensor_that_does_not_answer_is_not_replaced_by_a_model() -> None:
    facts = one()
    trace = facts.trials[0].traces[0]
    row = only_row(one(traces=(replace(trace, t_s=trace.t_s[:20], power_w=trace.power_w[:20]),), cpu_s=10.0))
    assert row["energy_j"] is None
    assert row["energy_evidence"] == "unavailable"
    assert "VDD_IN" in str(row["energy_reason"])


def test_rails_are_named_apart_and_never_added() -> None:
    facts = one()
    total = facts.trials[0].traces[0]
    part = PowerTrace(
        channel="VDD_CPU",
        covers="CPU rail",
        total=False,
        update_interval_s=total.update_interval_s,
        evidence="measured",
        t_s=total.t_s,
        power_w=tuple(each / 2 for each in total.power_w),
    )
    alone, both = only_row(facts), only_row(one(traces=(part, total)))
    assert both["energy_j"] == alone["energy_j"]
    assert both["energy_covers"] == "module total"
    (rail,) = both["rails"]
    assert rail["covers"] == "CPU rail"
    assert rail["energy_j"] == pytest.approx(alone["energy_j"] / 2)


def test_repeats_are_one_row_and_every_utterance_counts_once() -> None:
    single = only_row(made_up_run(models=TINY, precisions=("fp32",), conditions=(CLEAN,)))
    triple = only_row(made_up_run(models=TINY, precisions=("fp32",), conditions=(CLEAN,), shape=Shape(repeats=3)))
    assert triple["repeats"] == 3
    for name in ("utterances", "words", "wer", "wer_ci95", "cer"):
        assert triple[name] == single[name]
    assert triple["rtf_ci95"] is not None
    assert single["rtf_ci95"] is None
    assert triple["audio_s"] == pytest.approx(single["audio_s"])


def test_repeats_that_differ_are_averaged() -> None:
    facts = made_up_run(models=TINY, precisions=("fp32",), conditions=(CLEAN,), shape=Shape(repeats=2, utterances=4))
    deaf = tuple(replace(each, hypothesis="") for each in facts.trials[1].utterances)
    first = only_row(replace(facts, trials=facts.trials[:1]))["wer"]
    both = only_row(replace(facts, trials=(facts.trials[0], replace(facts.trials[1], utterances=deaf))))
    assert both["wer"] == pytest.approx((first + 1.0) / 2)
    assert both["words"] == 48


def test_an_utterance_without_an_answer_deletes_its_words() -> None:
    facts = one()
    first, *rest = facts.trials[0].utterances
    silent = replace(first, hypothesis=None, error="timed out after 120 s")
    perfect = tuple(replace(each, hypothesis=each.reference) for each in rest)
    row = only_row(one(utterances=(silent, *perfect)))
    assert (row["utterances"], row["failed"], row["status"]) == (6, 1, "done")
    assert row["deletions"] == 12
    assert row["wer"] == pytest.approx(1 / 6)


def test_a_failed_trial_is_not_scored() -> None:
    row = only_row(one(status="failed", reason="killed for memory"))
    assert (row["wer"], row["energy_j"], row["repeats"]) == (None, None, 0)
    assert (row["status"], row["reason"]) == ("failed", "killed for memory")


def test_one_failed_repeat_leaves_the_others() -> None:
    facts = made_up_run(models=TINY, precisions=("fp32",), conditions=(CLEAN,), shape=Shape(repeats=2))
    broken = replace(facts.trials[1], status="failed", reason="hung")
    row = only_row(replace(facts, trials=(facts.trials[0], broken)))
    assert (row["status"], row["repeats"], row["reason"]) == ("partial", 1, "hung")
    assert row["wer"] is not None


def test_a_batch_shares_its_time() -> None:
    facts = one()
    trial = facts.trials[0]
    together = tuple(replace(each, start_s=10.0, end_s=14.0) for each in trial.utterances)
    audio_s = sum(each.audio_s for each in together)
    assert only_row(one(utterances=together))["rtf"] == pytest.approx(4.0 / audio_s)


def test_rejected_inputs_are_counted_per_corpus() -> None:
    facts = one()
    left_out = tuple(Rejected(corpus=c, id=i, reason="not audio") for c, i in (("bundled", "a"), ("other", "b")))
    assert only_row(replace(facts, rejected=left_out))["rejected"] == 1


def test_rejected_inputs_are_counted_where_they_were_left_out() -> None:
    """Two entries of one id are two inputs; what was heard clean and left out in noise counts in noise only, also where a second
    input of its id was left out everywhere."""
    facts = made_up_run(models=TINY, precisions=("fp32",), conditions=(CLEAN, NOISY[0]), shape=Shape(utterances=5))
    quiet, loud = facts.trials
    loud = replace(loud, utterances=loud.utterances[:-1])
    silent = quiet.utterances[-1].id
    everywhere = [("x", "text missing"), ("x", "duplicate id"), (silent, "duplicate id")]
    left_out = [
        Rejected(corpus="bundled", id=name, reason=why, condition=where)
        for where in ("clean", "rain@20dB")
        for name, why in everywhere
    ]
    left_out.append(Rejected(corpus="bundled", id=silent, reason="the speech is silent", condition="rain@20dB"))
    facts = replace(facts, trials=(quiet, loud), rejected=tuple(left_out))
    assert [row["rejected"] for row in results.rows(facts)] == [3, 4]
    text = pages.to_markdown(facts)
    assert "3 of bundled, clean; 4 of bundled, rain@20dB" in text
    assert "the speech is silent (under rain@20dB)" in text
    alone = replace(facts, trials=(quiet,), rejected=tuple(left_out[:3]))
    assert only_row(alone)["rejected"] == 3
    assert "- 3 inputs rejected, excluded from the score:" in pages.to_markdown(alone)


def test_recognizers_that_share_a_short_name_are_told_apart() -> None:
    facts = one()
    (trial,) = facts.trials

    def labels(*specs: dict[str, Any]) -> list[object]:
        made = [replace(trial.trial.recognizer, **spec) for spec in specs]
        trials = tuple(replace(trial, trial=replace(trial.trial, recognizer=spec)) for spec in made)
        return [row["model_label"] for row in results.rows(replace(facts, trials=trials))]

    assert labels({"model": "/x/a/m"}) == ["fake:m"]
    assert labels({"model": "/x/a/m"}, {"model": "/x/b/m/"}, {"model": "/x/n"}) == ["fake:a/m", "fake:b/m", "fake:n"]
    assert labels({"model": "/x/a/m"}, {"model": "/y/a/m"}) == ["fake:x/a/m", "fake:y/a/m"]
    assert labels({"model": "m"}, {"model": "p/m"}) == ["fake:m", "fake:p/m"]
    assert labels({"model": "m"}, {"model": "m", "threads": 4}) == ["fake:m", "fake:m (4 threads)"]
    assert labels({"model": "m"}, {"model": "m", "precision": "int8"}) == ["fake:m", "fake:m"]


def test_an_interval_of_times_does_not_reach_below_zero() -> None:
    facts = made_up_run(models=TINY, precisions=("fp32",), conditions=(CLEAN,), shape=Shape(repeats=2))
    first, second = facts.trials
    slow = tuple(replace(u, end_s=u.start_s + 3 * (u.end_s - u.start_s)) for u in second.utterances)
    slow = tuple(replace(u, start_s=u.start_s + 100 * i, end_s=u.end_s + 100 * i) for i, u in enumerate(slow))
    row = only_row(replace(facts, trials=(first, replace(second, utterances=slow))))
    low, high = row["rtf_ci95"]
    assert low == 0.0 < row["rtf"] < high


def test_precision_not_as_requested_is_flagged_everywhere() -> None:
    liar = replace(MODELS[0], ran_as_asked=False)
    facts = made_up_run(models=(liar,), precisions=("int8",), conditions=(CLEAN,))
    row = only_row(facts)
    assert row["precision_ok"] is False
    assert "float32" in str(row["precision_reason"])
    assert "precision not as requested" in pages.to_markdown(facts)


def test_streaming_figures() -> None:
    facts = one()
    latency = StreamingLatency(
        first_partial_s=0.5,
        emission_delay_p50_s=0.2,
        emission_delay_p99_s=0.4,
        segment_compute_p50_s=0.01,
        segment_compute_p99_s=0.02,
        finalisation_s=0.1,
        partials=4,
        partials_revised=1,
    )
    counts = Counts(encoder_calls=10, predictor_calls=5, joiner_calls=20, blanks=15, tokens=5)
    heard = tuple(replace(each, latency=latency, counts=counts, audio_s=5.0) for each in facts.trials[0].utterances)
    row = only_row(one(utterances=heard))
    assert row["first_partial_p50_s"] == 0.5
    assert row["finalisation_p99_s"] == pytest.approx(0.1)
    assert (row["partials"], row["partials_revised"]) == (24, 6)
    assert row["joiner_calls_per_audio_s"] == pytest.approx(4.0)
    assert row["blank_share"] == pytest.approx(0.75)


def test_a_run_that_has_hardly_begun_has_rows() -> None:
    facts = made_up_run(models=TINY, precisions=("fp32",), conditions=(CLEAN,))
    pending = replace(facts, trials=(TrialFacts(trial=facts.trials[0].trial, status="pending"),))
    row = only_row(pending)
    assert (row["status"], row["utterances"], row["wer"], row["rtf"]) == ("pending", 0, None, None)
    assert results.rows(replace(facts, trials=())) == []
    assert "| model" in pages.to_markdown(replace(facts, trials=()))


def test_rows_follow_the_experiment_and_not_the_shuffled_plan() -> None:
    facts = made_up_run(models=MODELS[:2], conditions=(CLEAN, NOISY[3], NOISY[0]), shape=Shape(utterances=2))
    shuffled = replace(facts, trials=facts.trials[::-1], experiment={"models": ["fake:tiny", {"model": "fake:base"}]})
    assert results.rows(shuffled) == results.rows(replace(shuffled, trials=facts.trials))
    seen = [(row["model"], row["precision"], row["condition"]) for row in results.rows(shuffled)]
    assert seen[:4] == [
        ("fake:tiny", "fp32", "clean"),
        ("fake:tiny", "fp32", "rain@20dB"),
        ("fake:tiny", "fp32", "rain@0dB"),
        ("fake:tiny", "fp16", "clean"),
    ]


def test_other_settings_are_other_rows() -> None:
    facts = made_up_run(models=TINY, precisions=("fp32",), conditions=(CLEAN,))
    trial = facts.trials[0]
    two = replace(trial, trial=replace(trial.trial, recognizer=replace(trial.trial.recognizer, threads=2)))
    assert [row["threads"] for row in results.rows(replace(facts, trials=(trial, two)))] == [1, 2]


def test_csv_is_flat_and_inert() -> None:
    facts = one(reason="=cmd|' /C calc'!A0")
    (row,) = csv.DictReader(io.StringIO(pages.to_csv(facts)))
    assert row["reason"].startswith("'=")
    assert float(row["wer_ci95_low"]) <= float(row["wer"]) <= float(row["wer_ci95_high"])
    assert row["snr_db"] == ""


def test_parquet_holds_the_same_rows(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    facts = made_up_run(precisions=("fp32", "int8"), conditions=(CLEAN, NOISY[3]))
    pages.to_parquet(facts, tmp_path / "rows.parquet")
    table = parquet.read_table(tmp_path / "rows.parquet")
    assert table.schema.metadata[b"wattscribe.schema"] == b"1"
    assert table.column("wer").to_pylist() == [row["wer"] for row in results.rows(facts)]


def test_parquet_columns_have_the_same_types_whatever_a_run_holds(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    full = made_up_run(precisions=("fp32", "int8"), conditions=(CLEAN, NOISY[3]), shape=Shape(repeats=2))
    bare = one(traces=(), cpu_s=None, audit=None)
    schemas = []
    for index, facts in enumerate((full, bare, replace(bare, trials=()))):
        pages.to_parquet(facts, tmp_path / f"{index}.parquet")
        schemas.append(parquet.read_schema(tmp_path / f"{index}.parquet"))
    assert schemas[0] == schemas[1] == schemas[2]
    kinds = {name: str(schemas[0].field(name).type) for name in schemas[0].names}
    assert "null" not in kinds.values()
    assert (kinds["snr_db"], kinds["wer_ci95_low"], kinds["words"]) == ("double", "double", "int64")
    assert (kinds["precision_ok"], kinds["options"], kinds["energy_evidence"]) == ("bool", "string", "string")
    assert pages.to_csv(bare).splitlines()[0].split(",") == schemas[0].names


def test_json_stays_strict_when_a_figure_is_not_finite() -> None:
    assert finite({"a": [float("nan"), (float("inf"), 1.0)]}) == {"a": [None, [None, 1.0]]}


def test_markdown_stays_a_table_whatever_a_name_holds() -> None:
    facts = made_up_run(models=(replace(MODELS[0], name="a|b<script>"),), precisions=("fp32",), conditions=(CLEAN,))
    header, _, row = pages.to_markdown(facts).splitlines()[:3]
    assert row.replace("\\|", "").count("|") == header.count("|")
    assert "<script>" not in row


def test_unknown_formats_and_unwritable_files_say_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="html, md, csv, json, parquet"):
        formats.write(one(), "pdf", None)
    with pytest.raises(InputError, match="cannot be written"):
        formats.write(one(), "md", tmp_path / "no" / "such" / "folder.md")
    with pytest.raises(InputError, match="`out`"):
        formats.write(one(), "parquet", None)


def test_intervals_of_repeats_by_hand() -> None:
    """Two repeats, 10 and 12, ±1 each: between = 12.706 · √2 / √2 = 12.706, within = 1."""
    low, high = within_and_between([10.0, 12.0], [(9.0, 11.0), (11.0, 13.0)]) or (0.0, 0.0)
    assert high - 11.0 == pytest.approx((12.7062**2 + 1) ** 0.5)
    assert 11.0 - low == pytest.approx(high - 11.0)
    assert within_and_between([10.0], [(9.0, 12.0)]) == (9.0, 12.0)
    assert within_and_between([10.0], [None]) is None


def test_utterances_of_another_window_do_not_matter() -> None:
    """The window decides, not the trace's length: doubling the samples outside changes nothing."""
    facts = one()
    trial = facts.trials[0]
    assert trial.window is not None
    trace = trial.traces[0]
    later = tuple(trace.t_s[-1] + 0.1 * n for n in range(1, 200))
    longer = replace(trace, t_s=trace.t_s + later, power_w=trace.power_w + (9.0,) * len(later))
    assert only_row(one(traces=(longer,)))["energy_j"] == pytest.approx(only_row(facts)["energy_j"], rel=1e-3)
    assert isinstance(trial.window, Window)
    assert isinstance(trial.utterances[0], UtteranceResult)


@pytest.mark.parametrize(("waited", "share"), [(0.25, 0.25), (3.0, 1.0)])
def test_nobody_waits_for_more_than_all_of_the_time(waited: float, share: float) -> None:
    """A runtime may keep more threads than it was asked for, each of them waiting."""
    window = one().trials[0].window
    assert window is not None
    row = only_row(one(starved_s=waited * window.duration_s))
    assert row["starved_share"] == pytest.approx(share)


def test_a_first_start_is_a_figure_of_its_own() -> None:
    (trial,) = one().trials
    facts = one(prepare_s=2.5)
    assert only_row(facts)["prepare_s"] == 2.5
    assert "its first start on this machine took 2.50 s once" in pages.to_markdown(facts)
    assert only_row(one(prepare_s=0.0))["prepare_s"] == 0.0
    assert "first start" not in pages.to_markdown(one(prepare_s=0.0))
    assert only_row(replace(one(), trials=(trial,)))["prepare_s"] is None


def test_the_languages_that_were_heard_are_counted() -> None:
    (trial,) = one().trials
    said = ["de", "en", "en", "en", "de", "en"]
    utterances = tuple(replace(u, language=name) for u, name in zip(trial.utterances, said, strict=True))
    facts = one(utterances=utterances)
    assert only_row(facts)["languages"] == {"en": 4, "de": 2}
    assert "detected: en (4 utterances), de (2 utterances)" in pages.to_markdown(facts)
    stated = replace(trial.trial, recognizer=replace(trial.trial.recognizer, options={"language": "en"}))
    assert "detected:" not in pages.to_markdown(one(utterances=utterances, trial=stated))
    assert only_row(one())["languages"] is None
