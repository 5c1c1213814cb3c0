"""A board that is played: what it draws is known to the joule, its sensors show it, and nothing of it is called measured."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests import stored_runs as runs
from wattscribe import api
from wattscribe.calibration import calibrate_runs
from wattscribe.cli import main
from wattscribe.energy.calibrate import calibrate
from wattscribe.energy.calibrated_device import as_device
from wattscribe.energy.devices import load as load_device
from wattscribe.errors import InputError
from wattscribe.journal import read_run
from wattscribe.metering import open_meters, probe
from wattscribe.pages import formats, run_page
from wattscribe.records import Window, to_json
from wattscribe.runs.experiment import check
from wattscribe.runs.progress import Silent
from wattscribe.testing.board import (
    KINDS,
    RECORDER_NAME,
    Board,
    build_tree,
    kind_of,
    read_truth,
)
from wattscribe.testing.demonstration import Check, checks_of_run, table
from wattscribe.testing.live_load import Ledger, LiveLoad, Rail, Share
from wattscribe.testing.simulated_bench import run_on_board
from wattscribe.testing.work import Cost


# --- the load ---------------------------------------------------------------------------------------------------------
def _load() -> LiveLoad:
    load = LiveLoad(100.0, 4.0)
    load.grow(101.0, 4.0)
    load.grow(101.5, 10.0)
    load.grow(103.0, 6.0)
    return load


@pytest.mark.parametrize(
    ("start_s", "end_s", "joules"),
    [
        (99.0, 100.0, 4.0),
        (100.0, 101.0, 4.0),
        (101.0, 101.5, 5.0),
        (100.5, 102.0, 2 + 5 + 3),
        (100.0, 103.0, 4 + 5 + 9),
    ],
)
def test_the_energy_of_a_live_load_is_exact_and_survives_being_settled(
    start_s: float, end_s: float, joules: float
) -> None:
    load = _load()
    assert load.energy_j(start_s, end_s) == pytest.approx(joules, abs=1e-12)
    assert load.settled().energy_j(start_s, end_s) == pytest.approx(joules, abs=1e-12)


def test_a_rail_carries_its_shares_of_idle_and_of_what_comes_on_top() -> None:
    rail = Rail(load=_load(), share=Share(idle=0.25, busy=0.5), idle_w=4.0)
    assert rail.power_w(101.2) == 0.25 * 4 + 0.5 * 6
    assert rail.energy_j(101.0, 101.5) == pytest.approx(0.5 * (0.25 * 4 + 0.5 * 6))


@pytest.mark.parametrize("wrong", [0.3, 1.0, 4.0])
def test_a_ledger_delivers_the_joules_of_the_work_however_wrong_the_first_guess_was(wrong: float) -> None:
    """20 utterances of uneven processor time; the true cost is 2 J per second of audio."""
    draw = np.random.default_rng(1)
    ledger = Ledger(Cost(j_per_audio_s=2.0, j_per_cpu_s=wrong * 2.0 / 0.05))
    spent, first = [], 0.0
    for index in range(20):
        audio_s = float(draw.uniform(2, 6))
        cpu_s = audio_s * 0.05 * float(draw.uniform(0.9, 1.1))
        joules = sum(ledger.spend(cpu_s / 10) for _ in range(10))
        ledger.transcribed(audio_s)
        if index == 0:
            first = joules
        else:
            spent.append((joules, 2.0 * audio_s))
    assert first > 0
    got, owed = (sum(column) for column in zip(*spent, strict=True))
    assert got == pytest.approx(owed, rel=0.03)


# --- the sensors ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", KINDS)
def test_every_board_is_found_below_its_tree_and_says_that_it_is_simulated(name: str, tmp_path: Path) -> None:
    build_tree(name, tmp_path)
    rows = [each for each in probe(tmp_path) if each.available]
    assert rows
    for each in rows:
        assert each.reason.startswith("simulated: ")
        assert {channel.evidence for channel in each.channels} == {"simulated"}


@pytest.mark.parametrize("name", KINDS)
def test_sensors_of_a_played_board_show_its_load(name: str, tmp_path: Path) -> None:
    """At rest, where sampling adds nothing: each rail's idle power within its step."""
    board, kind = Board(name, tmp_path), kind_of(name)
    meter = open_meters(host=board.host())[0]
    try:
        channels = [each.name.rpartition(".")[2] for each in meter.channels()]
        start_s, before = time.monotonic(), meter.read()
        time.sleep(0.3)
        after, end_s = meter.read(), time.monotonic()
    finally:
        meter.close()
    if meter.channels()[0].kind == "energy":
        at = channels.index("psys")
        true_j = board.load.energy_j(start_s, end_s)
        assert (after[at] or 0) - (before[at] or 0) == pytest.approx(true_j, rel=0.05)
        assert true_j > 0.9 * kind.idle_w * (end_s - start_s)
    else:
        mean_w = board.load.energy_j(end_s - 0.06, end_s) / 0.06
        assert after[channels.index("VDD_IN")] == pytest.approx(mean_w, abs=0.5)
        assert after[channels.index("VDD_IN")] == pytest.approx(kind.idle_w, abs=3.0)


def test_a_busy_process_is_seen_and_its_watts_are_those_of_its_cores(tmp_path: Path) -> None:
    board = Board("orin-nano", tmp_path)
    board.start()
    try:
        start_s, cpu_s = time.monotonic(), time.process_time()
        while time.process_time() - cpu_s < 0.3:
            pass
    finally:
        board.stop()
    end_s = board.load.known_until_s
    above_j = board.load.energy_j(start_s, end_s) - board.kind.idle_w * (end_s - start_s)
    assert above_j == pytest.approx(0.3 * board.kind.core_w, rel=0.2)


def test_a_slow_look_for_children_loses_no_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside a busy thread the list of processes takes longer than all the work of a short trial."""
    children = psutil.Process.children

    def slowly(self: psutil.Process, recursive: bool = False) -> list[psutil.Process]:
        time.sleep(0.5)
        return children(self, recursive)

    monkeypatch.setattr(psutil.Process, "children", slowly)
    test_a_busy_process_is_seen_and_its_watts_are_those_of_its_cores(tmp_path)


# --- a run ------------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def played_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two trials that take 0.4 s of processor time each, on a laptop's counters, with the recorder's file attached."""
    out = tmp_path_factory.mktemp("played") / "run"
    keys = {"models": ["fake:a?text=x&cpu=0.01"], "data": ["bundled"], "limit": 12, "repeats": 2}
    plan = check({**keys, "mark": True, "mark_unit_s": 0.2, "idle_s": 0.5})
    run_on_board("intel-laptop", plan, out, resume=False, overwrite=False, watcher=Silent())
    api.attach(out, out / RECORDER_NAME, covers="whole board", max_error_s=1.0)
    return out


def test_figures_of_a_played_run_are_simulated_everywhere_and_never_measured(played_run: Path) -> None:
    facts = read_run(played_run)
    assert facts.machine["simulated_board"] == "intel-laptop"
    evidence = {trace.evidence for trial in facts.trials for trace in trial.traces}
    assert evidence == {"simulated"}, "rails and recorder alike"
    (row,) = json.loads(formats.write(facts, "json", None) or "")["rows"]
    assert (row["energy_evidence"], row["energy_covers"]) == ("simulated", "whole board")
    assert {each["energy_evidence"] for each in row["rails"]} == {"simulated"}
    table_ = formats.to_markdown(facts)
    assert "| simulated: whole board" in table_
    assert "- ! Simulated board intel-laptop" in table_
    page = run_page.run_page(facts)
    assert "Simulated board intel-laptop" in page
    for text in (table_, page, to_json(evidence).__str__()):
        assert "measured: " not in text


def test_intervals_of_a_played_run_are_checked_against_the_true_joules(played_run: Path) -> None:
    truth = read_truth(played_run)
    found = checks_of_run(played_run)
    assert len(truth["trials"]) == 2
    assert {each.what.split(", ")[1] for each in found} >= {"external.simulated-recorder", "rapl.psys", "rapl.cpu"}
    for each in found:
        assert each.estimate == pytest.approx(each.truth, rel=0.01 if "recorder" in each.what else 0.05), each
    assert any(each.covered for each in found), table(found)


def test_what_is_not_covered_is_said() -> None:
    said = table(
        [
            Check(what="a", unit="J", estimate=2.0, ci95=(1.0, 3.0), truth=2.5),
            Check(what="b", unit="J", estimate=2.0, ci95=(1.0, 2.2), truth=2.5),
            Check(what="c", unit="J", estimate=None, ci95=None, truth=2.5, reason="too short"),
        ]
    ).splitlines()
    assert [line.split()[-1] for line in said[1:4]] == ["yes", "no", "short"]
    assert said[-1].startswith("1 of 2 intervals hold the truth")
    assert said[-1].endswith("the furthest figure is 20 % off.")


def test_a_played_run_is_not_resumed_nor_mixed_with_a_real_one(
    played_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "--resume", "--out", str(played_run)]) == 2
    assert "this run began on a simulated board, intel-laptop" in capsys.readouterr().err
    again = ["bench", "--model", "fake:a?text=x", "--data", "bundled", "--simulated-board", "orin-nano", "--out"]
    assert main([*again, str(played_run), "--resume"]) == 2
    assert main([*again, str(played_run)]) == 2
    assert "there is a run" in capsys.readouterr().err
    real = runs.store_run(runs.made_up_run(models=runs.MODELS[:1], precisions=["fp32"]), tmp_path / "real")
    with pytest.raises(InputError, match="simulated board, others are of a real one"):
        calibrate_runs([real, played_run])


def test_a_profile_fitted_to_a_played_board_says_so() -> None:
    from dataclasses import replace

    from wattscribe.energy.calibrate import Observation

    draw = np.random.default_rng(0)
    seen = []
    for model in "abcdef":
        memory, macs, window_s = (float(10 ** draw.uniform(*each)) for each in ((9, 10), (9, 11), (0, 1)))
        energy_j = 400e-12 * memory + 20e-12 * macs + 4.0 * window_s
        seen.append(
            Observation(
                model=model, precision="fp32", window_s=window_s, energy_j=energy_j, sd_j=0.001 * energy_j,
                memory_bytes=memory, macs={"float32": macs},
            )
        )  # fmt: skip
    device = as_device(replace(calibrate(seen), evidence="simulated"), load_device("phone"), name="x", source="y")
    assert device.evidence == "simulated"
    assert device.title.endswith(", simulated")
    assert device.idle.source.startswith("simulated: y")


def test_a_wrong_name_lists_the_boards(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "r")]
    flags = ["--model", "fake:a?text=x", "--data", "bundled", "--simulated-board", "toaster"]
    for command in (["bench", *flags, *out], ["demo", "--simulated-board", "toaster", *out]):
        assert main(command) == 2
        said = capsys.readouterr().err
        assert "orin-nano (" in said
        assert "intel-laptop (" in said
    assert not (tmp_path / "r").exists()


def test_a_trial_may_lie_before_or_behind_what_was_played() -> None:
    """The recorder writes means over its own interval whatever the load's edges are."""
    load = _load().settled()
    edges = np.array([99.0, 100.0, 101.0, 101.5, 103.0, 104.0])
    assert load.powers_between(edges).tolist() == [4.0, 4.0, 10.0, 6.0, 6.0]
    assert load.window_j(Window(start_s=99.0, end_s=104.0)) == pytest.approx(4 + 4 + 5 + 9 + 6)


def test_pulses_lie_over_the_load_and_leave_the_rest_as_it_was() -> None:
    pulses = [Window(start_s=100.25, end_s=100.5), Window(start_s=102.0, end_s=102.5)]
    load = _load().settled().overlaid(pulses, 20.0)
    assert [load.power_w(t) for t in (99.0, 100.1, 100.3, 100.75, 101.2, 102.2, 102.7, 104.0)] == [
        4.0, 4.0, 20.0, 4.0, 10.0, 20.0, 6.0, 6.0,
    ]  # fmt: skip
    assert load.energy_j(100.0, 103.0) == pytest.approx(18 + 0.25 * 16 + 0.5 * 14)
    assert _load().settled().overlaid([], 20.0).energy_j(100.0, 103.0) == pytest.approx(18)
