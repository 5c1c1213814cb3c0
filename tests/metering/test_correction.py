"""What a Raspberry Pi's rails leave out, fitted to a meter in its cable and put right in runs without one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import wattscribe
from tests.known import known
from tests.metering.test_attach import made_up
from tests.stored_runs import store_run
from wattscribe.cli import main
from wattscribe.errors import InputError
from wattscribe.journal import read_run
from wattscribe.metering import window
from wattscribe.metering.recordings import correction
from wattscribe.records import PowerTrace, RunFacts, TrialFacts

OFFSET_W, GAIN = 0.9, 1.12
IDLE_W = 2.7
RAIL = "pmic.total"


def rail_of(trial: TrialFacts, load_w: float, rng: np.random.Generator) -> PowerTrace:
    """Twice a second, as the PMIC is read: idle, the load, idle."""
    first, last = known(trial.idle_before), known(trial.idle_after)
    t_s = np.arange(first.start_s - 1, last.end_s + 1, 0.25)
    inside = (t_s >= known(trial.window).start_s) & (t_s <= known(trial.window).end_s)
    power_w = np.where(inside, load_w, IDLE_W) + 0.01 * rng.standard_normal(len(t_s))
    return PowerTrace(
        channel=RAIL, covers="sum of rails", total=True, update_interval_s=0.25, evidence="measured",
        t_s=tuple(t_s.tolist()), power_w=tuple(power_w.tolist()), averaging_s=0.0, meter="pmic",
    )  # fmt: skip


def run_with(path: Path, loads_w: tuple[float, ...], *, board: tuple[float, float] | None = (OFFSET_W, GAIN)) -> Path:
    rng = np.random.default_rng(5)
    facts: RunFacts = made_up(marked=False)
    trials = []
    for at, trial in enumerate(facts.trials):
        rail = rail_of(trial, loads_w[at % len(loads_w)], rng)
        traces = [rail]
        if board is not None:
            power_w = tuple(board[0] + board[1] * value for value in rail.power_w)
            meter = replace(rail, channel="external.usb", covers="whole board at its USB-C input", power_w=power_w)
            meter = replace(meter, origin="attached", meter="external")
            traces.append(meter)
        trials.append(replace(trial, traces=tuple(traces)))
    return store_run(replace(facts, trials=tuple(trials)), path)


def test_the_line_comes_back_and_what_is_left_out_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_with(tmp_path / "run", (5.0, 6.5, 8.0))
    out = tmp_path / "pi5.toml"
    assert main(["calibrate", str(run), "--rail", RAIL, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "whole board at its USB-C input = 0.9 W + 1.12 × pmic.total, from 18 windows" in said
    assert f"{RAIL} leaves out 1.2" in said
    fitted = correction.read(out)
    assert fitted == wattscribe.calibrate([run], rail=RAIL)
    assert (fitted.offset_w, fitted.gain) == pytest.approx((OFFSET_W, GAIN), rel=0.02)


def test_a_run_without_the_meter_has_the_board_s_joules_and_they_are_calibrated(tmp_path: Path) -> None:
    out = tmp_path / "pi5.toml"
    out.write_text(wattscribe.calibrate([run_with(tmp_path / "with", (5.0, 6.5, 8.0))], rail=RAIL).to_toml())
    run = run_with(tmp_path / "without", (7.0, 5.5), board=None)
    record = wattscribe.attach(run, correction=out)
    assert record.channels == (f"external.{RAIL}-corrected",)
    assert record.gain_error is not None
    assert record.gain_error < 0.02
    for trial in read_run(run).trials:
        rail, corrected = sorted(trial.traces, key=lambda trace: trace.origin, reverse=True)
        chosen = known(window.preferred(trial.traces))
        assert chosen.channel == corrected.channel
        reading, own = window.energy(chosen, known(trial.window)), window.energy(rail, known(trial.window))
        assert reading.evidence == "calibrated"
        assert "whole board at its USB-C input, from pmic.total by a correction" in reading.covers
        duration_s = known(trial.window).duration_s
        assert reading.energy_j == pytest.approx(OFFSET_W * duration_s + GAIN * known(own.energy_j), rel=0.01)
    assert wattscribe.report(run, format="md")


def test_a_real_recording_comes_before_a_corrected_rail(tmp_path: Path) -> None:
    run = run_with(tmp_path / "with", (5.0, 6.5, 8.0))
    out = tmp_path / "pi5.toml"
    out.write_text(wattscribe.calibrate([run], rail=RAIL).to_toml())
    wattscribe.attach(run, correction=out)
    assert {known(window.preferred(trial.traces)).channel for trial in read_run(run).trials} == {"external.usb"}
    assert wattscribe.calibrate([run], rail=RAIL).points == 18, "what was corrected corrects nothing"


@pytest.mark.parametrize(
    ("loads_w", "board", "words"),
    [
        ((2.75,), (OFFSET_W, GAIN), "an offset and a gain cannot be told apart"),
        ((5.0, 8.0), None, "0 windows have both"),
        ((5.0, 8.0), (0.0, 0.6), "it is not that of the board's input"),
        ((5.0, 8.0), (-2.0, 3.5), "which no supply's losses explain"),
    ],
    ids=["one power", "no recording", "less than its rails", "another load"],
)
def test_what_tells_nothing_is_refused(
    loads_w: tuple[float, ...], board: tuple[float, float] | None, words: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=words):
        wattscribe.calibrate([run_with(tmp_path / "run", loads_w, board=board)], rail=RAIL)


def test_a_run_far_outside_of_what_was_fitted_and_another_board_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "pi5.toml"
    fitted = wattscribe.calibrate([run_with(tmp_path / "with", (5.0, 6.5, 8.0))], rail=RAIL)
    out.write_text(fitted.to_toml())
    with pytest.raises(InputError, match="the correction was fitted from"):
        wattscribe.attach(run_with(tmp_path / "hot", (40.0,), board=None), correction=out)
    out.write_text(replace(fitted, rail="pmic.other").to_toml())
    with pytest.raises(InputError, match=r"no trial of this run has pmic\.other"):
        wattscribe.attach(run_with(tmp_path / "cool", (7.0,), board=None), correction=out)


@pytest.mark.parametrize("text", ["", "gain = 'x'", "rail = 5"])
def test_a_file_that_is_no_correction_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"no correction|correction"):
        correction.read(path)
