"""`wattscribe transcribe` from the outside, its sources, and the voice activity gate."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.known import known
from tests.streaming import models
from wattscribe.errors import InputError, MissingExtraError
from wattscribe.streaming import open_transducer, vad
from wattscribe.streaming.sources import file_blocks, pcm_blocks
from wattscribe.streaming.vad import GatedStream

COMMAND = [sys.executable, "-m", "wattscribe", "transcribe"]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.build(tmp_path_factory.mktemp("toy") / "model", seed=1)


def run(*arguments: object, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*COMMAND, *map(str, arguments)], input=stdin, capture_output=True, check=False, timeout=60)


def pcm(audio: np.ndarray) -> bytes:
    return (audio * 32767).astype("<i2").tobytes()


def quantised(audio: np.ndarray) -> np.ndarray:
    return (audio * 32767).astype(np.int16).astype(np.float32) / np.float32(32768)


def wav(path: Path, audio: np.ndarray, rate: int = 16000) -> Path:
    soundfile.write(path, audio, rate, subtype="PCM_16")
    return path


# --- the command ----------------------------------------------------------------------------------------------------
def test_a_file_and_the_same_audio_in_a_pipe_read_the_same(directory: Path, tmp_path: Path) -> None:
    audio = quantised(models.sound(3, 48000))
    file = wav(tmp_path / "a.wav", audio)
    from_file, from_pipe = run(directory, file), run(directory, "-", stdin=(audio * 32768).astype("<i2").tobytes())
    assert from_file.returncode == from_pipe.returncode == 0, from_file.stderr
    assert from_file.stdout == from_pipe.stdout
    assert from_file.stdout.decode().strip() == open_transducer(directory).transcribe([audio])[0].text


def test_json_lines_carry_times_and_costs(directory: Path, tmp_path: Path) -> None:
    files = [wav(tmp_path / f"{name}.wav", models.sound(seed, 40000)) for seed, name in enumerate("ab")]
    done = run(directory, *files, "--json", "--decoding", "beam")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["source"] for line in lines if line["type"] == "cost"] == [str(file) for file in files]
    for line in lines:
        if line["type"] == "cost":
            assert line["audio_s"] == 2.5
            assert line["counts"]["encoder_calls"] > 0
        else:
            assert line["text"]
            assert all(0 <= token["start_s"] < 3.5 for token in line["tokens"])
            assert "".join(token["text"] for token in line["tokens"]).strip() == line["text"]


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        (["nowhere.wav"], b"", "nowhere.wav: there is no such file"),
        (["-"], b"", "standard input: holds no audio"),
        (["-"], b"RIFF....WAVE", "it is an audio file, not raw PCM"),
        (["-"], b"123", "middle of a 16-bit sample"),
        ([], b"", "nothing to transcribe"),
        (["-", "--mic"], b"", "both files and --mic"),
        (["--bogus"], b"", "there is no option '--bogus'"),
        ([str(Path(__file__))], b"", "is not audio that can be read"),
    ],
)
def test_bad_input_is_one_line(directory: Path, arguments: list[str], stdin: bytes, message: str) -> None:
    done = run(directory, *arguments, stdin=stdin)
    assert done.returncode == 2
    (line,) = done.stderr.decode().strip().splitlines()
    assert message in line
    assert "Traceback" not in line


def test_a_bad_model_is_one_line(tmp_path: Path) -> None:
    done = run(tmp_path, "x.wav")
    assert done.returncode == 2
    assert "no model is recognised here" in done.stderr.decode()


def test_interrupting_a_pipe_prints_what_was_heard(directory: Path) -> None:
    audio = quantised(models.sound(3, 48000))
    process = subprocess.Popen(
        [*COMMAND, directory, "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write((audio * 32768).astype("<i2").tobytes())
    process.stdin.flush()
    first = process.stdout.read(1)  # it listens and has recognised something
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert errors == b""
    assert (first + rest).decode().strip() == open_transducer(directory).transcribe([audio])[0].text


# --- sources --------------------------------------------------------------------------------------------------------
def test_files_of_any_rate_and_channel_count(tmp_path: Path) -> None:
    t = np.arange(22050 * 2) / 22050
    tone = (0.3 * np.sin(2 * np.pi * 440 * t)).astype(np.float32)
    soundfile.write(tmp_path / "s.flac", np.stack([tone, tone * 0], axis=1), 22050)
    heard = np.concatenate(list(file_blocks(tmp_path / "s.flac", block_s=0.3)))
    assert len(heard) == pytest.approx(32000, abs=2)
    expected = 0.15 * np.sin(2 * np.pi * 440 * np.arange(len(heard)) / 16000)
    assert np.abs(heard - expected)[200:-200].max() < 1e-3
    assert heard.dtype == np.float32


def test_bad_files(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "nan.wav", np.array([0, np.nan, 0]), 16000, subtype="FLOAT")
    soundfile.write(tmp_path / "none.wav", np.zeros(0), 16000)
    (tmp_path / "empty.wav").write_bytes(b"")
    whole = wav(tmp_path / "whole.flac", models.sound(0, 60000)).read_bytes()
    (tmp_path / "cut.flac").write_bytes(whole[: len(whole) // 2])
    whole = wav(tmp_path / "whole.wav", models.sound(0, 60000)).read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[: len(whole) // 2])
    soundfile.write(tmp_path / "whole.ogg", models.sound(0, 60000), 16000)
    whole = (tmp_path / "whole.ogg").read_bytes()
    (tmp_path / "cut.ogg").write_bytes(whole[: len(whole) // 2])
    for name, fault in [
        ("nan.wav", "NaN"), ("none.wav", "no audio"), ("empty.wav", "0 bytes"), ("cut.flac", ""),
        ("cut.wav", "truncated"), ("cut.ogg", "truncated"),
    ]:  # fmt: skip
        with pytest.raises(InputError) as caught:
            list(file_blocks(tmp_path / name))
        assert name in str(caught.value)
        assert fault in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_pipe_may_split_anywhere() -> None:
    audio = models.sound(0, 1000)

    class Trickle(io.BytesIO):
        def read1(self, size: int | None = -1) -> bytes:
            return super().read(3)

    assert np.array_equal(np.concatenate(list(pcm_blocks(Trickle(pcm(audio))))), quantised(audio))


# --- the voice gate -------------------------------------------------------------------------------------------------
class Loudness:
    """A detector that a test can predict."""

    def reset(self) -> None: ...

    def probability(self, window: np.ndarray) -> float:
        return 1.0 if np.abs(window).max() > 0.05 else 0.0


def test_silence_costs_no_encoder_call_and_times_are_those_of_the_whole(directory: Path) -> None:
    loud, quiet = models.sound(3, 16000), np.zeros(80000, np.float32)
    audio = np.concatenate([quiet, loud, quiet, loud, quiet])
    transducer = open_transducer(directory)
    gated, open_ = GatedStream(transducer, detector=Loudness()), transducer.stream()
    for start in range(0, len(audio), 1111):
        gated.accept(audio[start : start + 1111])
        open_.accept(audio[start : start + 1111])
    gated.finish()
    open_.finish()
    assert len(gated.ended) == 2
    for each, speech_s in zip(gated.ended, (5.0, 11.0), strict=True):
        assert each.start_s == pytest.approx(speech_s - gated._rule.lead_in_s, abs=0.2)
        assert all(speech_s - 0.6 < token.start_s < speech_s + 2.5 for token in each.transcript.tokens)
    assert gated.counts.encoder_calls < 0.5 * open_.counts.encoder_calls
    assert gated.skipped_s > 10
    assert gated.heard_s == pytest.approx(17, abs=0.05)
    silent = GatedStream(transducer, detector=Loudness())
    silent.accept(quiet)
    assert known(silent.finish().counts).encoder_calls == 0


def test_a_missing_voice_detector_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vad, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"wattscribe\[vad\]"):
        vad.model_path()


@pytest.mark.data
def test_silero_hears_speech_and_not_silence() -> None:
    if find_spec("silero_vad") is None:
        pytest.skip("the extra vad is not installed")
    detector = vad.VoiceDetector()
    silence = [detector.probability(np.zeros(512, np.float32)) for _ in range(30)]
    assert max(silence) < 0.2
    detector.reset()
    file = sorted(Path(models.ZIPFORMER).parents[1].glob("librispeech/**/*.flac"))[1]
    audio, _ = soundfile.read(file, dtype="float32")
    speech = [detector.probability(audio[i : i + 512]) for i in range(0, len(audio) - 512, 512)]
    assert np.mean(np.array(speech) > 0.5) > 0.5
