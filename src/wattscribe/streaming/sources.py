"""Where live audio comes from: a file read in blocks, raw PCM in a pipe, the microphone. Memory does not grow with length."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from wattscribe.containers import HEAD_BYTES, format_of, opened
from wattscribe.containers.media import Sound
from wattscribe.containers.mono import at_16_khz, mono_blocks
from wattscribe.errors import InputError, MissingExtraError
from wattscribe.streaming.features import Samples
from wattscribe.units import SAMPLE_RATE_HZ

BLOCK_S = 0.1
PCM_BYTES = 2
_READ_BYTES = 64 * 1024


def file_blocks(path: str | Path, block_s: float = 1.0) -> Iterator[Samples]:
    """An audio file of any rate and channel count as blocks of 16 kHz mono.

    Raises InputError that names the file: missing or no file, empty, truncated, not audio, NaN, channels that cancel each other
    out. What is whole before a fault is yielded first.
    """
    with opened(path) as sound:
        yield from _blocks(sound, path, block_s)


def _blocks(sound: Sound, path: str | Path, block_s: float) -> Iterator[Samples]:
    any_audio = False
    mono = mono_blocks(sound, path, dtype="float32", block_s=block_s)
    for block in at_16_khz(mono, sound.samplerate, dtype="float32"):
        any_audio = True
        yield block
    if not any_audio:
        raise InputError("holds no audio (0 samples)", where=path, fix="Record it again")


def pcm_blocks(pipe: BinaryIO, name: str = "standard input") -> Iterator[Samples]:
    """Raw 16 kHz, 16-bit little-endian mono PCM, as soon as it comes.

    Raises InputError for an audio file, no audio at all, or half a sample at the end, after the samples before it.
    """
    read: Callable[[int], bytes] = getattr(pipe, "read1", pipe.read)
    data, rest = _head(read), b""
    if not data:
        raise InputError("holds no audio (0 bytes)", where=name, fix="Pipe raw 16 kHz 16-bit mono PCM into it")
    if format_name := format_of(data):
        raise InputError(
            f"begins as {format_name} does: it is an audio file, not raw PCM",
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
        raise MissingExtraError("sounddevice", "mic", needed_for="The microphone") from None
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
