"""read_audio: every format, rate and channel count; every way a file can be bad."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.corpora.conftest import tone
from wattscribe.corpora.audio import decode_audio, duration_of, find_audio, read_audio
from wattscribe.errors import InputError

FORMATS = {
    "wav": ("WAV", "PCM_16"),
    "float.wav": ("WAV", "FLOAT"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}
LOSSLESS = ("wav", "float.wav", "flac")


def write(path: Path, samples: np.ndarray, rate_hz: int, suffix: str) -> Path:
    kind, subtype = FORMATS[suffix]
    soundfile.write(path, samples, rate_hz, format=kind, subtype=subtype)
    return path


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_every_format_becomes_the_same_tone(tmp_path: Path, suffix: str, rate_hz: int, channels: int) -> None:
    wave = tone(1.0, rate_hz)
    source = write(tmp_path / f"a.{suffix}", np.stack([wave] * channels, axis=1), rate_hz, suffix)
    heard = read_audio(source)
    assert heard.dtype == np.float32
    assert heard.ndim == 1
    assert len(heard) == pytest.approx(16_000, abs=1200 if suffix == "mp3" else 1)
    middle = heard[4000:12000].astype(np.float64)
    assert np.sqrt(2 * np.mean(middle**2)) == pytest.approx(0.3, rel=0.03)
    spectrum = np.abs(np.fft.rfft(middle))
    assert np.argmax(spectrum) == 440 // 2


def test_sixteen_kilohertz_pcm_is_kept_to_the_bit(tmp_path: Path) -> None:
    integers = np.random.default_rng(1).integers(-32768, 32768, 5000).astype(np.int16)
    soundfile.write(tmp_path / "a.flac", integers, 16_000, subtype="PCM_16")
    np.testing.assert_array_equal(read_audio(tmp_path / "a.flac"), integers / np.float32(32768))


def test_channels_are_averaged(tmp_path: Path) -> None:
    left, right = np.full(800, 0.5), np.full(800, -0.25)
    write(tmp_path / "a.wav", np.stack([left, right], axis=1), 16_000, "float.wav")
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav"), 0.125)


def test_beyond_full_scale_is_scaled_not_clipped(tmp_path: Path) -> None:
    wave = tone(0.1, level=2.5)
    write(tmp_path / "a.wav", wave, 16_000, "float.wav")
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav"), wave / np.abs(wave).max(), atol=1e-6)


def test_resampling_loses_nothing_below_its_band(tmp_path: Path) -> None:
    """A tone at 44.1 kHz equals the tone made at 16 kHz, within -80 dB and without delay."""
    write(tmp_path / "a.wav", tone(1.0, 44_100), 44_100, "float.wav")
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav")[2000:14000], tone(1.0)[2000:14000], atol=3e-5)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("share", [0.97, 0.5, 0.05])
def test_truncated_files_are_refused(tmp_path: Path, suffix: str, share: float) -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(64_000)
    whole = write(tmp_path / f"a.{suffix}", noise, 16_000, suffix).read_bytes()
    assert len(decode_audio(whole, where="whole")) == 64_000
    with pytest.raises(InputError, match=r"truncated|not audio"):
        decode_audio(whole[: int(len(whole) * share)], where="cut")


def test_an_ogg_cut_between_two_pages_is_truncated(tmp_path: Path) -> None:
    """Every page is whole there: only the missing end-of-stream flag tells."""
    whole = write(
        tmp_path / "a.ogg", 0.1 * np.random.default_rng(0).standard_normal(64_000), 16_000, "ogg"
    ).read_bytes()
    with pytest.raises(InputError, match="the stream has no end"):
        decode_audio(whole[: whole.rindex(b"OggS")], where="cut")


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_a_header_that_promises_more_is_truncation(tmp_path: Path, suffix: str) -> None:
    whole = write(tmp_path / f"a.{suffix}", tone(2.0), 16_000, suffix).read_bytes()
    with pytest.raises(InputError, match="truncated"):
        decode_audio(whole[:-100], where="cut")


def promising(flac: bytes, samples: int) -> bytes:
    """The file with another count in STREAMINFO's 36-bit field of samples."""
    word = int.from_bytes(flac[18:26], "big")
    return flac[:18] + ((word & ~((1 << 36) - 1)) | samples).to_bytes(8, "big") + flac[26:]


def test_a_flac_cut_between_two_frames_is_truncated(tmp_path: Path) -> None:
    """The decoder meets a clean end there, so only the promised count tells."""
    whole = write(tmp_path / "s.flac", tone(1.0), 16_000, "flac").read_bytes()
    with pytest.raises(InputError, match="truncated"):
        decode_audio(promising(whole, 32_000), where="promises 2 s")


@pytest.mark.parametrize(("samples", "reason"), [(0, "does not say how long"), ((1 << 36) - 1, "longer than 4 h")])
def test_a_flac_without_a_credible_length_is_refused(tmp_path: Path, samples: int, reason: str) -> None:
    whole = write(tmp_path / "s.flac", tone(1.0), 16_000, "flac").read_bytes()
    with pytest.raises(InputError, match=reason):
        decode_audio(promising(whole, samples), where="streamed or a bomb")


def test_a_streamed_wav_is_read(tmp_path: Path) -> None:
    """Recorders that write to a pipe leave the sizes at their maximum."""
    data = bytearray(write(tmp_path / "s.wav", tone(1.0), 16_000, "wav").read_bytes())
    place = data.index(b"data")
    struct.pack_into("<I", data, place + 4, 0xFFFFFFFF)
    struct.pack_into("<I", data, 4, 0xFFFFFFFF)
    assert len(decode_audio(bytes(data), where="streamed")) == 16_000


def bad(tmp_path: Path, name: str) -> Path:
    path = tmp_path / "bad.wav"
    if name == "empty file":
        path.write_bytes(b"")
    elif name == "not audio":
        path.write_text("This is a letter, not a recording. " * 20)
    elif name == "0 samples":
        soundfile.write(path, np.zeros(0), 16_000)
    elif name in ("NaN", "infinite"):
        samples = tone(0.1)
        samples[77] = np.nan if name == "NaN" else np.inf
        soundfile.write(path, samples, 16_000, subtype="FLOAT")
    elif name == "cannot be read":
        path.mkdir()
    return path


@pytest.mark.parametrize(
    "reason", ["missing file", "empty file", "not audio", "0 samples", "NaN", "infinite", "cannot be read"]
)
def test_bad_input_is_refused_with_its_reason_and_place(tmp_path: Path, reason: str) -> None:
    path = bad(tmp_path, reason)
    with pytest.raises(InputError, match=reason) as caught:
        read_audio(path)
    assert caught.value.where == str(path)
    assert "\n" not in str(caught.value)


def test_a_part_is_cut_out(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", tone(2.0), 16_000, "float.wav")
    whole = read_audio(tmp_path / "a.wav")
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav", start_s=0.5, duration_s=0.25), whole[8000:12000])
    with pytest.raises(InputError, match=r"from 1.9 s to 2.15 s lies beyond"):
        read_audio(tmp_path / "a.wav", start_s=1.9, duration_s=0.25)
    with pytest.raises(InputError, match="0 samples"):
        read_audio(tmp_path / "a.wav", start_s=1.0, duration_s=0.0)
    for start_s, duration_s in ((1e308, 1e308), (1e308, None), (0.0, 1e308)):
        with pytest.raises(InputError, match="beyond the end at 2 s"):
            read_audio(tmp_path / "a.wav", start_s=start_s, duration_s=duration_s)


def test_duration_and_finding(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    write(tmp_path / "b" / "one.FLAC", tone(0.5), 16_000, "flac")
    write(tmp_path / "c.wav", tone(0.25, 8000), 8000, "wav")
    (tmp_path / "a.txt").write_text("no sound")
    assert [path.name for path in find_audio(tmp_path)] == ["one.FLAC", "c.wav"]
    assert [duration_of(path) for path in find_audio(tmp_path)] == [0.5, 0.25]
    with pytest.raises(InputError, match="not audio"):
        duration_of(tmp_path / "a.txt")
    assert duration_of((tmp_path / "c.wav").rename(tmp_path / os.fsdecode(b"\xff.wav"))) == 0.25


def test_real_ogg_without_transcripts_is_readable(shared: Path) -> None:
    files = find_audio(shared / "unlabelled")
    assert len(files) == 870
    for path in files[::60]:
        heard = read_audio(path)
        assert len(heard) / 16_000 == pytest.approx(duration_of(path))
        assert 0.01 < np.abs(heard).max() <= 1.0
