"""Answers of an encoder are recalled, bit for bit, while the encoder is the same and there is room."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from tests.compression.test_whisper import EIGHT, SHORT, calibrated, clips, exported
from wattscribe.compression.answers import Answers, Arrays
from wattscribe.compression.levers import apply
from wattscribe.compression.measure import decode
from wattscribe.compression.speech import Audio, SpeechSet
from wattscribe.seq2seq.whisper_net import WhisperNet

__all__ = ["clips", "exported"]


def arrays(seed: int) -> Arrays:
    generator = np.random.default_rng(seed)
    return tuple(generator.standard_normal(shape, np.float32) for shape in ((2, 1, 5, 3), (2, 1, 5, 4)))


class Encoder:
    """Counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def ask(self, answers: Answers, encoder: str, seed: int) -> Arrays:
        def make() -> Arrays:
            self.asked.append(seed)
            return arrays(seed)

        return answers.recall(encoder, str(seed), make)


def test_what_is_recalled_is_bit_for_bit_what_was_made_and_ones_own() -> None:
    answers, encoder = Answers(), Encoder()
    for seed in (1, 2, 1, 2, 1):
        answer = encoder.ask(answers, "one", seed)
        assert all(np.array_equal(*pair) for pair in zip(answer, arrays(seed), strict=True))
        for array in answer:
            array[...] = 0  # as the decoder does, which turns them where they lie
    assert encoder.asked == [1, 2]
    encoder.ask(answers, "another", 1)
    assert encoder.asked == [1, 2, 1]


def test_the_encoder_that_was_asked_least_recently_gives_way() -> None:
    size = sum(array.nbytes for array in arrays(0))
    answers, encoder = Answers(most_bytes=2 * size), Encoder()
    for name in ("one", "two", "one", "three", "one"):
        encoder.ask(answers, name, 0)
    assert len(encoder.asked) == 3
    encoder.ask(answers, "two", 0)
    assert len(encoder.asked) == 4


def test_where_there_is_no_room_the_encoder_runs_again() -> None:
    size = sum(array.nbytes for array in arrays(0))
    answers, encoder = Answers(most_bytes=2 * size), Encoder()
    for seed in (1, 2, 3, 1, 2, 3):
        encoder.ask(answers, "one", seed)
    assert encoder.asked == [1, 2, 3, 3]


def test_a_full_disk_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    answers, encoder = Answers(), Encoder()
    assert np.array_equal(encoder.ask(answers, "one", 1)[0], encoder.ask(answers, "one", 1)[0])
    assert encoder.asked == [1, 1]


def test_recalled_seconds_are_those_of_the_run() -> None:
    answers = Answers()

    def make() -> Arrays:
        end = time.process_time() + 0.2
        while time.process_time() < end:
            pass
        return arrays(0)

    for _ in range(3):
        start = time.process_time() + answers.saved_cpu_s
        answers.recall("one", "0", make)
        assert time.process_time() + answers.saved_cpu_s - start == pytest.approx(0.2, rel=0.05)


def test_nothing_stays_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    answers = Answers()
    Encoder().ask(answers, "one", 1)
    assert list(tmp_path.iterdir()) == []


def test_a_whisper_says_the_same_and_its_encoder_runs_once_an_utterance(
    exported: Path, clips: list[Audio], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[int] = []
    cross = WhisperNet._cross

    def counted(self: WhisperNet, features: Audio) -> Arrays:
        runs.append(1)
        return cross(self, features)

    original, calibration = calibrated(exported, clips)
    names = tuple(map(str, range(len(clips))))
    speech = SpeechSet(name="s", ids=names, speakers=names, references=(), audio=tuple(clips))
    answers = Answers()
    monkeypatch.setattr(WhisperNet, "_cross", counted)
    for step, new in ((None, len(clips)), (EIGHT, 0), (SHORT, len(clips)), (None, 0)):
        candidate = original if step is None else apply(original, step, calibration)
        with candidate.directory() as folder:
            plain = decode(candidate.open(folder, candidate.decoding), speech)
            runs.clear()
            recalled = decode(candidate.open(folder, candidate.decoding, answers), speech, answers=answers)
        assert (recalled.texts, recalled.counts) == (plain.texts, plain.counts)
        assert len(runs) == new
