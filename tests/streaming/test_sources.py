"""Audio that is not what it should be: cut files, things that are no files, files piped as raw samples."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.streaming import models
from wattscribe.containers import HEAD_BYTES, format_of
from wattscribe.errors import InputError
from wattscribe.streaming.sources import file_blocks, pcm_blocks


def test_a_cut_mp3_is_refused_after_what_it_holds(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.mp3", tmp_path / "cut.mp3"
    soundfile.write(whole, models.sound(0, 160000), 16000)
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    complete = np.concatenate(list(file_blocks(whole)))
    heard: list[np.ndarray] = []
    with pytest.raises(InputError, match=r"is truncated: \d+ of 160000 samples. Copy or record it again"):
        heard.extend(file_blocks(cut))
    samples = np.concatenate(heard)
    assert len(complete) == 160000
    assert 0.3 * len(complete) < len(samples) < 0.6 * len(complete)
    assert np.array_equal(samples[:60000], complete[:60000])


def test_a_cut_flac_is_refused_after_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "cut.flac"
    soundfile.write(path, models.sound(0, 160000), 16000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    heard: list[np.ndarray] = []
    with pytest.raises(InputError, match=r"is truncated or damaged after 4 s \(.*\). Copy or record it again"):
        heard.extend(file_blocks(path))
    assert sum(map(len, heard)) == 64000


def test_a_flac_without_a_length_is_not_called_damaged(tmp_path: Path) -> None:
    path = tmp_path / "streamed.flac"
    soundfile.write(path, models.sound(0, 16000), 16000)
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0  # STREAMINFO's 36 bits of total samples
    data[22:26] = bytes(4)
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"the header does not say how long it is. Re-encode it"):
        list(file_blocks(path))


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (Path.mkdir, "is a directory, not an audio file. Give the files in it"),
        (os.mkfifo, "is a pipe, not an audio file. Save it"),
        (lambda path: path.symlink_to("/dev/null"), "is a device, not an audio file. Save it"),
        (lambda path: path.symlink_to("nowhere"), "there is no such file. Give"),
        (lambda path: path.symlink_to(path), "cannot be read (Too many levels of symbolic links). Copy it"),
        (lambda path: path.touch(), "the file is empty (0 bytes). Copy or record it again"),
    ],
)
def test_what_is_no_file_is_called_what_it_is(tmp_path: Path, make: Callable[[Path], object], fault: str) -> None:
    path = tmp_path / "x.wav"
    make(path)
    with pytest.raises(InputError) as caught:
        list(file_blocks(path))
    assert str(caught.value).startswith(f"{path}: {fault}")


@pytest.mark.parametrize(("suffix", "fault"), [("wav", "bytes of samples"), ("wav", "its samples"), ("ogg", "no end")])
def test_a_cut_file_says_what_to_do(tmp_path: Path, suffix: str, fault: str) -> None:
    path = tmp_path / f"x.{suffix}"
    soundfile.write(path, models.sound(0, 60000), 16000)
    whole = path.read_bytes()
    path.write_bytes(whole[:20] if fault == "its samples" else whole[: len(whole) // 2])
    with pytest.raises(InputError, match=f"truncated: .*{fault}.*Copy or record it again"):
        list(file_blocks(path))


# --- a pipe ---------------------------------------------------------------------------------------------------------
def encoded(kind: str, rate_hz: int = 16000) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, models.sound(0, 16000), rate_hz, format=kind)
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "name"),
    [
        *((encoded(kind), kind) for kind in ("WAV", "FLAC", "OGG", "AIFF", "CAF", "AU")),
        *((encoded("MP3", rate_hz), "MP3") for rate_hz in (44100, 48000, 32000, 22050, 16000, 8000)),
        (b"ID3\x04\x00\x00" + bytes(2000), "MP3"),
        (b"\x00\x00\x00\x20ftypM4A " + bytes(2000), "M4A"),
    ],
)
def test_an_audio_file_in_a_pipe_is_not_heard_as_samples(data: bytes, name: str) -> None:
    class Trickle(io.BytesIO):
        def read1(self, size: int | None = -1) -> bytes:
            return super().read(3)

    for pipe in (io.BytesIO(data), Trickle(data)):
        with pytest.raises(InputError, match=f"begins as {name} does: it is an audio file, not raw PCM. Give"):
            list(pcm_blocks(pipe))


def test_samples_that_look_like_one_mpeg_header_are_heard() -> None:
    frame = encoded("MP3", 44100)[:4]
    loud = np.random.default_rng(0).integers(-32768, 32767, 20000).astype("<i2").tobytes()
    for data in (frame + bytes(3000), frame + loud, frame, b"\xff\xff" * 1000, b"ID3", loud):
        data = data[: len(data) // 2 * 2]
        assert b"".join((block * 32768).astype("<i2").tobytes() for block in pcm_blocks(io.BytesIO(data))) == data


def test_random_samples_have_no_format() -> None:
    random = np.random.default_rng(1)
    for _ in range(2000):
        head = bytearray(random.bytes(HEAD_BYTES))
        head[:2] = b"\xff\xfb"  # the sample -1025
        assert format_of(bytes(head)) is None


def test_half_a_sample_at_the_end_is_refused_after_the_whole_ones() -> None:
    heard: list[np.ndarray] = []
    with pytest.raises(InputError, match="in the middle of a 16-bit sample"):
        heard.extend(pcm_blocks(io.BytesIO(bytes(4001))))
    assert sum(map(len, heard)) == 2000
