"""Speech in real time: what a recognizer is given when, on a clock of the test's; then short runs on the real one."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.runs.conftest import write_speech
from wattscribe.errors import InputError
from wattscribe.journal import read_run
from wattscribe.metering import MonotonicClock
from wattscribe.recognizers.base import Audio
from wattscribe.records import PrecisionAudit, Transcript
from wattscribe.results import table
from wattscribe.results.cost import busy_s, speed_of
from wattscribe.runs.experiment import Experiment, check
from wattscribe.runs.pacing import Pace
from wattscribe.runs.plan import plan
from wattscribe.runs.runner import run
from wattscribe.testing.loads import FakeClock, SimulatedMeter, pulses

RATE_HZ = 16_000


class Hears:
    """Takes `compute_s` for each call and notes when it was given what."""

    def __init__(self, clock: FakeClock, compute_s: float) -> None:
        self.clock, self.compute_s = clock, compute_s
        self.given: list[tuple[float, int]] = []

    def transcribe(self, batch: Sequence[Audio]) -> list[Transcript]:
        self.given.append((round(self.clock.now_s(), 6), len(batch[0])))
        self.clock.advance(self.compute_s)
        return [Transcript(text="x")]

    def audit(self) -> PrecisionAudit:
        raise NotImplementedError

    def close(self) -> None:
        pass


class Streams(Hears):
    """The same, piece by piece."""

    def stream(self) -> Streams:
        return self

    def accept(self, samples: Audio) -> None:
        self.transcribe([samples])

    def partial(self) -> Transcript:
        return Transcript(text="")

    def finish(self) -> Transcript:
        self.clock.advance(self.compute_s)
        return Transcript(text="x")


def paced(clock: FakeClock, lengths_s: Sequence[float], duty: float) -> Pace:
    pace = Pace(lengths_s, duty, clock.now_s, clock.sleep)
    pace.open()
    return pace


def audio(seconds: float) -> Audio:
    return np.zeros(round(seconds * RATE_HZ), np.float32)


def test_whole_files_are_given_at_their_end_and_pauses_keep_the_duty() -> None:
    clock = FakeClock(100.0)
    lengths_s = (1.0, 2.0, 1.0)
    pace, recognizer = paced(clock, lengths_s, 0.5), Hears(clock, 0.25)
    found = []
    for index, length_s in enumerate(lengths_s):
        pace.await_utterance(index)
        found.append(pace.transcribe(index, recognizer, audio(length_s), streaming=False))
    pace.await_utterance(len(lengths_s))
    assert [at_s for at_s, _ in recognizer.given] == [101.0, 104.0, 107.0]
    assert clock.now_s() == pytest.approx(108.0), "4 s of speech at a duty of 0.5"
    for (transcript, latency, times, start_s), from_s, length_s in zip(found, (100, 102, 106), lengths_s, strict=True):
        assert (transcript.text, latency) == ("x", None)
        assert (times.spoken_from_s, times.spoken_to_s) == (from_s, from_s + length_s)
        assert (start_s, times.compute_s) == (pytest.approx(from_s + length_s), pytest.approx(0.25))


def test_a_stream_is_given_each_piece_when_it_has_been_spoken() -> None:
    clock = FakeClock(100.0)
    recognizer = Streams(clock, 0.02)
    _, latency, times, start_s = paced(clock, [0.35], 1.0).transcribe(0, recognizer, audio(0.35), streaming=True)
    assert recognizer.given == [(100.1, 1600), (100.2, 1600), (100.3, 1600), (100.35, 800)]
    assert start_s == pytest.approx(100.1)
    assert times.compute_s == pytest.approx(5 * 0.02), "the waiting is left out"
    assert latency is not None
    assert latency.finalisation_s == pytest.approx(0.04), "the last piece and the end"


def test_one_that_is_slower_than_speech_falls_behind_and_nobody_waits_for_it() -> None:
    clock = FakeClock(0.0)
    pace, recognizer = paced(clock, [1.0] * 4, 1.0), Hears(clock, 1.5)
    waits_s = []
    for index in range(4):
        pace.await_utterance(index)
        *_, times, _ = pace.transcribe(index, recognizer, audio(1.0), streaming=False)
        waits_s.append(clock.now_s() - times.spoken_to_s)
    assert waits_s == [pytest.approx(1.5 + 0.5 * index) for index in range(4)]
    clock = FakeClock(0.0)
    slow = Streams(clock, 0.15)
    _, latency, times, _ = paced(clock, [1.0], 1.0).transcribe(0, slow, audio(1.0), streaming=True)
    assert latency is not None
    assert times.compute_s == pytest.approx(11 * 0.15)
    assert latency.finalisation_s == pytest.approx(0.1 + 11 * 0.15 - 1.0)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"duty": 0.3}, "it needs pace = 'realtime'"),
        ({"pace": "realtime", "duty": 0}, "duty"),
        ({"pace": "realtime", "duty": 1.5}, "duty"),
        ({"pace": "fast"}, "pace"),
    ],
)
def test_what_cannot_be(keys: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        check({"models": ["fake:a"], "data": ["bundled"], **keys})


def test_a_paced_trial_is_another_trial() -> None:
    keys = {"models": ["fake:a"], "data": ["bundled"]}
    plain, real, rare = (
        plan(check({**keys, **more})) for more in ({}, {"pace": "realtime"}, {"pace": "realtime", "duty": 0.1})
    )
    assert [trial.duty for (trial,) in (plain, real, rare)] == [None, 1.0, 0.1]
    assert len({trial.id for (trial,) in (plain, real, rare)}) == 3


def test_a_run_in_real_time(experiment: Callable[..., Experiment], corpus: Path, tmp_path: Path) -> None:
    """The window is as long as speech and pauses, each utterance has its times, and streamed text stands beside whole files'."""
    plan_ = experiment(models=[f"fake:a?corpus={corpus}&cpu=0.01"], pace="realtime", duty=0.5, limit=4)
    facts = read_run(run(plan_, tmp_path / "r", meters=[]))
    (trial,) = facts.trials
    assert (trial.status, trial.reason) == ("done", None)
    audio_s = sum(utterance.audio_s for utterance in trial.utterances)
    assert trial.window is not None
    assert 2 * audio_s - 1e-3 <= trial.window.duration_s
    at_s = trial.window.start_s
    for utterance in trial.utterances:
        assert utterance.paced is not None
        assert utterance.paced.spoken_from_s == pytest.approx(at_s, abs=1e-3)
        assert utterance.paced.spoken_to_s == pytest.approx(at_s + utterance.audio_s, abs=1e-3)
        assert utterance.end_s > utterance.paced.spoken_to_s
        assert utterance.latency is not None
        at_s += 2 * utterance.audio_s
    assert trial.whole_texts == {utterance.id: utterance.reference for utterance in trial.utterances}
    assert busy_s(trial) < audio_s, "waiting for speech is no computing"
    assert speed_of([trial]).rtf == pytest.approx(busy_s(trial) / audio_s)
    (row,) = table.view(facts).rows
    assert (row.duty, row.whole_wer, row.streamed_wer_change) == (0.5, 0.0, 0.0)
    assert row.tail_p50_s == row.latency_p50_s
    assert row.listening_w is None
    assert "no sensor could be read, and waiting is not modelled" in (row.listening_reason or "")


def test_known_joules_lie_in_the_interval(experiment: Callable[..., Experiment], tmp_path: Path) -> None:
    """A simulated meter on a load whose every joule is known: listening, and its hour, hold the truth."""
    clock = MonotonicClock()
    began_s = clock.now_s()
    load = pulses(4.0, 6.5, start_s=began_s, end_s=began_s + 600.0, period_s=0.9, duty=0.4)
    meter = SimulatedMeter(load, clock, update_interval_s=0.05, averaging_s=0.05, step=0.04)
    plan_ = experiment(models=["fake:a?text=x"], pace="realtime", duty=0.3, idle_s=0.5, limit=5)
    facts = read_run(run(plan_, tmp_path / "r", meters=[meter], clock=clock))
    (trial,), (row,) = facts.trials, table.view(facts, battery_wh=10.0).rows
    assert trial.window is not None
    true_w = load.window_j(trial.window) / trial.window.duration_s
    assert row.listening_w_ci95 is not None
    assert row.listening_w_ci95[0] <= true_w <= row.listening_w_ci95[1]
    assert row.j_per_listening_h_ci95 is not None
    assert row.j_per_listening_h_ci95[0] <= 3600 * true_w <= row.j_per_listening_h_ci95[1]
    assert row.battery_h_ci95 is not None
    assert row.battery_h_ci95[0] <= 10.0 / true_w <= row.battery_h_ci95[1]
    assert row.battery_h_ci95[1] / row.battery_h_ci95[0] < 1.2, "an interval that says something"


def test_a_recognizer_that_cannot_do_whole_files_keeps_its_measurement(
    experiment: Callable[..., Experiment], tmp_path: Path
) -> None:
    """The fake counts streams and files alike: the first whole file after four streams raises."""
    plan_ = experiment(models=["fake:a?text=x&raise_at=5"], pace="realtime", limit=4)
    (trial,) = read_run(run(plan_, tmp_path / "r", meters=[])).trials
    assert (trial.status, trial.whole_texts) == ("done", None)
    assert "told to raise" in (trial.surroundings or {})["whole_files_failed"]
    assert len(trial.utterances) == 4


def test_the_time_that_speech_takes_is_no_hang(experiment: Callable[..., Experiment], tmp_path: Path) -> None:
    """An utterance of 3 s with a limit of 2 s: the limit begins when it has been spoken. Pauses have no limit but their own."""
    write_speech(tmp_path / "long.wav", 3.0, 0)
    lines = [{"audio_filepath": "long.wav", "text": "x", "speaker": "s", "id": name} for name in "ab"]
    (tmp_path / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    keys = {"data": [str(tmp_path)], "pace": "realtime", "duty": 0.75, "timeout_s": 2.0}
    (trial,) = read_run(run(experiment(models=["fake:a?text=x"], **keys), tmp_path / "r", meters=[])).trials
    assert (trial.status, trial.reason) == ("done", None)
    starts = [utterance.paced.spoken_from_s for utterance in trial.utterances if utterance.paced]
    assert [b - a for a, b in itertools.pairwise(starts)] == [pytest.approx(4.0)]
