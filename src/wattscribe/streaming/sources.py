"""Where live audio comes from: a file read in blocks, raw PCM in a pipe, the microphone. Memory does not grow with length."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from wattscribe.containers import check_file
from wattscribe.errors import InputError, MissingExtraError
from wattscribe.streaming.features import Samples
from wattscribe.units import SAMPLE_RATE_HZ

BLOCK_S = 0.1
PCM_BYTES = 2
_READ_BYTES = 64 * 1024


def file_blocks(path: str | Path, block_s: float = 1.0) -> Iterator[Samples]:
    """A WAV, FLAC, OGG or MP3 file of any rate and channel count as blocks of 16 kHz mono.

    Raises InputError that names the file: missing, empty, truncated, not audio, NaN.
    """
    import soundfile

    file = Path(path)
    if not file.is_file():
        raise InputError("there is no such file", where=path, fix="Give a WAV, FLAC, OGG or MP3 file, or - for raw PCM")
    if file.stat().st_size == 0:
        raise InputError("the file is empty (0 bytes)", where=path, fix="Copy or record it again")
    check_file(file)
    try:
        with soundfile.SoundFile(file) as sound:
            yield from _decoded(sound, path, block_s)
    except soundfile.LibsndfileError as error:
        reason = str(error).rstrip(". ").rpartition(": ")[2]
        raise InputError(f"is not readable audio ({reason})", where=path, fix="Convert it with sox or ffmpeg") from None


def _decoded(sound: object, path: str | Path, block_s: float) -> Iterator[Samples]:
    import soundfile
    import soxr

    if not isinstance(sound, soundfile.SoundFile):
        raise TypeError("a SoundFile is needed")
    rate, heard = sound.samplerate, 0
    resampler = (
        None if rate == SAMPLE_RATE_HZ else soxr.ResampleStream(rate, SAMPLE_RATE_HZ, 1, dtype="float32", quality="HQ")
    )
    for block in sound.blocks(blocksize=round(rate * block_s), dtype="float32", always_2d=True):
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
    if heard < sound.frames:
        raise InputError(f"is truncated: {heard} of {sound.frames} samples", where=path, fix="Copy or record it again")
    if resampler is not None:
        yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)


def pcm_blocks(pipe: BinaryIO, name: str = "standard input") -> Iterator[Samples]:
    """Raw 16 kHz, 16-bit little-endian mono PCM, as soon as it comes.

    Raises InputError for a file with a header, half a sample at the end, or no audio at all.
    """
    rest, first = b"", True
    read = getattr(pipe, "read1", pipe.read)
    while data := read(_READ_BYTES):
        if first and data[:4] in (b"RIFF", b"fLaC", b"OggS"):
            raise InputError(
                f"begins with {data[:4].decode()!r}: it is an audio file, not raw PCM",
                where=name,
                fix="Give the file's name, or pipe through: sox FILE -t raw -r 16000 -e signed -b 16 -c 1 -",
            )
        first = False
        data = rest + data
        whole = len(data) - len(data) % PCM_BYTES
        rest = data[whole:]
        yield np.frombuffer(data[:whole], dtype="<i2").astype(np.float32) / np.float32(32768)
    if first:
        raise InputError("holds no audio (0 bytes)", where=name, fix="Pipe raw 16 kHz 16-bit mono PCM into it")
    if rest:
        raise InputError(
            "ends in the middle of a 16-bit sample", where=name, fix="Pipe raw 16 kHz 16-bit mono PCM into it"
        )


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
