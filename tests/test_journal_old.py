"""What journals of earlier versions say in words only is filled in as they are read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.stored_runs import MODELS, made_up_run, store_run
from wattscribe import journal_old, journal_rows
from wattscribe.journal import Journal, read_run
from wattscribe.journal_file import connect
from wattscribe.metering import window
from wattscribe.metering.sensors import rails
from wattscribe.records import PowerTrace, TrialFacts, from_json, json_text, to_json

NEW = ("processors", "gpu_index", "origin", "meter")
"""Fields of a trace that version 0.1 did not write."""


def old_facts(channel: str, covers: str, *, total: bool = False) -> dict[str, object]:
    trace = PowerTrace(
        channel=channel,
        covers=covers,
        total=total,
        update_interval_s=0.1,
        evidence="measured",
        t_s=(0.0, 1.0),
        power_w=(5.0, 5.0),
    )
    return {key: value for key, value in to_json(trace).items() if key not in NEW}


@pytest.mark.parametrize(
    ("channel", "covers", "expected"),
    [
        ("nvml.gpu1", "GPU board 1 (A100), energy counter", (("gpu",), 1, "sensor", "nvml")),
        ("rapl#2.cpu", "CPU: package-0 (not board, disk or GPU)", (("cpu",), None, "sensor", "rapl")),
        ("rapl.uncore", "integrated GPU and uncore (inside the package)", (("gpu",), None, "sensor", "rapl")),
        ("external.power", "whole board at the DC input", ((), None, "attached", "external")),
        ("pmic.VDD_CORE", "CPU and GPU core rail", (("cpu", "gpu"), None, "sensor", "pmic")),
        ("ina3221.VDD_SOC", "SoC without CPU and GPU", ((), None, "sensor", "ina3221")),
    ],
)
def test_a_trace_is_completed(channel: str, covers: str, expected: tuple[object, ...]) -> None:
    trace = from_json(PowerTrace, journal_old.trace_facts(old_facts(channel, covers)), strict=True)
    assert (trace.processors, trace.gpu_index, trace.origin, trace.meter) == expected


@pytest.mark.parametrize("name", sorted(rails.RAILS))
def test_every_rail_of_a_jetson_is_known_as_it_is_today(name: str) -> None:
    rail = rails.describe(name)
    read = journal_old.trace_facts(old_facts(f"ina3221.{name}", rail.covers, total=rail.total))
    assert tuple(read["processors"]) == rail.processors


def test_what_is_written_today_is_taken_as_it_is() -> None:
    plain = to_json(replace(from_json(PowerTrace, old_facts("x", "GPU board 3 (A)")), processors=("cpu",)))
    assert journal_old.trace_facts(plain) is plain


def test_a_trial_is_completed_from_its_surroundings() -> None:
    trial = to_json(made_up_run(models=MODELS[:1], precisions=("fp32",)).trials[0])
    old = {key: value for key, value in trial.items() if key not in ("starved_s", "marks")}
    old["surroundings"] = {"starved_s": 0.25, "marks": 2, "attempt": 1}
    read = from_json(TrialFacts, journal_old.trial_facts(old), strict=True)
    assert (read.starved_s, read.marks) == (0.25, 2)
    bare = from_json(TrialFacts, journal_old.trial_facts({**old, "surroundings": None}), strict=True)
    assert (bare.starved_s, bare.marks) == (None, None)
    assert journal_old.trial_facts(trial) == trial


def test_an_old_run_on_disk_gives_the_same_choice(tmp_path: Path) -> None:
    """The journal as an earlier version left it: no typed facts in its traces, the rail of the GPU named in words."""
    facts = made_up_run(models=MODELS[:1], precisions=("fp32",))
    part = replace(facts.trials[0].traces[0], channel="ina3221.VDD_GPU", covers="GPU", total=False)
    run = store_run(replace(facts, trials=(replace(facts.trials[0], traces=(part,)),)), tmp_path / "run")
    db = connect(run / "journal.sqlite")
    about = json_text({k: v for k, v in to_json(replace(part, t_s=(), power_w=())).items() if k not in NEW})
    with db:
        journal_rows.change(db, "trace", {"about": about})
    db.close()
    trace = read_run(run).trials[0].traces[0]
    assert (trace.processors, trace.meter) == (("gpu",), "ina3221")
    assert window.preferred([trace], "cuda:0") is trace
    Journal.resume(run).close()
