"""Recordings whose headers say nothing, or something wrong, about their length; telephone and phone formats; channels."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.corpora.conftest import tone
from wattscribe.containers import mpeg
from wattscribe.corpora.audio import decode_audio, duration_of, find_audio, read_audio
from wattscribe.corpora.noise import open_noise
from wattscribe.errors import InputError, MissingExtraError
from wattscribe.streaming.sources import file_blocks


def encoded(
    kind: str, samples: np.ndarray, rate_hz: int = 16_000, subtype: str | None = None, **options: object
) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format=kind, subtype=subtype, **options)
    return file.getvalue()


# --- MP3 ------------------------------------------------------------------------------------------------------------
def quiet_then_loud(seconds: float, rate_hz: int) -> np.ndarray:
    """What a variable bit rate spends few bits on, then many: an estimate from the first frames is far off."""
    noise = np.random.default_rng(0).standard_normal(round(seconds * rate_hz))
    return np.where(np.arange(len(noise)) < len(noise) // 2, 0.0005, 0.2) * noise


def variable(seconds: float = 12.0, rate_hz: int = 16_000) -> bytes:
    return encoded("MP3", quiet_then_loud(seconds, rate_hz), rate_hz, bitrate_mode="VARIABLE", compression_level=0.5)


def without_xing(data: bytes) -> bytes:
    return data[mpeg.frame_bytes(data) :]


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 44_100])
def test_an_mp3_without_a_xing_header_is_heard_to_its_end(rate_hz: int) -> None:
    whole = variable(rate_hz=rate_hz)
    with_header = decode_audio(whole, where="with")
    without = decode_audio(without_xing(whole), where="without")
    assert (
        abs(soundfile.SoundFile(io.BytesIO(without_xing(whole))).frames / rate_hz - 12.0) > 1.0
    )  # what libsndfile thinks
    assert 0 <= len(without) / 16_000 - 12.0 < 0.25  # no header, so the encoder's silence stays
    last = with_header[-16_000:]
    match = np.correlate(without[-24_000:], last, "valid") / np.linalg.norm(last) ** 2
    assert match.max() == pytest.approx(1.0, abs=0.02)


ID3V1 = b"TAG" + b"a title".ljust(125, b"\0")
APE = b"APETAGEX" + struct.pack("<IIII8x", 2000, 32 + 100, 1, 0)
ID3V2 = b"ID3\x04\x00\x00" + bytes([0, 0, 8, 0]) + bytes(1024)


@pytest.mark.parametrize(
    ("front", "end"),
    [(b"", ID3V1), (b"", bytes(100) + APE + ID3V1), (ID3V2, b"")],
    ids=["ID3v1", "APE and ID3v1", "ID3v2"],
)
def test_tags_around_an_mp3_are_no_audio(front: bytes, end: bytes) -> None:
    bare = without_xing(variable())
    np.testing.assert_array_equal(decode_audio(front + bare + end, where="tagged"), decode_audio(bare, where="bare"))


def test_two_mp3_files_in_one_are_both_heard() -> None:
    """The first one's Xing header names its own frames only, and libsndfile stops there."""
    one, two = variable(6.0), variable(9.0)
    assert len(decode_audio(one + ID3V2 + two, where="joined")) / 16_000 == pytest.approx(15.0, abs=0.3)


def test_a_cut_mp3_without_a_header_is_refused() -> None:
    with pytest.raises(InputError, match=r"truncated in the frame behind \d+ whole ones"):
        decode_audio(without_xing(variable())[:-50], where="cut")


def test_a_live_reader_hears_the_same(tmp_path: Path) -> None:
    path = tmp_path / "x.mp3"
    path.write_bytes(without_xing(variable()))
    np.testing.assert_allclose(np.concatenate(list(file_blocks(path))), read_audio(path), atol=1e-6)
    assert duration_of(path) == pytest.approx(len(read_audio(path)) / 16_000)


# --- WAV ------------------------------------------------------------------------------------------------------------
def resized(data: bytes, size: int) -> bytes:
    """The file with another size of its data, and of all."""
    at = data.index(b"data") + 4
    riff = min(size + 36, 0xFFFFFFFF)
    return data[:4] + struct.pack("<I", riff) + data[8:at] + struct.pack("<I", size) + data[at + 4 :]


UNKNOWN = (0x7FFFF000, 0x7FFFF000 - 36, 0x7FFFEFFC, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFF - 36, 0)


@pytest.mark.parametrize("size", UNKNOWN, ids=hex)
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_a_wav_from_a_pipe_is_heard_whole(size: int, subtype: str) -> None:
    whole = encoded("WAV", np.stack([tone(1.0)] * 2, axis=1), subtype=subtype)
    np.testing.assert_array_equal(decode_audio(resized(whole, size), where="piped"), decode_audio(whole, where="whole"))


def test_an_empty_wav_with_a_chunk_behind_holds_nothing() -> None:
    empty = encoded("WAV", np.zeros(0), subtype="PCM_16")
    listed = empty[: empty.index(b"data") + 8] + b"LIST" + struct.pack("<I", 26) + b"INFOISFT\x0e\0\0\0Lavf58.29.100\0"
    with pytest.raises(InputError, match="holds 0 samples"):
        decode_audio(listed, where="empty")


@pytest.mark.parametrize("behind", [ID3V1, APE, b"id3 " + struct.pack("<I", 4) + b"abcd", bytes(70_000)])
def test_what_lies_behind_the_samples_of_a_wav_is_not_heard(behind: bytes) -> None:
    whole = encoded("WAV", tone(1.0), subtype="PCM_16")
    np.testing.assert_array_equal(decode_audio(whole + behind, where="tagged"), decode_audio(whole, where="whole"))


def test_samples_beyond_the_headers_size_are_not_dropped_in_silence() -> None:
    whole = encoded("WAV", np.random.default_rng(0).standard_normal(64_000) * 0.1, subtype="PCM_16")
    with pytest.raises(InputError, match="the header names 64000 bytes of samples, but 64000 more follow"):
        decode_audio(resized(whole, 64_000), where="stale")


def test_rf64_is_wav() -> None:
    whole = encoded("RF64", tone(1.0), subtype="PCM_16")
    assert whole[:4] == b"RF64"
    assert len(decode_audio(whole, where="rf64")) == 16_000
    with pytest.raises(InputError, match="truncated"):
        decode_audio(whole[:-3000], where="cut")


# --- SPHERE and AIFF ------------------------------------------------------------------------------------------------
def sphere(samples: np.ndarray, coding: str = "pcm", byte_format: str = "01", cut: int = 0) -> bytes:
    """As NIST's and LDC's tools write it: 1,024 bytes of text, then samples."""
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    integers = np.round(samples * 32767).astype("<i2" if byte_format == "01" else ">i2")
    data = integers.tobytes() if "law" not in coding else encoded("RAW", samples, 16_000, subtype="ULAW")
    width = 1 if "law" in coding else 2
    fields = [
        f"channel_count -i {channels}", f"sample_count -i {len(samples)}", "sample_rate -i 16000",
        f"sample_n_bytes -i {width}", f"sample_byte_format -s{len(byte_format)} {byte_format}",
        f"sample_coding -s{len(coding)} {coding}", "end_head",
    ]  # fmt: skip
    return ("NIST_1A\n   1024\n" + "\n".join(fields) + "\n").encode().ljust(1024) + data[: len(data) - cut]


@pytest.mark.parametrize("byte_format", ["01", "10"])
def test_sphere_in_both_orders_of_bytes(byte_format: str) -> None:
    both = np.stack([tone(1.0), tone(1.0, hz=100)], axis=1)
    for channel in (0, 1):
        heard = decode_audio(sphere(both, byte_format=byte_format), where="sph", channel=channel)
        np.testing.assert_allclose(heard, both[:, channel], atol=4e-5)


def test_sphere_in_mu_law() -> None:
    np.testing.assert_allclose(decode_audio(sphere(tone(1.0), "ulaw", "1"), where="sph"), tone(1.0), atol=0.01)


def test_compressed_and_cut_sphere_is_refused() -> None:
    with pytest.raises(InputError, match=r"is compressed \(pcm,embedded-shorten-v2.00\). Unpack it .* sph2pipe"):
        decode_audio(sphere(tone(0.1), "pcm,embedded-shorten-v2.00"), where="sph")
    with pytest.raises(InputError, match="truncated: 2700 of 3200 bytes"):
        decode_audio(sphere(tone(0.1), cut=500), where="sph")


def test_sphere_and_aiff_are_found_in_folders(tmp_path: Path) -> None:
    (tmp_path / "a.sph").write_bytes(sphere(tone(0.5)))
    (tmp_path / "B.AIFF").write_bytes(encoded("AIFF", tone(0.25)))
    (tmp_path / "c.WAV").write_bytes(sphere(tone(0.125)))  # TIMIT
    assert [len(read_audio(path)) for path in find_audio(tmp_path)] == [4000, 8000, 2000]
    with pytest.raises(InputError, match="truncated"):
        decode_audio(encoded("AIFF", tone(0.25))[:-400], where="cut")


# --- phones and browsers --------------------------------------------------------------------------------------------
def recorded(path: Path, codec: str, rate_hz: int, seconds: float = 2.0) -> Path:
    av = pytest.importorskip("av", reason="the extra 'media' is not installed")
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate_hz, layout="mono")
        resampler = av.AudioResampler(
            format=stream.format, layout="mono", rate=rate_hz, frame_size=stream.frame_size or 960
        )
        frame = av.AudioFrame.from_ndarray(
            tone(seconds, rate_hz).astype(np.float32)[None], format="fltp", layout="mono"
        )
        frame.sample_rate = rate_hz
        for piece in [*resampler.resample(frame), *resampler.resample(None), None]:
            for packet in stream.encode(piece):
                container.mux(packet)
    return path


@pytest.mark.parametrize(
    ("name", "codec", "rate_hz"), [("x.m4a", "aac", 44_100), ("x.aac", "aac", 16_000), ("x.webm", "libopus", 48_000)]
)
def test_what_phones_and_browsers_record(tmp_path: Path, name: str, codec: str, rate_hz: int) -> None:
    path = recorded(tmp_path / name, codec, rate_hz)
    heard = read_audio(path)
    assert len(heard) / 16_000 == pytest.approx(2.0, abs=0.15)
    assert np.argmax(np.abs(np.fft.rfft(heard[8_000:24_000].astype(np.float64)))) == pytest.approx(440, abs=1)
    np.testing.assert_allclose(read_audio(path, start_s=0.5, duration_s=1.0)[500:-500], heard[8_500:23_500], atol=1e-3)
    assert len(np.concatenate(list(file_blocks(path)))) == pytest.approx(len(heard), abs=100)


def test_a_title_that_is_not_utf_8_does_no_harm(tmp_path: Path) -> None:
    whole = recorded(tmp_path / "x.m4a", "aac", 16_000).read_bytes()
    assert whole.count(b"Lavf") == 1
    assert len(decode_audio(whole.replace(b"Lavf", b"\xff\xe9\xe8L"), where="titled")) > 30_000


def test_a_cut_m4a_is_refused(tmp_path: Path) -> None:
    whole = recorded(tmp_path / "x.m4a", "aac", 16_000).read_bytes()
    with pytest.raises(InputError, match=r"x.m4a: (is not audio|is truncated|truncated)"):
        decode_audio(whole[: len(whole) // 2], where="x.m4a")


def test_without_the_library_one_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    (tmp_path / "x.m4a").write_bytes(b"\x00\x00\x00\x20ftypM4A " + bytes(2000))
    with pytest.raises(MissingExtraError, match=r"pip install 'wattscribe\[media\]'") as caught:
        read_audio(tmp_path / "x.m4a")
    assert "\n" not in str(caught.value)


# --- channels, links, one sample ------------------------------------------------------------------------------------
def test_channels_that_cancel_each_other_are_told() -> None:
    stereo = encoded("WAV", np.stack([tone(1.0), -0.97 * tone(1.0)], axis=1), subtype="PCM_16")
    with pytest.raises(InputError, match=r"the channels cancel each other out: their average is \d+ dB weaker"):
        decode_audio(stereo, where="antiphase")
    np.testing.assert_allclose(decode_audio(stereo, where="antiphase", channel=0), tone(1.0), atol=1e-4)


@pytest.mark.parametrize("other", ["silent", "unrelated", "the same"])
def test_ordinary_stereo_does_not_cancel(other: str) -> None:
    second = {"silent": 0 * tone(1.0), "unrelated": tone(1.0, hz=311.0), "the same": tone(1.0)}[other]
    assert len(decode_audio(encoded("WAV", np.stack([tone(1.0), second], axis=1)), where=other)) == 16_000


def test_linked_noise_is_heard_and_a_lost_link_told(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "near").mkdir()
    for place in ("far/rain.wav", "near/fan.wav"):
        soundfile.write(tmp_path / place, tone(1.0), 16_000)
    (tmp_path / "near" / "street").symlink_to(tmp_path / "far")
    (tmp_path / "near" / "loop").symlink_to(tmp_path / "near")
    assert [path.name for path in find_audio(tmp_path / "near")] == ["fan.wav", "rain.wav"]
    (tmp_path / "near" / "gone").symlink_to(tmp_path / "unplugged")
    with pytest.raises(InputError, match=r"gone: the link leads nowhere. Repair or remove it"):
        open_noise(str(tmp_path / "near"))


def test_one_sample_at_a_high_rate_is_none_at_ours() -> None:
    with pytest.raises(InputError, match="holds 0 samples at 16 kHz"):
        decode_audio(encoded("WAV", np.full(1, 0.5), 192_000, subtype="PCM_24"), where="click")


@pytest.mark.parametrize("kind", ["FLAC", "OGG", "MP3", "WAV"])
def test_a_part_is_the_same_part_of_the_whole(tmp_path: Path, kind: str) -> None:
    """Only the part is decoded, from the place before it."""
    path = tmp_path / f"x.{kind.lower()}"
    path.write_bytes(encoded(kind, 0.1 * np.random.default_rng(0).standard_normal(160_000)))
    part, whole = read_audio(path, start_s=6.5, duration_s=1.0), read_audio(path)
    np.testing.assert_allclose(part, whole[104_000:120_000], atol=1e-6)
