"""Small corpora and experiments with which a whole run takes a second."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from wattscribe.runs.experiment import Experiment, check

WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight")


def write_speech(path: Path, seconds: float, seed: int) -> None:
    """Something that counts as speech: noise bursts with pauses."""
    draw = np.random.default_rng(seed)
    samples = 0.1 * draw.standard_normal(round(seconds * 16000)).astype(np.float32)
    soundfile.write(path, samples, 16000)


def write_corpus(directory: Path, utterances: int = 6, speakers: int = 2) -> Path:
    """A manifest with utterances of different lengths, so that the fake finds each by its samples or its length."""
    directory.mkdir(parents=True, exist_ok=True)
    lines = []
    for index in range(utterances):
        name = f"u{index}.wav"
        write_speech(directory / name, 0.3 + 0.05 * index, index)
        text = f"{WORDS[index % 8]} {WORDS[(index + 1) % 8]} {WORDS[(index + 2) % 8]}"
        lines.append({"audio_filepath": name, "text": text, "speaker": f"s{index % speakers}", "id": f"u{index}"})
    (directory / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return directory


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "corpus")


@pytest.fixture
def experiment(corpus: Path) -> Callable[..., Experiment]:
    """An experiment over the small corpus; keys may be added or replaced."""

    def make(**keys: Any) -> Experiment:
        return check({"models": [f"fake:a?corpus={corpus}&wer=0.3"], "data": [str(corpus)], **keys})

    return make
