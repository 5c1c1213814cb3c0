"""A transducer's joules on a device profile: from counted invocations, not from this machine."""

from __future__ import annotations

from dataclasses import replace

from wattscribe import report
from wattscribe.energy import Component, WeightTensor, Workload, devices
from wattscribe.records import Counts, RunFacts
from wattscribe.report.compare import compare
from wattscribe.report.findings import Limits, hearings
from wattscribe.report.gates import Gates
from wattscribe.report.recommend import recommend
from wattscribe.report.table import view
from wattscribe.testing.runs import CLEAN, MODELS, Shape, made_up_run


def component(name: str, size_bytes: int) -> Component:
    weight = WeightTensor(
        name=f"{name}.weight", dtype="float32", shape=(size_bytes // 4,), size_bytes=size_bytes, call_bytes=size_bytes
    )
    return Component(
        name=name,
        weights=(weight,),
        macs={"float32": size_bytes / 4},
        activation_bytes=1000.0,
        activation_bytes_unfused=2000.0,
    )


def transducer_run(joiner_calls: int) -> RunFacts:
    workload = Workload(
        name="small",
        kind="transducer",
        components=(component("encoder", 3_000_000), component("predictor", 300_000), component("joiner", 200_000)),
        segment_s=0.32,
        frames_per_segment=8.0,
        vocabulary=500,
    )
    counts = Counts(
        encoder_calls=15,
        encoder_rows=15,
        predictor_calls=20,
        predictor_rows=20,
        joiner_calls=joiner_calls,
        joiner_rows=joiner_calls,
        frames=120,
        blanks=100,
        tokens=20,
    )
    facts = made_up_run(models=MODELS[:1], precisions=("fp32",), conditions=(CLEAN,), shape=Shape(utterances=10))
    (trial,) = facts.trials
    counted = tuple(replace(each, counts=counts) for each in trial.utterances)
    return replace(facts, trials=(replace(trial, workload=workload.to_json(), utterances=counted),))


def test_joules_come_from_the_counts() -> None:
    phone = devices.load("phone")
    (few,), (many,) = (report.rows(transducer_run(calls), device=phone) for calls in (140, 1400))
    assert few["energy_evidence"] == many["energy_evidence"] == phone.evidence
    assert "phone" in few["energy_covers"]
    assert 0 < few["energy_j"] < many["energy_j"]
    low, high = few["energy_ci95_j"]
    assert low <= few["energy_j"] <= high
    assert few["mean_power_w"] is None, "the window was on this machine, the joules are not"
    assert report.rows(transducer_run(140))[0]["energy_evidence"] == "measured"


def test_other_recognizers_have_no_figure_on_a_device() -> None:
    facts = made_up_run(models=MODELS[:1], precisions=("fp32",), conditions=(CLEAN,))
    (row,) = report.rows(facts, device=devices.load("phone"))
    assert row["energy_j"] is None
    assert "only a transducer" in row["energy_reason"]


def test_two_runs_compare_on_a_device() -> None:
    phone = devices.load("phone")
    wanted = Gates(max_error_increase_points=20.0, max_energy_increase_percent=0.0)
    assert compare(transducer_run(140), transducer_run(140), wanted, device=phone).accepted
    wanted = Gates(max_error_increase_points=20.0, max_energy_increase_percent=3.0)
    grown = compare(transducer_run(140), transducer_run(1400), wanted, device=phone)
    assert not grown.accepted
    assert "energy rises by more than +3.0 %" in grown.reasons[0]


def test_without_a_sensor_counts_replace_watts_per_core() -> None:
    facts = transducer_run(140)
    unsensed = replace(facts, trials=tuple(replace(trial, traces=()) for trial in facts.trials))
    (row,) = report.rows(unsensed)
    (asked,) = report.rows(unsensed, device=devices.load("phone"))
    assert row["mean_power_w"] is None
    assert row["energy_evidence"] == "modelled"
    assert "phone, from counted invocations" in str(row["energy_covers"])
    assert row["energy_j"] == asked["energy_j"]
    uncounted = replace(unsensed, trials=tuple(replace(trial, workload=None) for trial in unsensed.trials))
    assert "CPU" in str(report.rows(uncounted)[0]["energy_covers"])


def test_a_limit_in_watts_judges_one_kind_of_power() -> None:
    """Alone on a device the power of keeping up with speech; beside figures with a window only these can keep it."""
    (phone,) = hearings(view(transducer_run(140), device=devices.load("phone")))
    watts = phone.entries[0].row.j_per_audio_s or 0.0
    assert recommend(phone, Limits(max_watts=1.01 * watts))[0].entry is not None
    assert "power" in recommend(phone, Limits(max_watts=0.99 * watts))[0].text

    counted = transducer_run(140)
    other = made_up_run(models=MODELS[1:2], precisions=("fp32",), conditions=(CLEAN,), shape=Shape(utterances=10))
    trials = tuple(replace(trial, traces=()) for trial in (*counted.trials, *other.trials))
    (mixed,) = hearings(view(replace(counted, trials=trials)))
    taken = [each.entry.row.model for each in recommend(mixed, Limits(max_watts=100.0)) if each.entry]
    assert taken == ["fake:base"]
