"""A transducer's joules on a device profile: from counted invocations, not from this machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.stored_runs import CLEAN, MODELS, Shape, made_up_run
from wattscribe import pages, results
from wattscribe.energy import devices
from wattscribe.energy.workload import Component, WeightTensor, Workload
from wattscribe.errors import InputError
from wattscribe.pages import formats
from wattscribe.pages.run_page import run_page
from wattscribe.records import Counts, RunFacts
from wattscribe.results.compare import compare
from wattscribe.results.findings import Limits, eval_sets, on_device
from wattscribe.results.gates import Gates
from wattscribe.results.recommend import by_kind, recommend
from wattscribe.results.table import view


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


def unsensed(facts: RunFacts, cpu: str = "AMD EPYC 7543") -> RunFacts:
    """The same run on a machine without a sensor."""
    trials = tuple(replace(trial, traces=()) for trial in facts.trials)
    return replace(facts, trials=trials, machine={**facts.machine, "cpu": cpu})


def beside_an_uncounted_one() -> RunFacts:
    """A transducer that counts its invocations and a recognizer that does not, on one machine without a sensor."""
    other = made_up_run(models=MODELS[1:2], precisions=("fp32",), conditions=(CLEAN,), shape=Shape(utterances=10))
    counted = transducer_run(140)
    return unsensed(replace(counted, trials=(*counted.trials, *other.trials)))


def test_joules_come_from_the_counts() -> None:
    phone = devices.load("phone")
    (few,), (many,) = (results.rows(transducer_run(calls), device=phone) for calls in (140, 1400))
    assert few["device_energy_evidence"] == many["device_energy_evidence"] == phone.evidence
    assert few["device_profile"] == "phone"
    assert "phone, from counted invocations" in few["device_energy_covers"]
    assert 0 < few["device_energy_j"] < many["device_energy_j"]
    low, high = few["device_energy_ci95_j"]
    assert low <= few["device_energy_j"] <= high
    assert few["device_j_per_audio_s"] == pytest.approx(few["device_energy_j"] / few["audio_s"])
    wearable = results.rows(transducer_run(140), device=devices.load("wearable"))[0]
    assert wearable["device_profile"] == "wearable"
    assert wearable["device_energy_j"] != few["device_energy_j"]


def test_a_device_is_never_the_headline_of_a_machine_s_run() -> None:
    for facts, evidence in ((transducer_run(140), "measured"), (unsensed(transducer_run(140)), "modelled")):
        for device in (None, devices.load("wearable")):
            (row,) = results.rows(facts, device=device)
            assert row["energy_evidence"] == evidence
            assert "counted invocations" not in row["energy_covers"]
            assert row["device_energy_j"] != row["energy_j"]


def test_every_recognizer_on_this_cpu_stands_on_one_basis() -> None:
    facts = beside_an_uncounted_one()
    counted, other = results.rows(facts)
    for row, trial in zip((counted, other), facts.trials, strict=True):
        assert row["cpu_s"] == pytest.approx(trial.cpu_s)
        assert row["cpu_energy_j"] == row["energy_j"] == pytest.approx(4.5 * (trial.cpu_s or 0.0))
        assert row["cpu_energy_ci95_j"] == pytest.approx([2.0 * row["cpu_s"], 9.0 * row["cpu_s"]])
        assert row["cpu_j_per_audio_s"] == pytest.approx(row["cpu_energy_j"] / row["audio_s"])
        assert (
            row["cpu_energy_covers"] == row["energy_covers"] == "CPU cores above idle (server x86, 2 to 9 W per core)"
        )
    assert counted["device_energy_j"] is not None
    assert (other["device_energy_j"], other["device_profile"]) == (None, None)
    (eval_set,) = eval_sets(view(facts))
    assert len(by_kind(eval_set.scored)) == 1
    assert len(recommend(eval_set, Limits(max_wer=1.0))) == 1


def test_a_measured_run_has_the_cpu_s_basis_beside_it() -> None:
    (row,) = results.rows(replace(transducer_run(140), machine={"cpu": "Cortex-A72"}))
    assert row["energy_evidence"] == "measured"
    assert row["cpu_energy_j"] == pytest.approx(0.95 * row["cpu_s"])


def test_a_gpu_s_recognizer_has_no_cpu_basis_and_says_why() -> None:
    facts = unsensed(transducer_run(140))
    (trial,) = facts.trials
    spec = replace(trial.trial.recognizer, device="cuda")
    on_gpu = replace(facts, trials=(replace(trial, trial=replace(trial.trial, recognizer=spec)),))
    (row,) = results.rows(on_gpu)
    assert row["cpu_energy_j"] is None
    assert "GPU" in row["cpu_energy_reason"]
    assert "GPU" in row["energy_reason"]


def test_an_unknown_cpu_is_no_default() -> None:
    (row,) = results.rows(unsensed(transducer_run(140), cpu="Quantum 9000"))
    assert (row["energy_j"], row["cpu_energy_j"], row["energy_evidence"]) == (None, None, "unavailable")
    assert "'Quantum 9000' is not in the table of watts per core" in row["energy_reason"]
    assert "Quantum 9000" in pages.to_markdown(unsensed(transducer_run(140), cpu="Quantum 9000"))


def test_other_recognizers_have_no_figure_on_a_device() -> None:
    facts = made_up_run(models=MODELS[:1], precisions=("fp32",), conditions=(CLEAN,))
    (row,) = results.rows(facts, device=devices.load("phone"))
    assert row["energy_evidence"] == "measured"
    assert row["device_energy_j"] is None
    assert "only a transducer" in row["device_energy_reason"]
    assert "No figure on phone: only a transducer" in pages.to_markdown(facts, device=devices.load("phone"))


def test_a_model_that_does_not_fit_the_device_is_no_failure_of_the_report() -> None:
    tight = devices.load("mcu-npu").with_local_memory(1000)
    (row,) = results.rows(transducer_run(140), device=tight)
    assert row["device_energy_j"] is None
    assert "does not fit" in row["device_energy_reason"]
    assert row["energy_j"] is not None


def test_two_runs_compare_on_a_device() -> None:
    phone = devices.load("phone")
    wanted = Gates(max_error_increase_points=20.0, max_energy_increase_percent=0.0)
    assert compare(transducer_run(140), transducer_run(140), wanted, device=phone).accepted
    wanted = Gates(max_error_increase_points=20.0, max_energy_increase_percent=3.0)
    grown = compare(transducer_run(140), transducer_run(1400), wanted, device=phone)
    assert not grown.accepted
    assert "energy rises by more than +3.0 %" in grown.reasons[0]


def test_a_limit_in_watts_on_a_device_is_that_of_keeping_up_with_speech() -> None:
    (phone,) = on_device(eval_sets(view(transducer_run(140), device=devices.load("phone"))))
    watts = phone.entries[0].row.j_per_audio_s or 0.0
    assert watts == phone.entries[0].row.device_j_per_audio_s
    assert phone.entries[0].row.mean_power_w is None, "the window was on this machine, the joules are not"
    assert recommend(phone, Limits(max_watts=1.01 * watts))[0].entry is not None
    assert "power" in recommend(phone, Limits(max_watts=0.99 * watts))[0].text


def test_a_device_that_was_asked_for_has_its_own_section() -> None:
    page = run_page(transducer_run(140), device=devices.load("wearable"))
    assert 'id="device-title">On wearable' in page
    assert "Energy per second of audio, modelled, on wearable" in page
    assert 'id="device-title"' not in run_page(transducer_run(140))


@pytest.mark.parametrize("kind", ["html", "json"])
def test_a_device_on_which_nothing_can_be_modelled_leaves_the_page_as_it_was(kind: str, tmp_path: Path) -> None:
    facts = made_up_run(models=MODELS[:1], precisions=("fp32",), conditions=(CLEAN,), shape=Shape(utterances=2))
    page = tmp_path / "report"
    page.write_text("a good page", encoding="utf-8")
    with pytest.raises(InputError, match="can be modelled on phone: no recognizer counted its invocations"):
        formats.write(facts, kind, page, device=devices.load("phone"))
    assert page.read_text(encoding="utf-8") == "a good page"


def test_who_counts_no_work_is_said_to_beside_who_does() -> None:
    facts = beside_an_uncounted_one()
    text = formats.to_markdown(facts)
    other = results.rows(facts)[1]["model_label"]
    assert f"No counted work is available for {other}, whose runtime does not count its invocations" in text
    assert "No counted work" not in formats.to_markdown(transducer_run(140))
