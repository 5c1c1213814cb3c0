"""Watts of listening against a load whose every joule is known, and every way in which they are refused."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from tests.stored_runs import CLEAN, MODELS, Shape, made_up_run
from wattscribe.errors import InputError
from wattscribe.metering import Sampler
from wattscribe.pages.formats import to_markdown
from wattscribe.pages.run_page import run_page
from wattscribe.records import Paced, PowerTrace, Processor, RunFacts, TrialFacts, Window
from wattscribe.results import table
from wattscribe.results.compare import compare
from wattscribe.results.gates import Gates
from wattscribe.results.row import Row
from wattscribe.testing.loads import FakeClock, Load, SimulatedMeter

IDLE_W, PAUSE_W, SPEECH_W = 2.0, 2.4, 5.0


def paced_trial(trial: TrialFacts, duty: float, draw: random.Random, update_s: float) -> tuple[TrialFacts, float]:
    """The same trial as it would have gone in real time, its trace that of a sensor; the true joules of the window."""
    start_s = 1000.0
    before = Window(start_s=start_s, end_s=start_s + 5.0)
    at_s, edges, powers, utterances = before.end_s, [before.end_s], [IDLE_W], []
    for utterance in trial.utterances:
        end_s = at_s + utterance.audio_s + draw.uniform(0.05, 0.3)
        paced = Paced(spoken_from_s=at_s, spoken_to_s=at_s + utterance.audio_s, compute_s=0.1 * utterance.audio_s)
        utterances.append(replace(utterance, start_s=at_s + 0.1, end_s=end_s, paced=paced))
        at_s = max(end_s, at_s + utterance.audio_s / duty)
        powers += [SPEECH_W * draw.uniform(0.9, 1.1), PAUSE_W]
        edges += [end_s, at_s]
    window = Window(start_s=before.end_s, end_s=at_s)
    after = Window(start_s=at_s, end_s=at_s + 5.0)
    load = Load(powers_w=(*powers, IDLE_W), edges_s=tuple(edges))
    texts = {utterance.id: utterance.hypothesis or "" for utterance in utterances}
    found = replace(
        trial,
        trial=replace(trial.trial, duty=duty),
        utterances=tuple(utterances),
        window=window,
        idle_before=before,
        idle_after=after,
        whole_texts=texts,
        traces=(sampled(load, start_s - 1.0, after.end_s + 1.0, update_s),),
    )
    return found, load.window_j(window)


def sampled(load: Load, start_s: float, end_s: float, update_s: float) -> PowerTrace:
    clock = FakeClock(start_s)
    meter = SimulatedMeter(load, clock, update_interval_s=update_s, averaging_s=update_s, step=0.02)
    sampler = Sampler([meter], rate_hz=20.0, clock=clock)
    while clock.now_s() < end_s:
        sampler.read_once()
        clock.advance(0.05)
    (trace,) = sampler.drain()
    return trace


def paced_run(
    duty: float = 0.4, *, seed: int = 0, update_s: float = 0.05, utterances: int = 8
) -> tuple[RunFacts, float]:
    shape = Shape(utterances=utterances, speakers=4, utterance_s=2.0, measured=False, seed=seed)
    facts = made_up_run(models=MODELS[:1], precisions=("fp32",), conditions=(CLEAN,), shape=shape)
    trial, true_j = paced_trial(facts.trials[0], duty, random.Random(seed), update_s)
    return replace(facts, trials=(trial,)), true_j


def row_of(facts: RunFacts, battery_wh: float | None = None) -> Row:
    (row,) = table.view(facts, battery_wh=battery_wh).rows
    return row


def test_every_part_holds_the_truth() -> None:
    """Over made-up runs: the whole window, speech, pauses and idle, each as often as 95 % intervals should, or nearly."""
    held = dict.fromkeys(("listening", "speech", "pause", "idle"), 0)
    runs = 30
    for seed in range(runs):
        facts, true_j = paced_run(seed=seed)
        (trial,), row = facts.trials, row_of(facts)
        assert trial.window is not None
        speech_s = sum(u.end_s - u.paced.spoken_from_s for u in trial.utterances if u.paced)
        pause_s = trial.window.duration_s - speech_s
        true_w = {
            "listening": true_j / trial.window.duration_s,
            "speech": (true_j - PAUSE_W * pause_s) / speech_s,
            "pause": PAUSE_W,
            "idle": IDLE_W,
        }
        for name, value in true_w.items():
            interval = getattr(row, f"{name}_w_ci95")
            assert interval is not None, name
            held[name] += interval[0] <= value <= interval[1]
            assert interval[1] - interval[0] < 0.2 * value, f"{name}: an interval that says something"
    assert all(count >= 0.9 * runs for count in held.values()), held


def test_an_hour_and_a_battery_follow_from_the_watts() -> None:
    row = row_of(paced_run()[0], battery_wh=20.0)
    assert row.listening_w is not None
    assert row.j_per_listening_h == pytest.approx(3600 * row.listening_w)
    assert row.battery_h == pytest.approx(20.0 / row.listening_w)
    assert row.listening_w_ci95 is not None
    assert row.battery_h_ci95 == pytest.approx((20.0 / row.listening_w_ci95[1], 20.0 / row.listening_w_ci95[0]))
    assert row.listening_reason is None
    assert row.rtf == pytest.approx(0.1), "computing, not waiting"
    assert row.tail_p99_s is not None
    assert 0.05 <= row.tail_p99_s <= 0.3
    bare = row_of(paced_run()[0])
    assert (bare.battery_wh, bare.battery_h, bare.listening_w) == (None, None, row.listening_w)
    for capacity in (0.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="a battery cannot hold"):
            row_of(paced_run()[0], battery_wh=capacity)


def test_a_slow_sensor_answers_for_the_whole_and_refuses_the_parts() -> None:
    row = row_of(paced_run(update_s=3.0)[0])
    assert row.listening_w is not None
    assert (row.speech_w, row.pause_w) == (None, None)
    assert "speech: 8 of 8 windows cannot be answered: " in (row.listening_reason or "")
    assert "shorter than 2 updates of the sensor" in (row.listening_reason or "")


@pytest.mark.parametrize("feeds", [("cpu",), ()])
def test_a_rail_that_is_a_part_says_nothing_about_a_battery(feeds: tuple[Processor, ...]) -> None:
    facts, _ = paced_run()
    (trial,) = facts.trials
    part = replace(trial.traces[0], total=bool(feeds), processors=feeds)
    row = row_of(replace(facts, trials=(replace(trial, traces=(part,)),)), battery_wh=20.0)
    assert row.battery_h is None
    if not feeds:  # of unknown extent, so that it is not taken for anybody's power
        assert row.listening_w is None
        return
    assert row.listening_w is not None
    assert "battery hours need the power of the whole device" in (row.listening_reason or "")


def test_one_that_is_always_behind_has_no_pauses() -> None:
    facts, _ = paced_run()
    (trial,) = facts.trials
    assert trial.window is not None
    end_s = trial.window.end_s
    whole = tuple(replace(u, end_s=end_s) if n == 0 else u for n, u in enumerate(trial.utterances))
    row = row_of(replace(facts, trials=(replace(trial, utterances=whole),)))
    assert row.pause_w is None
    assert row.speech_w == row.listening_w is not None


def test_what_streaming_costs_in_words() -> None:
    facts, _ = paced_run(utterances=24)
    (trial,) = facts.trials
    references = {utterance.id: utterance.reference for utterance in trial.utterances}
    better = replace(facts, trials=(replace(trial, whole_texts=references),))
    row = row_of(better)
    assert row.whole_wer == 0.0
    assert row.wer is not None
    assert row.streamed_wer_change == pytest.approx(row.wer)
    assert row.streamed_wer_change_ci95 is not None
    assert row.streamed_wer_change_ci95[0] <= row.wer <= row.streamed_wer_change_ci95[1]
    text, page = to_markdown(better, battery_wh=20.0), run_page(better, battery_wh=20.0)
    for said in (text, page):
        assert "streamed, its WER is" in said
        assert "Battery hours are 20.0 Wh" in said
        assert "as behind a voice gate" in said
    assert 'id="listening"' in page
    assert 'id="listening"' not in run_page(made_up_run(models=MODELS[:1], conditions=(CLEAN,)))
    same = row_of(facts)
    assert same.streamed_wer_change == 0.0


def test_compare_judges_listening_against_listening_alone() -> None:
    paced, _ = paced_run()
    again, _ = paced_run(seed=0)
    rare, _ = paced_run(duty=0.2)
    shape = Shape(utterances=8, speakers=4, utterance_s=2.0)
    plain = made_up_run(models=MODELS[:1], precisions=("fp32",), conditions=(CLEAN,), shape=shape)
    gates = Gates(max_error_increase_points=50.0)
    assert compare(paced, again, gates).accepted
    (energy,) = [cost for cost in compare(paced, again, gates).verdicts[0].costs if cost.quantity == "energy"]
    row = row_of(paced)
    assert energy.unit == "J/h"
    assert energy.base == pytest.approx(row.j_per_listening_h)
    for other, words in ((plain, "as fast as it goes"), (rare, "real time, 20 % speech")):
        refused = compare(paced, other, gates)
        assert not refused.accepted
        assert any(
            "pace: real time, 40 % speech in the base run" in reason and words in reason for reason in refused.reasons
        )
