"""Where live audio comes from: a file read in blocks, raw PCM in a pipe, the microphone. Memory does not grow with length."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from wattscribe.containers import HEAD_BYTES, format_of, opened, reason_of, slack_frames
from wattscribe.containers.media import Sound
from wattscribe.errors import InputError, MissingExtraError
from wattscribe.streaming.features import Samples
from wattscribe.units import SAMPLE_RATE_HZ

BLOCK_S = 0.1
PCM_BYTES = 2
_READ_BYTES = 64 * 1024


def file_blocks(path: str | Path, block_s: float = 1.0) -> Iterator[Samples]:
    """An audio file of any rate and channel count as blocks of 16 kHz mono.

    Raises InputError that names the file: missing or no file, empty, truncated, not audio, NaN. What is
    whole before a fault is yielded first.
    """
    with opened(path) as sound:
        yield from _decoded(sound, path, block_s)


def _decoded(sound: Sound, path: str | Path, block_s: float) -> Iterator[Samples]:
    import soxr

    rate, heard = sound.samplerate, 0
    resampler = (
        None if rate == SAMPLE_RATE_HZ else soxr.ResampleStream(rate, SAMPLE_RATE_HZ, 1, dtype="float32", quality="HQ")
    )
    for block in _read(sound, round(rate * block_s), path):
        mono = np.ascontiguousarray(block.mean(axis=1) if block.shape[1] > 1 else block[:, 0])
        if not np.isfinite(mono).all():
            raise InputError(
                f"holds NaN or infinity in the second from {heard / rate:.0f} s",
                where=path,
                fix="Convert it again, for instance to 16-bit samples",
            )
        heard += len(mono)
        yield mono if resampler is None else resampler.resample_chunk(mono)
    if heard == 0:
        raise InputError("holds no audio (0 samples)", where=path, fix="Record it again")
    if heard + slack_frames(sound) < sound.frames:
        raise InputError(f"is truncated: {heard} of {sound.frames} samples", where=path, fix="Copy or record it again")
    if resampler is not None:
        yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)


def _read(sound: Sound, frames: int, path: str | Path) -> Iterator[Samples]:
    """What `sound.blocks` does, which repeats its last block where a file ends before its header says."""
    import soundfile

    heard = 0
    try:
        while len(block := sound.read(frames, dtype="float32", always_2d=True)):
            heard += len(block)
            yield block
    except soundfile.LibsndfileError as error:
        raise InputError(
            f"is truncated or damaged after {heard / sound.samplerate:.0f} s ({reason_of(error)})",
            where=path,
            fix="Copy or record it again",
        ) from None


def pcm_blocks(pipe: BinaryIO, name: str = "standard input") -> Iterator[Samples]:
    """Raw 16 kHz, 16-bit little-endian mono PCM, as soon as it comes.

    Raises InputError for an audio file, no audio at all, or half a sample at the end, after the samples before it.
    """
    read: Callable[[int], bytes] = getattr(pipe, "read1", pipe.read)
    data, rest = _head(read), b""
    if not data:
        raise InputError("holds no audio (0 bytes)", where=name, fix="Pipe raw 16 kHz 16-bit mono PCM into it")
    if found := format_of(data):
        raise InputError(
            f"begins as {found} does: it is an audio file, not raw PCM",
            where=name,
            fix="Give the file's name, or pipe through: ffmpeg -i FILE -f s16le -ar 16000 -ac 1 -",
        )
    while data:
        data = rest + data
        whole = len(data) - len(data) % PCM_BYTES
        rest = data[whole:]
        yield np.frombuffer(data[:whole], dtype="<i2").astype(np.float32) / np.float32(32768)
        data = read(_READ_BYTES)
    if rest:
        raise InputError(
            "ends in the middle of a 16-bit sample", where=name, fix="Pipe raw 16 kHz 16-bit mono PCM into it"
        )


def _head(read: Callable[[int], bytes]) -> bytes:
    """Enough to tell an audio file from raw samples (45 ms of them), or everything that comes."""
    head = b""
    while len(head) < HEAD_BYTES and (data := read(_READ_BYTES)):
        head += data
    return head


def microphone_blocks(block_s: float = BLOCK_S) -> Iterator[Samples]:
    """The default microphone until it is interrupted. Raises MissingExtraError or InputError."""
    try:
        import sounddevice
    except ImportError:
        raise MissingExtraError("sounddevice", "mic", needed_for="--mic") from None
    except OSError as error:
        raise InputError(
            f"the microphone needs PortAudio ({error})", fix="Install it: apt-get install libportaudio2"
        ) from None
    try:
        with sounddevice.InputStream(samplerate=SAMPLE_RATE_HZ, channels=1, dtype="float32") as stream:
            while True:
                block, _ = stream.read(round(SAMPLE_RATE_HZ * block_s))
                yield np.ascontiguousarray(block[:, 0])
    except sounddevice.PortAudioError as error:
        raise InputError(
            f"the microphone cannot be opened ({error})", fix="List devices: python -m sounddevice"
        ) from None
