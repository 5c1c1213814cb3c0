"""Any recording → the one shape of sound inside the package; anything that is not whole and finite is refused with its reason."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from wattscribe import containers
from wattscribe.containers.media import Sound
from wattscribe.corpora.base import Audio
from wattscribe.corpora.folders import files_below
from wattscribe.errors import InputError
from wattscribe.units import SAMPLE_RATE_HZ

Channel = int | tuple[int, ...] | None
"""One channel, counted from 0, or the average of several; None: of all."""

AUDIO_SUFFIXES = (".flac", ".wav", ".ogg", ".opus", ".mp3", ".aif", ".aiff", ".sph", ".m4a", ".aac", ".webm")
"""What a folder is searched for; case does not matter."""

MAX_DURATION_S = 4 * 3600.0
"""Longer recordings are refused: a few kB of compressed silence can otherwise fill the memory. Our own limit."""

GRID = float(1 << 24)
"""Resampled or filtered samples are rounded to multiples of 2^-24, the step of float32 below 1: differences in the last
digits between machines then vanish instead of spreading."""

BLOCK_FRAMES = 1 << 18

OVERSHOOT_S = 0.01
"""Lists round their times; a part may end so far beyond the recording's end."""

CANCELLED = 0.02
"""Channels without relation keep all their power in N times their average's, equal ones N times it. Below this share (-17 dB)
they stand against each other: one was recorded with its poles exchanged. Our own choice."""


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
    path = Path(path)
    _check_file(path)
    with containers.opened(path) as sound:
        return _read(sound, path, Part(start_s, duration_s, channel, overshoot_s))


def decode_audio(
    data: bytes, *, where: object, start_s: float = 0.0, duration_s: float | None = None, channel: Channel = None
) -> Audio:
    """The bytes of an audio file → 16 kHz mono float32; `where` names them in errors. Rules and errors as `read_audio`."""
    if not data:
        raise InputError("empty file (0 bytes)", where=where)
    with containers.decoding(data, where) as sound:
        return _read(sound, where, Part(start_s, duration_s, channel, OVERSHOOT_S))


def resample(samples: NDArray[np.float64], rate_hz: int) -> NDArray[np.float64]:
    """Mono samples at `rate_hz` → 16 kHz on the 2^-24 grid; unchanged where the rate is already right."""
    if rate_hz == SAMPLE_RATE_HZ:
        return samples
    return np.round(np.asarray(soxr.resample(samples, rate_hz, SAMPLE_RATE_HZ, quality="HQ")) * GRID) / GRID


def to_full_scale(samples: NDArray[np.float64]) -> Audio:
    """Float64 → float32, scaled down where a peak lies above full scale."""
    peak = float(np.max(np.abs(samples), initial=0.0))
    if peak > 1.0:
        samples = samples / peak
    return samples.astype(np.float32)


def duration_of(path: str | Path) -> float:
    """Seconds as the header promises them, without decoding. Raises InputError when there is no readable header."""
    path = Path(path)
    _check_file(path)
    with containers.opened(path) as sound:
        return sound.frames / sound.samplerate


@contextlib.contextmanager
def mended_by(fix: str) -> Iterator[None]:
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
    found = files_below(folder)
    for path, reason in found.lost:
        raise InputError(reason, where=path, fix="Mend or remove it")
    return [path for path in found.files if path.suffix.lower() in AUDIO_SUFFIXES]


def _check_file(path: Path) -> None:
    """What is said of a corpus's file in its list of rejected entries, in fewer words than to someone who named it."""
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError("missing file", where=path) from error
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", where=path) from error
    if found.st_size == 0 and stat.S_ISREG(found.st_mode):
        raise InputError("empty file (0 bytes)", where=path)


class Part(NamedTuple):
    """What of a recording is heard."""

    start_s: float
    duration_s: float | None
    channel: Channel
    overshoot_s: float


def _read(sound: Sound, where: object, part: Part) -> Audio:
    """Decode the part and average the channels; refuses a file that holds fewer frames than its header promises."""
    rate_hz, promised = sound.samplerate, sound.frames
    start_s, duration_s = part.start_s, part.duration_s
    if promised > MAX_DURATION_S * rate_hz and duration_s is None:
        raise InputError(f"longer than {MAX_DURATION_S / 3600:g} h", where=where, fix="Split it")
    end = promised or int(MAX_DURATION_S * rate_hz)  # a browser's recording promises nothing
    beyond = 2 * end + rate_hz  # no part ends there; 1e308 s is no count of samples
    first = round(min(start_s * rate_hz, beyond))
    count = None if duration_s is None else math.floor(min(duration_s * rate_hz, beyond) + 0.5)
    try:
        if first and sound.seek(min(first, end)) < first:
            raise _beyond(start_s, duration_s, promised / rate_hz, where)
        mono = _read_blocks(sound, where, count, part.channel)
    except soundfile.LibsndfileError as error:
        raise InputError(f"truncated or damaged ({containers.reason_of(error)})", where=where) from error
    held = first + len(mono)
    if held + containers.slack_frames(sound) < promised and (count is None or len(mono) < count):
        raise InputError(f"truncated: {held} of {promised} samples are there", where=where)
    if count is not None and len(mono) < count - part.overshoot_s * rate_hz:
        raise _beyond(start_s, duration_s, held / rate_hz, where)
    if len(mono) == 0:
        if first and count != 0:
            raise _beyond(start_s, duration_s, held / rate_hz, where)
        raise InputError("holds 0 samples", where=where)
    if not np.isfinite(mono).all():
        raise InputError("holds NaN or infinite samples", where=where)
    samples = to_full_scale(resample(mono, rate_hz))
    if len(samples) == 0:
        raise InputError("holds 0 samples at 16 kHz", where=where)
    return samples


def _read_blocks(sound: Sound, where: object, count: int | None, channel: Channel) -> NDArray[np.float64]:
    """Up to `count` samples (all there are) as mono. Raises InputError where averaging the channels leaves next to nothing."""
    blocks: list[NDArray[np.float64]] = []
    total, alone, together = 0, 0.0, 0.0
    while count is None or total < count:
        block = sound.read(
            BLOCK_FRAMES if count is None else min(BLOCK_FRAMES, count - total), "float64", always_2d=True
        )
        if len(block) == 0:
            break
        total += len(block)
        if total > MAX_DURATION_S * sound.samplerate:
            raise InputError(f"longer than {MAX_DURATION_S / 3600:g} h", where=where, fix="Split it")
        block = _chosen(block, channel, where)
        mono = block[:, 0] if block.shape[1] == 1 else block.mean(axis=1)
        if block.shape[1] > 1:
            alone += float(np.square(block).mean(axis=1).sum())
            together += float(np.square(mono).sum()) * block.shape[1]
        blocks.append(mono)
    if together < CANCELLED * alone:
        raise InputError(
            f"the channels cancel each other out: their average is {10 * math.log10(alone / max(together, 1e-30)):.0f} dB "
            "weaker than they are",
            where=where,
            fix='Choose one: "channel": 0 in a manifest, or sox IN.wav OUT.wav remix 1',
        )
    return np.concatenate(blocks) if blocks else np.zeros(0)


def _chosen(block: NDArray[np.float64], channel: Channel, where: object) -> NDArray[np.float64]:
    if channel is None:
        return block
    wanted = [channel] if isinstance(channel, int) else list(channel)
    if not wanted or max(wanted) >= block.shape[1] or min(wanted) < 0:
        there = "1 channel" if block.shape[1] == 1 else f"{block.shape[1]} channels"
        raise InputError(f"has {there}, counted from 0: there is no channel {wanted}", where=where)
    return block[:, wanted]


def _beyond(start_s: float, duration_s: float | None, end_s: float, where: object) -> InputError:
    end = "" if duration_s is None else f" to {start_s + duration_s:g} s"
    return InputError(f"the part from {start_s:g} s{end} lies beyond the end at {end_s:g} s", where=where)
