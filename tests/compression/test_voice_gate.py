"""A voice gate before a Whisper's encoder: what it leaves out, what it costs, and who has the last word."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from tests.compression.test_whisper import SHORT, clips, exported, parts
from wattscribe.compression.calibrate import Calibration
from wattscribe.compression.candidate import Candidate
from wattscribe.compression.kinds import family_of
from wattscribe.compression.levers import apply
from wattscribe.compression.measure import Measurer
from wattscribe.compression.seq2seq import gated, shorter
from wattscribe.compression.seq2seq.candidate import WhisperCandidate
from wattscribe.compression.speech import Audio
from wattscribe.compression.step import Step
from wattscribe.compression.workbench import Workbench
from wattscribe.energy import devices
from wattscribe.errors import InputError, ModelError
from wattscribe.recognizers import open_recognizer, parse_model
from wattscribe.records import to_json
from wattscribe.seq2seq import gate as module
from wattscribe.seq2seq.gate import Gate, gate_of

__all__ = ["clips", "exported", "parts"]
Parts = tuple[Candidate, Calibration]
VAD = Step(lever="vad", component="encoder", options={"keep_s": 0.256})
KEPT = 8 * 512
"""Samples on either side."""


class Loud:
    """What is loud is speech."""

    def reset(self) -> None: ...

    def probability(self, window: Audio) -> float:
        return float(np.abs(window).max() > 0.1)


@pytest.fixture(autouse=True)
def loud(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "VoiceDetector", Loud)
    gated._gate.cache_clear()
    gated._HEARD.clear()


def around(clip: Audio, before_s: float = 2.0, after_s: float = 1.5) -> Audio:
    return np.concatenate(
        [np.zeros(int(16_000 * before_s), np.float32), clip, np.zeros(int(16_000 * after_s), np.float32)]
    )


def steady(seconds: float) -> Audio:
    """As loud all the time."""
    return np.float32(0.3) * np.sign(np.sin(np.arange(round(16_000 * seconds)) / 20)).astype(np.float32)


def test_silence_further_than_what_is_kept_goes() -> None:
    word = steady(1.024)
    pause = np.zeros(3 * 16_384, np.float32)
    heard = Gate(0.256).heard(np.concatenate([pause, word, pause, word]))
    assert heard.judged == 6 * 32 + 64
    assert len(heard.audio) == 3 * KEPT + 2 * len(word)
    np.testing.assert_array_equal(heard.audio[KEPT : KEPT + len(word)], word)
    short = np.concatenate([word, pause[: 2 * KEPT], word])
    np.testing.assert_array_equal(Gate(0.256).heard(short).audio, short)


def test_silero_keeps_speech_and_leaves_silence_out(monkeypatch: pytest.MonkeyPatch) -> None:
    if find_spec("silero_vad") is None:
        pytest.skip("needs wattscribe[vad]")
    monkeypatch.undo()
    heard = Gate(0.5).heard(np.zeros(5 * 16_000, np.float32))
    assert (len(heard.audio), heard.judged) == (0, -(-5 * 16_000 // 512))


def test_the_directory_asks_for_it_and_the_user_has_the_last_word(
    parts: Parts, clips: list[Audio], tmp_path: Path
) -> None:
    original, calibration = parts
    apply(original, VAD, calibration).write(tmp_path / "gated")
    original.write(tmp_path / "plain")
    audio = around(steady(1.024), 2.048, 1.536)
    own, trimmed, never, asked = (
        open_recognizer(parse_model(f"onnx:{tmp_path / name}", options=options)).transcribe([given])[0]
        for name, options, given in (
            ("gated", {}, audio), ("plain", {}, audio[4 * 8192 - KEPT : 6 * 8192 + KEPT]),
            ("gated", {"vad": "false"}, audio), ("plain", {"vad": "true"}, audio),
        )
    )  # fmt: skip
    assert own.text == trimmed.text
    counts = [each.counts for each in (own, never, asked)]
    assert all(each is not None for each in counts)
    found = [(each.gate_calls, each.skipped_frames) for each in counts if each is not None]
    kept = (16_384 + 2 * KEPT, 16_384 + 2 * 16 * 512)  # 0.5 s is 16 windows, rounded
    assert found == [(144, (len(audio) - kept[0]) // 320), (0, 0), (144, (len(audio) - kept[1]) // 320)]
    assert "skipped_frames" in json.dumps(to_json(own))


def test_audio_without_speech_costs_the_detector_alone(parts: Parts, tmp_path: Path) -> None:
    apply(parts[0], VAD, parts[1]).write(tmp_path / "gated")
    (answer,) = open_recognizer(parse_model(f"onnx:{tmp_path / 'gated'}")).transcribe([np.zeros(32_000, np.float32)])
    assert answer.text == ""
    assert answer.counts is not None
    assert (answer.counts.encoder_rows, answer.counts.gate_calls, answer.counts.skipped_frames) == (0, 63, 100)


def bench_of(original: Candidate, calibration: Calibration, clips: list[Audio]) -> Workbench:
    names = tuple(map(str, range(len(clips))))
    speech = replace(
        calibration.speech, audio=tuple(clips), ids=names, speakers=names, references=("a",) * len(clips),
        corpora=("s",) * len(clips),
    )  # fmt: skip
    family = family_of(original)
    return Workbench(
        original=original, family=family, measurer=Measurer(devices.load("phone")), dev=speech, small=speech,
        calibration=calibration, probe=family.probe(original, speech), limit=1.0,
    )  # fmt: skip


def test_energy_is_that_of_what_is_heard_and_of_the_detector(parts: Parts, clips: list[Audio]) -> None:
    if find_spec("silero_vad") is None:
        pytest.skip("needs wattscribe[vad]")
    original, calibration = parts
    audio = [around(steady(1.024)), np.zeros(40_000, np.float32)]
    bench = bench_of(original, calibration, audio)
    short, made = bench.build([SHORT]), bench.build([SHORT, VAD])
    assert isinstance(made, WhisperCandidate)
    counts, _ = bench.counts(made)
    decoded = bench.measurer.decode(made, bench.dev)
    for said, counted in zip(decoded.counts, counts, strict=True):
        for name in ("encoder_calls", "encoder_rows", "frames", "padded_frames", "gate_calls", "skipped_frames"):
            assert getattr(said, name) == getattr(counted, name), name
    components = {each.name: each for each in bench.measurer.energy(made, *bench.counts(made)).components}
    assert components["gate"].total_w.value > 0
    plain = {each.name: each for each in bench.measurer.energy(short, *bench.counts(short)).components}
    assert "gate" not in plain
    assert components["encoder"].total_w.value < plain["encoder"].total_w.value
    assert 0 < bench.kl(made).kl < np.inf


def test_speech_without_silence_has_nothing_to_skip(
    parts: Parts, clips: list[Audio], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    bench = bench_of(*parts, [steady(1.024)])
    bench.say = said.append
    assert shorter.gates(bench) == []
    assert said == [f"  voice gate that keeps {keep:g} s: would skip 0.0 of 1.0 s" for keep in shorter.KEEPS_S]
    bench = bench_of(*parts, [around(steady(1.024))])
    assert [step.options["keep_s"] for step in shorter.gates(bench)] == list(shorter.KEEPS_S)


def test_what_cannot_be_a_gate_is_named(parts: Parts) -> None:
    for keep_s in (-1.0, 31.0, float("nan")):
        with pytest.raises(InputError, match="no gate"):
            apply(parts[0], replace(VAD, options={"keep_s": keep_s}), parts[1])
    with pytest.raises(ModelError, match=r"vad_keep_s='much'.*Export or compress it again"):
        gate_of({"vad_keep_s": "much"}, "here")
    with pytest.raises(InputError, match="no Whisper's"):
        apply(parts[0], replace(VAD, component="decoder"), parts[1])
