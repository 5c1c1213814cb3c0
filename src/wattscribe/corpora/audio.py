"""Any recording → the one shape of sound inside the package; anything that is not whole and finite is refused with its reason."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wattscribe import containers
from wattscribe.containers.media import Sound
from wattscribe.containers.mono import Channel, Part, at_16_khz, mono_blocks
from wattscribe.corpora.base import Audio
from wattscribe.corpora.folders import files_below
from wattscribe.errors import InputError
from wattscribe.units import SAMPLE_RATE_HZ

AUDIO_SUFFIXES = (".flac", ".wav", ".ogg", ".opus", ".mp3", ".aif", ".aiff", ".sph", ".m4a", ".aac", ".webm")
"""What a folder is searched for; case does not matter."""

MAX_DURATION_S = 4 * 3600.0
"""Longer recordings are refused: a few kB of compressed silence can otherwise fill the memory. Our own limit."""

GRID = float(1 << 24)
"""Resampled or filtered samples are rounded to multiples of 2^-24, the step of float32 below 1: differences in the last
digits between machines then vanish instead of spreading."""

HELD_SAMPLES = 1 << 22
"""A recording of up to so many samples (4.4 min, 34 MB) is decoded once and kept meanwhile, a longer one twice."""

OVERSHOOT_S = 0.01
"""Lists round their times; a part may end so far beyond the recording's end."""


def read_audio(
    path: str | Path,
    *,
    start_s: float = 0.0,
    duration_s: float | None = None,
    channel: Channel = None,
    overshoot_s: float = OVERSHOOT_S,
) -> Audio:
    """Read a file as 16 kHz mono float32 in [-1, 1]: channels are averaged, other rates resampled by soxr (HQ).

    `start_s` and `duration_s` cut a part out, and only that is decoded; `channel` takes one, counted from 0, or the average
    of some. A part may reach `overshoot_s` beyond the end. A recording that exceeds full scale (float files, resampling
    overshoot) is scaled down to it, never clipped.
    Raises InputError when the file is missing, empty, truncated, not audio, holds no samples, NaN or infinity, is longer
    than `MAX_DURATION_S`, or when its channels cancel each other out.
    """
    part = Part(start_s, duration_s, channel, overshoot_s, MAX_DURATION_S)
    return joined(*_decoded(lambda: _opened(Path(path)), path, part))


def audio_blocks(
    path: str | Path,
    *,
    start_s: float = 0.0,
    duration_s: float | None = None,
    channel: Channel = None,
    overshoot_s: float = OVERSHOOT_S,
) -> Iterator[Audio]:
    """What `read_audio` reads, in blocks, so that a long recording is never in memory whole. Raises before the first block."""
    part = Part(start_s, duration_s, channel, overshoot_s, MAX_DURATION_S)
    return _decoded(lambda: _opened(Path(path)), path, part)[1]


def decode_audio(data: bytes, *, where: object, channel: Channel = None) -> Audio:
    """The bytes of an audio file → 16 kHz mono float32; `where` names them in errors. Rules and errors as `read_audio`."""
    return joined(*_decoded_bytes(data, where, channel))


def decode_blocks(data: bytes, *, where: object) -> Iterator[Audio]:
    """What `decode_audio` reads, in blocks."""
    return _decoded_bytes(data, where, None)[1]


def _decoded_bytes(data: bytes, where: object, channel: Channel) -> tuple[int, Iterator[Audio]]:
    if not data:
        raise InputError("empty file (0 bytes)", where=where)
    part = Part(channel=channel, limit_s=MAX_DURATION_S)
    return _decoded(lambda: containers.decoding(data, where), where, part)


def joined(total: int, blocks: Iterator[Audio]) -> Audio:
    """Blocks of `total` samples together."""
    samples = np.empty(total, dtype=np.float32)
    at = 0
    for block in blocks:
        samples[at : at + len(block)] = block
        at += len(block)
    return samples


def duration_of(path: str | Path) -> float:
    """Seconds as the header promises them, without decoding. Raises InputError when there is no readable header."""
    path = Path(path)
    _check_file(path)
    with containers.opened(path) as sound:
        return sound.frames / sound.samplerate


@contextlib.contextmanager
def with_fix(fix: str) -> Iterator[None]:
    """Errors about a recording that is no speech, with what to do about it."""
    try:
        yield
    except InputError as error:
        raise InputError(error.what, where=error.where, fix=fix) from error


def find_audio(folder: Path) -> list[Path]:
    """Every audio file below a folder (or the one file), by relative path, so that the order is the same everywhere.

    Links are followed. Raises InputError for a link that leads nowhere and a folder that cannot be read.
    """
    if folder.is_file():
        return [folder]
    listing = files_below(folder)
    for path, reason in listing.lost:
        raise InputError(reason, where=path, fix="Repair or remove it")
    return [path for path in listing.files if path.suffix.lower() in AUDIO_SUFFIXES]


def _check_file(path: Path) -> None:
    """The reasons that a corpus's list of rejected entries gives for a file, shorter than those for a file named by the user."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError("missing file", where=path) from error
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", where=path) from error
    if status.st_size == 0 and stat.S_ISREG(status.st_mode):
        raise InputError("empty file (0 bytes)", where=path)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Sound]:
    _check_file(path)
    with containers.opened(path) as sound:
        yield sound


Open = Callable[[], contextlib.AbstractContextManager[Sound]]


def _decoded(open_: Open, where: object, part: Part) -> tuple[int, Iterator[Audio]]:
    """How many samples there are, and the samples. All that can be wrong with them is raised before the first of them.

    Only the end tells whether a recording is whole and by how much it exceeds full scale. So a long one is decoded twice, which
    takes less than its samples would take in memory; a short one is kept.
    """
    total, peak, held = 0, 1.0, []
    for block in _at_16_khz(open_, where, part):
        total += len(block)
        peak = max(peak, float(np.max(np.abs(block), initial=0.0)))
        if total <= HELD_SAMPLES:
            held.append(block)
        else:
            held.clear()
    blocks = iter([np.concatenate(held)]) if held else _at_16_khz(open_, where, part)
    return total, ((block / peak if peak > 1.0 else block).astype(np.float32) for block in blocks)


def _at_16_khz(open_: Open, where: object, part: Part) -> Iterator[NDArray[np.float64]]:
    """The part's samples before they are scaled. Raises InputError, also when there are none."""
    given = taken = 0

    def counted(blocks: Iterator[NDArray[np.float64]]) -> Iterator[NDArray[np.float64]]:
        nonlocal given
        for block in blocks:
            given += len(block)
            yield block

    with open_() as sound:
        blocks = counted(mono_blocks(sound, where, part, dtype="float64"))
        for block in at_16_khz(blocks, sound.samplerate, dtype="float64"):
            taken += len(block)
            yield block if sound.samplerate == SAMPLE_RATE_HZ else np.round(block * GRID) / GRID
    if taken == 0:
        raise InputError("holds 0 samples at 16 kHz" if given else "holds 0 samples", where=where)
