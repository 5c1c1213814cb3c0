"""An external meter's recording goes into a run: its clock is aligned by the run's marks, its joules are the truth's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.known import known
from tests.stored_runs import CLEAN, MODELS, NOISY, Shape, made_up_run, store_run
from wattscribe import api, pages, results
from wattscribe.cli import main
from wattscribe.errors import InputError, MeterError
from wattscribe.journal import Journal, read_run
from wattscribe.metering.recordings import Recording
from wattscribe.metering.recordings import read as read_csv
from wattscribe.metering.recordings.marks import by_marks
from wattscribe.records import Marks, PowerTrace, RunFacts, Window
from wattscribe.results.cost import measured_reading
from wattscribe.testing.recorder import Recorder, load_of, mirrored_marks, span_of

TRUTH = Recorder(rate_hz=500.0)
"""12345 s off, 50 ppm fast, 0.1 W of noise."""


def made_up(*, measured: bool = False, marked: bool = True, repeats: int = 2) -> RunFacts:
    """Six trials of some seconds, over about a minute."""
    shape = Shape(utterances=12, speakers=3, repeats=repeats, measured=measured)
    facts = made_up_run(models=MODELS[:1], precisions=("fp32",), conditions=(CLEAN, *NOISY[:2]), shape=shape)
    trials = tuple(replace(each, marks=0) for each in facts.trials) if marked else facts.trials
    facts = replace(facts, trials=trials)
    return replace(facts, marks=(mirrored_marks(facts),)) if marked else facts


def store(facts: RunFacts, run_dir: Path) -> Path:
    store_run(facts, run_dir)
    with Journal.resume(run_dir) as journal:
        for marks in facts.marks:
            journal.mark(marks)
    return run_dir


def recorded(facts: RunFacts, path: Path, recorder: Recorder = TRUTH, **load: Any) -> Path:
    return recorder.write(path, load_of(facts, **load), span_of(facts))


def joules_are_right(run_dir: Path, facts: RunFacts, channel: str, **load: Any) -> None:
    truth = load_of(facts, **load)
    for trial in read_run(run_dir).trials:
        assert trial.window is not None
        reading = measured_reading(trial, channel)
        assert reading.energy_j == pytest.approx(truth.window_j(trial.window), rel=0.01)
        assert known(reading.net_j) == pytest.approx(known(reading.energy_j) - 5.0 * trial.window.duration_s, rel=0.02)


@pytest.fixture(scope="module")
def marked_facts() -> RunFacts:
    return made_up()


@pytest.fixture
def run_dir(marked_facts: RunFacts, tmp_path: Path) -> Path:
    return store(marked_facts, tmp_path / "r")


def test_a_recording_measures_every_trial(
    marked_facts: RunFacts, run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recorded(marked_facts, tmp_path / "power.csv")
    assert main(["meters", "attach", str(run_dir), str(path), "--covers", "whole board at the DC input"]) == 0
    said = capsys.readouterr().out
    assert "attached as external.power to 6 trials" in said
    (record,) = read_run(run_dir).recordings
    # The offset is the line's value at the recorder's time 0, 12345 s away: 15 ppm of drift move it by 0.19 s.
    assert record.offset_s == pytest.approx(12345.0, abs=0.2)
    assert record.drift_ppm == pytest.approx(50.0, abs=15.0)
    assert record.residual_s < 0.002
    joules_are_right(run_dir, marked_facts, "external.power")
    rows = results.rows(read_run(run_dir))
    assert {(row["energy_evidence"], row["energy_covers"]) for row in rows} == {
        ("measured", "whole board at the DC input")
    }
    low, high = rows[0]["energy_net_ci95_j"]
    assert low < rows[0]["energy_net_j"] < high
    assert "clock was aligned by edges" in pages.to_markdown(read_run(run_dir))


def test_the_clock_s_error_is_in_the_interval_and_the_gain_error_beside_it(
    marked_facts: RunFacts, run_dir: Path, tmp_path: Path
) -> None:
    path = recorded(marked_facts, tmp_path / "power.csv", replace(TRUTH, rate_hz=40.0))
    command = ["meters", "attach", str(run_dir), str(path), "--gain-error", "2.5%"]
    assert main(command) == 0
    facts = read_run(run_dir)
    (record,) = facts.recordings
    assert record.gain_error == pytest.approx(0.025)
    for trial in facts.trials:
        (trace,) = trial.traces
        assert trace.clock_error_s == pytest.approx(record.residual_s)
        reading, sure = (
            measured_reading(replace(trial, traces=(each,)), trace.channel)
            for each in (trace, replace(trace, clock_error_s=0.0))
        )
        assert reading.energy_ci95_j is not None
        assert sure.energy_ci95_j is not None
        assert reading.energy_ci95_j[0] < sure.energy_ci95_j[0] < sure.energy_ci95_j[1] < reading.energy_ci95_j[1]
    words = "the gain error of external.power, 2.50 % as stated when it was attached"
    assert words in pages.to_markdown(facts)
    assert main([*command[:4], "--gain-error", "much"]) == 2


def test_after_one_group_of_marks_the_unknown_drift_is_in_the_interval_too(tmp_path: Path) -> None:
    facts = made_up()
    cut = replace(facts, marks=(replace(facts.marks[0], groups=facts.marks[0].groups[:1]),))
    run = store(cut, tmp_path / "r")
    record = api.attach(run, recorded(facts, tmp_path / "power.csv"))
    errors = [trial.traces[0].clock_error_s for trial in read_run(run).trials]
    assert min(errors) > record.residual_s
    assert max(errors) > min(errors), "the further from the marks, the less is known"


def test_attached_again_it_replaces(marked_facts: RunFacts, run_dir: Path, tmp_path: Path) -> None:
    path = recorded(marked_facts, tmp_path / "power.csv")
    first = api.attach(run_dir, path)
    once = read_run(run_dir)
    assert api.attach(run_dir, path) == first
    assert read_run(run_dir) == once
    other = recorded(marked_facts, tmp_path / "power.csv", replace(TRUTH, rate_hz=250.0, seed=1))
    api.attach(run_dir, other, covers="the same, again")
    facts = read_run(run_dir)
    assert [each.covers for each in facts.recordings] == ["the same, again"]
    assert all(len(trial.traces) == 1 for trial in facts.trials)
    api.attach(run_dir, other, name="second", total=False)
    facts = read_run(run_dir)
    assert [trace.channel for trace in facts.trials[0].traces] == ["external.power", "external.second"]
    assert [trace.total for trace in facts.trials[0].traces] == [True, False]


def test_raw_samples_are_kept(marked_facts: RunFacts, run_dir: Path, tmp_path: Path) -> None:
    path = recorded(marked_facts, tmp_path / "power.csv")
    record = api.attach(run_dir, path)
    trace = read_run(run_dir).trials[2].traces[0]
    raw = read_csv(path)
    own_s = (np.array(trace.t_s) - record.offset_s) / record.rate
    first = int(np.abs(raw.t_s - own_s[0]).argmin())
    assert own_s == pytest.approx(raw.t_s[first : first + len(own_s)], abs=1e-5)
    assert list(trace.power_w) == raw.power_w[first : first + len(own_s)].tolist()


@pytest.mark.parametrize(
    ("trial_w", "mark_w"), [((60.0, 90.0, 75.0), 8.0), ((5.3, 5.2, 5.4), 30.0)], ids=["loud trials", "quiet trials"]
)
def test_trials_of_any_power_do_not_hide_the_marks(
    trial_w: tuple[float, ...], mark_w: float, marked_facts: RunFacts, run_dir: Path, tmp_path: Path
) -> None:
    load: dict[str, Any] = {"trial_w": trial_w, "mark_w": mark_w}
    api.attach(run_dir, recorded(marked_facts, tmp_path / "power.csv", **load))
    truth = load_of(marked_facts, **load)
    for trial in read_run(run_dir).trials:
        assert trial.window is not None
        reading = measured_reading(trial, "external.power")
        assert reading.energy_j == pytest.approx(truth.window_j(trial.window), rel=0.01)


def test_a_slow_meter_needs_longer_pulses(marked_facts: RunFacts, run_dir: Path, tmp_path: Path) -> None:
    path = recorded(marked_facts, tmp_path / "usb.csv", replace(TRUTH, rate_hz=2.0))
    with pytest.raises(MeterError, match=r"a sample every 0\.5 s.*--mark-unit 2"):
        api.attach(run_dir, path)


def test_one_mark_is_enough_for_a_short_run_and_says_so(marked_facts: RunFacts, run_dir: Path, tmp_path: Path) -> None:
    span = span_of(marked_facts)
    end_s = marked_facts.marks[0].groups[1][0].start_s
    path = TRUTH.write(tmp_path / "power.csv", load_of(marked_facts), Window(start_s=span.start_s, end_s=end_s))
    record = api.attach(run_dir, path)
    assert record.drift_ppm is None
    assert record.offset_s == pytest.approx(12345.0, abs=1.0)
    with pytest.raises(MeterError, match=r"may be off by .* `max_error_s`"):
        api.attach(run_dir, path, max_error_s=0.002)


@pytest.mark.parametrize("limit_s", [float("nan"), float("inf"), 0.0, -1.0])
def test_an_impossible_limit_of_the_clock_s_error_is_refused(
    limit_s: float, marked_facts: RunFacts, run_dir: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="`max_error_s`"):
        api.attach(run_dir, recorded(marked_facts, tmp_path / "power.csv"), max_error_s=limit_s)


def test_many_samples_a_trial_are_joined_to_the_same_energy(
    marked_facts: RunFacts, run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wattscribe.metering.recordings import attach, series

    monkeypatch.setattr(series, "MOST_RAW", 10_000)
    monkeypatch.setattr(attach, "MOST_SAMPLES", 500)
    record = api.attach(run_dir, recorded(marked_facts, tmp_path / "power.csv", replace(TRUTH, rate_hz=5000.0)))
    assert record.samples > 100_000
    assert record.spacing_s == pytest.approx(0.001)
    facts = read_run(run_dir)
    assert all(len(trial.traces[0].t_s) <= 501 for trial in facts.trials)
    joules_are_right(run_dir, marked_facts, "external.power")


def test_part_of_the_run_is_part_of_the_trials(marked_facts: RunFacts, run_dir: Path, tmp_path: Path) -> None:
    span, last = span_of(marked_facts), marked_facts.trials[-1].window
    assert last is not None
    early = Window(start_s=span.start_s, end_s=(last.start_s + last.end_s) / 2)
    record = api.attach(run_dir, TRUTH.write(tmp_path / "power.csv", load_of(marked_facts), early))
    assert (record.trials, record.trials_outside) == (5, 1)
    assert not read_run(run_dir).trials[-1].traces


def test_a_recording_of_something_else_is_refused(marked_facts: RunFacts, run_dir: Path, tmp_path: Path) -> None:
    quiet = replace(marked_facts, marks=())
    path = recorded(quiet, tmp_path / "other.csv")
    with pytest.raises(MeterError, match="does not show this run's marks"):
        api.attach(run_dir, path)
    noise = TRUTH.write(tmp_path / "noise.csv", load_of(replace(quiet, trials=())), span_of(marked_facts))
    with pytest.raises(MeterError, match="does not show this run's marks"):
        api.attach(run_dir, noise)
    assert not read_run(run_dir).recordings


def test_a_recording_that_ends_before_the_trials_is_refused(
    marked_facts: RunFacts, run_dir: Path, tmp_path: Path
) -> None:
    first = marked_facts.trials[0].window
    assert first is not None
    early = Window(start_s=span_of(marked_facts).start_s, end_s=first.start_s - 0.5)
    with pytest.raises(MeterError, match="covers none of the 6 trials"):
        api.attach(run_dir, TRUTH.write(tmp_path / "power.csv", load_of(marked_facts), early))


def test_two_runs_in_one_recording_are_refused(marked_facts: RunFacts) -> None:
    times, powers = TRUTH.samples(load_of(marked_facts), span_of(marked_facts))
    both = Recording(
        name="twice",
        t_s=np.concatenate((times, times + times[-1] - times[0] + 0.001)),
        power_w=np.concatenate((powers, powers)),
        skipped_lines=0,
    )
    with pytest.raises(MeterError, match="several places"):
        by_marks(both, marked_facts.marks[0].groups)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--column", "power=Ch9"], "no column 'Ch9'"),
        (["--column", "power"], "--column"),
        (["--unit", "power=kg"], "'kg' is no unit of power"),
        (["--unit", "voltage=mV"], "no such column"),
        (["--tegrastats-log", "x.log"], "one recording"),
    ],
)
def test_mistakes_are_one_line(
    options: list[str], words: str, run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "power.csv"
    path.write_text("time_s,power_w\n0,1\n1,1\n2,1\n", encoding="utf-8")
    assert main(["meters", "attach", str(run_dir), str(path), *options]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_values_that_are_not_numbers(marked_facts: RunFacts, run_dir: Path, tmp_path: Path) -> None:
    """Up to 1 % are left out and counted; more are refused."""
    path = recorded(marked_facts, tmp_path / "power.csv")
    lines = path.read_text(encoding="utf-8").splitlines()
    few = [line.split(",")[0] + ",NaN" if i % 200 == 7 else line for i, line in enumerate(lines)]
    path.write_text("\n".join(few), encoding="utf-8")
    record = api.attach(run_dir, path)
    assert record.skipped_lines == sum(line.endswith("NaN") for line in few) > 100
    joules_are_right(run_dir, marked_facts, "external.power")
    many = [line.split(",")[0] + ",NaN" if i % 50 == 7 else line for i, line in enumerate(lines)]
    path.write_text("\n".join(many), encoding="utf-8")
    with pytest.raises(InputError, match="hold no numbers"):
        api.attach(run_dir, path)


def test_units_and_columns_can_be_said(marked_facts: RunFacts, run_dir: Path, tmp_path: Path) -> None:
    times, powers = TRUTH.samples(load_of(marked_facts), span_of(marked_facts))
    path = tmp_path / "odd.csv"
    rows = [f"{1e3 * t:.3f},{1e3 * p:.2f},0" for t, p in zip(times, powers, strict=True)]
    path.write_text("\n".join(["when,Ch1,Ch2", *rows]), encoding="utf-8")
    api.attach(run_dir, path, columns={"time": "when", "power": "Ch1"}, units={"time": "ms", "power": "mW"})
    joules_are_right(run_dir, marked_facts, "external.odd")


def test_without_marks_a_rail_of_the_run_may_serve(tmp_path: Path) -> None:
    facts = made_up_run(models=MODELS[1:3], conditions=(CLEAN,), shape=Shape(utterances=12, speakers=3))
    run_dir = store(facts, tmp_path / "r")
    path = recorded(facts, tmp_path / "power.csv", trial_w=(8.0,))
    with pytest.raises(InputError, match=r"no marks.*--mark"):
        api.attach(run_dir, path)
    record = api.attach(run_dir, path, by="correlation", max_error_s=0.2)
    assert record.method == "correlation"
    joules_are_right(run_dir, facts, "external.power", trial_w=(8.0,))
    bare = store(made_up(marked=False), tmp_path / "bare")
    with pytest.raises(InputError, match="no power of its own"):
        api.attach(bare, path, by="correlation")


def test_a_tegrastats_log(marked_facts: RunFacts, run_dir: Path, tmp_path: Path) -> None:
    """Ten lines a second, two rails: the total aligns the clock, both are kept."""
    recorder = replace(TRUTH, offset_s=span_of(marked_facts).start_s, drift_ppm=0.0, rate_hz=10.0)
    _, powers = recorder.samples(load_of(marked_facts), span_of(marked_facts))
    line = "RAM 1000/7620MB CPU [1%@1510] VDD_IN {0}mW/{0}mW VDD_CPU_GPU_CV {1}mW/{1}mW"
    log = tmp_path / "tegra.log"
    log.write_text("\n".join(line.format(round(1e3 * p), round(500 * p)) for p in powers), encoding="utf-8")
    arguments = ["--tegrastats-log", str(log), "--interval-ms", "100"]
    assert main(["meters", "attach", str(run_dir), *arguments]) == 0
    facts = read_run(run_dir)
    assert facts.recordings[0].channels == ("external.tegra.VDD_IN", "external.tegra.VDD_CPU_GPU_CV")
    truth, trial = load_of(marked_facts), facts.trials[0]
    assert trial.window is not None
    reading = measured_reading(trial, "external.tegra.VDD_IN")
    assert reading.energy_j == pytest.approx(truth.window_j(trial.window), rel=0.05)
    assert results.rows(facts)[0]["energy_covers"] == "module total"


def test_a_restarted_machine_has_another_clock(marked_facts: RunFacts, run_dir: Path, tmp_path: Path) -> None:
    """Trials that were measured after a reboot get nothing from a recording of before, even where the times would fit."""
    later = marked_facts.trials[-1].trial.id
    moved = tuple(replace(each, marks=1) if each.trial.id == later else each for each in marked_facts.trials)
    other = store(replace(marked_facts, trials=moved), tmp_path / "rebooted")
    with Journal.resume(other) as journal:
        journal.mark(Marks(id=1, boot_id="another", groups=((Window(start_s=1.0, end_s=2.0),),)))
    path = recorded(marked_facts, tmp_path / "power.csv")
    assert api.attach(other, path).trials == 5
    assert not read_run(other).trials[-1].traces
    assert api.attach(run_dir, path).trials == 6


def test_an_attached_recording_stands_for_the_device() -> None:
    from wattscribe.metering.window import preferred

    cpu = PowerTrace(
        channel="rapl.cpu",
        covers="CPU: package 0",
        total=True,
        update_interval_s=0.001,
        evidence="measured",
        t_s=(0.0, 1.0),
        power_w=(5.0, 5.0),
        processors=("cpu",),
    )
    board = replace(cpu, channel="external.power", covers="whole board", processors=(), origin="attached")
    assert preferred([cpu, board], "cpu") is board
    assert preferred([cpu, replace(board, total=False)], "cpu") is cpu


# --- clocks that step -------------------------------------------------------------------------------------------------
def stepped(facts: RunFacts, step_s: float) -> Recording:
    """The recorder's clock is set by `step_s` in the middle of the run."""
    times, powers = TRUTH.samples(load_of(facts), span_of(facts))
    times = np.where(np.arange(times.size) > times.size // 2, times + step_s, times)
    kept = np.concatenate(([True], np.diff(np.maximum.accumulate(times)) > 0))
    return Recording(name="stepped", t_s=times[kept], power_w=powers[kept], skipped_lines=0)


@pytest.mark.parametrize("step_s", [0.5, -0.2, 0.1])
def test_a_clock_that_was_set_between_the_marks_is_no_drift(marked_facts: RunFacts, step_s: float) -> None:
    with pytest.raises(MeterError, match="a clock was set, or samples were lost") as refused:
        by_marks(stepped(marked_facts, step_s), marked_facts.marks[0].groups)
    said_s = float(refused.value.what.partition("went ")[2].partition(" s ")[0])
    assert said_s == pytest.approx(abs(step_s), abs=0.02)


def test_lost_samples_are_no_drift(marked_facts: RunFacts) -> None:
    """A recorder that counts its samples has no time for those that it lost."""
    times, powers = TRUTH.samples(load_of(marked_facts), span_of(marked_facts))
    middle = times.size // 2
    left = np.concatenate((powers[:middle], powers[middle + 150 :]))  # 0.3 s
    recording = Recording(name="lossy", t_s=times[: left.size], power_w=left, skipped_lines=0)
    with pytest.raises(MeterError, match="samples were lost"):
        by_marks(recording, marked_facts.marks[0].groups)


@pytest.mark.parametrize("drift_ppm", [-180.0, 0.0, 180.0])
def test_what_quartz_can_drift_is_drift(marked_facts: RunFacts, drift_ppm: float) -> None:
    recorder = replace(TRUTH, drift_ppm=drift_ppm)
    times, powers = recorder.samples(load_of(marked_facts), span_of(marked_facts))
    recording = Recording(name="steady", t_s=times, power_w=powers, skipped_lines=0)
    assert by_marks(recording, marked_facts.marks[0].groups).drift_ppm == pytest.approx(drift_ppm, abs=15.0)
