"""Single words joined to strings: what is tested on, what is tuned on, and that nobody's words are in both."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from benchmarks import digit_strings as strings

from wattscribe.errors import InputError
from wattscribe.training.speech_cache import shards

NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def tone(hz: float, seconds: float = 0.2) -> Any:
    return (0.3 * np.sin(2 * np.pi * hz * np.arange(int(16000 * seconds)) / 16000)).astype(np.float32)


def corpus(folder: Any, speakers: Any) -> str:
    lines = []
    for place, speaker in enumerate(speakers):
        for number, word in enumerate(NUMBERS):
            name = f"{speaker}-{word}.wav"
            soundfile.write(folder / name, tone(200 + 50 * place + 10 * number), 16000)
            lines.append({"audio_filepath": name, "duration": 0.2, "text": word, "speaker": speaker})
    (folder / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(folder)


def test_a_string_is_its_words_in_order_with_pauses_around_them() -> None:
    words = [("one", tone(300)), ("two", tone(500))]
    text, samples = strings.join(words, random.Random(0))
    assert text == "one two"
    loud = np.abs(samples) > 0.01
    starts = np.flatnonzero(np.diff(np.convolve(loud, np.ones(800), "same") > 0))
    assert len(starts) == 4  # two stretches of sound
    shortest, longest = (int(16000 * seconds) for seconds in strings.PAUSE_S)
    assert 3 * shortest <= len(samples) - 2 * 3200 <= 3 * longest
    assert np.flatnonzero(loud)[0] >= shortest


@pytest.mark.parametrize("count", [3, 8, 10, 57])
def test_a_test_set_holds_every_recording_once_in_strings_of_three_or_more(count: Any) -> None:
    words = [(f"w{n}", tone(300, 0.01)) for n in range(count)]
    made = strings.once_each(words, random.Random(count))
    assert sorted(word for text, _ in made for word in text.split()) == sorted(text for text, _ in words)
    assert all(3 <= len(text.split()) <= 9 for text, _ in made)


def test_every_speaker_has_own_words_alone(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    found = strings.leave_one_out(corpus(tmp_path / "data", ("ann", "bob")), tmp_path / "cache", print, strings=12)
    assert found == ["ann", "bob"]
    for speaker in found:
        (test,), (train,) = (
            shards(tmp_path / "cache" / speaker / "test"),
            shards(tmp_path / "cache" / speaker / "train"),
        )
        assert {item.speaker for item in (*test.utterances, *train.utterances)} == {speaker}
        assert len(train.utterances) == 12
        assert sorted(word for item in test.utterances for word in item.text.split()) == sorted(NUMBERS)


def test_one_speaker_cannot_be_left_out(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="two speakers"):
        strings.leave_one_out(corpus(tmp_path, ("ann",)), tmp_path / "cache", print)


def test_spoken_strings_come_through_a_narrow_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = []

    def noise(text: Any, voice: Any) -> Any:
        said.append(text)
        return np.random.default_rng(len(said)).normal(0, 0.1, 4000).astype(np.float32)

    monkeypatch.setattr(strings, "speak", noise)
    strings.spoken_digits(tmp_path, print, strings=5)
    (shard,) = shards(tmp_path / "spoken")
    assert [word for item in shard.utterances for word in item.text.split()] == said
    for item in shard.utterances:
        power = np.abs(np.fft.rfft(shard.audio(item))) ** 2
        hz = np.fft.rfftfreq(item.samples, 1 / 16000)
        assert power[hz > 4200].sum() < 1e-4 * power[hz < 3500].sum()
    strings.spoken_digits(tmp_path, print, strings=5)
    assert len(said) == sum(len(item.text.split()) for item in shard.utterances)  # made once
