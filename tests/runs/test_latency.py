"""Streaming latency against a simulated clock: every figure follows from a script."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from wattscribe.journal import read_run
from wattscribe.recognizers.base import Audio
from wattscribe.recognizers.latency import hear
from wattscribe.records import Counts, PrecisionAudit, Token, Transcript
from wattscribe.runs.experiment import Experiment
from wattscribe.runs.runner import run

RATE_HZ = 16_000


class Scripted:
    """A stream that computes for given times and shows given texts, one pair per piece, then the final one."""

    def __init__(self, script: list[tuple[float, Transcript]]) -> None:
        self.now = 0.0
        self.script = script
        self.at = -1
        self.heard = 0

    def now_s(self) -> float:
        return self.now

    def stream(self) -> Scripted:
        return self

    def accept(self, samples: Audio) -> None:
        self.heard += len(samples)
        self.at += 1
        self.now += self.script[self.at][0]

    def partial(self) -> Transcript:
        return self.script[self.at][1]

    def finish(self) -> Transcript:
        self.accept(np.zeros(0, np.float32))
        return self.script[self.at][1]

    def transcribe(self, batch: Sequence[Audio]) -> list[Transcript]:
        raise NotImplementedError

    def audit(self) -> PrecisionAudit:
        raise NotImplementedError

    def close(self) -> None:
        pass


def text(*words: tuple[str, float], calls: int | None = None) -> Transcript:
    counts = None if calls is None else Counts(encoder_calls=calls)
    tokens = tuple(Token(text=word, start_s=start_s) for word, start_s in words)
    return Transcript(text=" ".join(word for word, _ in words), tokens=tokens, counts=counts)


def test_every_figure_by_hand() -> None:
    """Five pieces of 0.1 s. The third computes 0.25 s, so the fourth waits: its audio is there at 0.4, it starts at 0.55."""
    script = [
        (0.01, text(calls=0)),
        (0.02, text(("a", 0.05), calls=1)),  # shown at 0.2 + 0.02
        (0.25, text(("a", 0.05), ("b", 0.2), calls=2)),  # 0.3 + 0.25 = 0.55
        (0.03, text(("x", 0.05), ("b", 0.2), calls=3)),  # 0.55 + 0.03 = 0.58: "a b" was revised
        (0.01, text(("x", 0.05), ("b", 0.2), calls=3)),  # 0.59, nothing computed
        (0.04, text(("x", 0.05), ("b", 0.2), ("c", 0.45), calls=4)),  # 0.63
    ]
    stream = Scripted(script)
    final, found = hear(stream, np.zeros(RATE_HZ // 2, np.float32), stream.now_s)
    assert final.text == "x b c"
    assert stream.heard == RATE_HZ // 2
    assert found.first_partial_s == pytest.approx(0.22)
    assert (found.partials, found.partials_revised) == (3, 1)
    # x and b were (re)written at 0.58, c at 0.63.
    delays = [0.58 - 0.05, 0.58 - 0.2, 0.63 - 0.45]
    assert found.emission_delay_p50_s == pytest.approx(np.percentile(delays, 50))
    assert found.emission_delay_p99_s == pytest.approx(np.percentile(delays, 99))
    # Only pieces in which the encoder ran are segments.
    assert found.segment_compute_p50_s == pytest.approx(np.percentile([0.02, 0.25, 0.03], 50))
    assert found.finalisation_s == pytest.approx(0.63 - 0.5)


def test_segments_of_a_recognizer_that_counts_only_those() -> None:
    """As sherpa-onnx: no counts in the transcript, but the stream knows how often it decoded."""

    class Counting(Scripted):
        @property
        def segments(self) -> int:
            return [0, 1, 1, 2, 2][self.at]

    stream = Counting([(0.001, text()), (0.02, text()), (0.001, text()), (0.03, text()), (0.001, text())])
    _, found = hear(stream, np.zeros(int(0.4 * RATE_HZ), np.float32), stream.now_s)
    assert found.segment_compute_p50_s == pytest.approx(0.025)


def test_a_recognizer_that_keeps_up_never_waits_for_itself() -> None:
    script = [(0.01, text(("a", 0.0)))] * 11
    stream = Scripted(script)
    _, found = hear(stream, np.zeros(RATE_HZ, np.float32), stream.now_s)
    assert found.first_partial_s == pytest.approx(0.11)
    assert found.finalisation_s == pytest.approx(0.02), "the last piece and the end, each 0.01 s"
    assert (found.partials, found.partials_revised) == (1, 0)


def test_a_slow_recognizer_falls_behind() -> None:
    script = [(0.2, text(("a", 0.0)))] * 11
    stream = Scripted(script)
    _, found = hear(stream, np.zeros(RATE_HZ, np.float32), stream.now_s)
    assert found.finalisation_s == pytest.approx(0.1 + 11 * 0.2 - 1.0)


def test_text_only_at_the_end_and_none_at_all() -> None:
    stream = Scripted([(0.01, text())] * 2 + [(0.05, text(("late", 0.1)))])
    _, found = hear(stream, np.zeros(3200, np.float32), stream.now_s)
    assert found.first_partial_s == pytest.approx(0.2 + 0.01 + 0.05)
    assert (found.partials, found.partials_revised) == (0, 0)
    stream = Scripted([(0.01, text())] * 3)
    _, found = hear(stream, np.zeros(3200, np.float32), stream.now_s)
    assert (found.first_partial_s, found.emission_delay_p50_s) == (None, None)


def test_through_a_whole_run(experiment: Callable[..., Experiment], corpus: Path, tmp_path: Path) -> None:
    """The streaming text is the offline text, and each utterance has its latency."""
    plan = experiment(models=[f"fake:a?corpus={corpus}"], latency=True)
    trial = read_run(run(plan, tmp_path / "r", meters=[])).trials[0]
    assert trial.status == "done"
    for each in trial.utterances:
        assert each.hypothesis == each.reference
        assert each.latency is not None
        assert each.latency.finalisation_s >= 0
        assert each.latency.first_partial_s is not None
        assert 0.1 <= each.latency.first_partial_s <= each.audio_s + each.latency.finalisation_s


def test_others_are_heard_as_usual(experiment: Callable[..., Experiment], tmp_path: Path) -> None:
    pytest.importorskip("pocketsphinx")
    plan = experiment(models=["pocketsphinx:en-us"], latency=True, limit=1)
    trial = read_run(run(plan, tmp_path / "r", meters=[])).trials[0]
    assert (trial.status, len(trial.utterances)) == ("done", 1)
