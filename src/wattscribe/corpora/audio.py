"""Any recording → the one shape of sound inside the package; anything that is not whole and finite is refused with its reason."""

from __future__ import annotations

import contextlib
import io
import math
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from wattscribe import containers, hushed
from wattscribe.corpora.base import Audio
from wattscribe.errors import InputError
from wattscribe.units import SAMPLE_RATE_HZ

AUDIO_SUFFIXES = (".flac", ".wav", ".ogg", ".opus", ".mp3")
"""What a folder is searched for; case does not matter."""

MAX_DURATION_S = 4 * 3600.0
"""Longer recordings are refused: a few kB of compressed silence can otherwise fill the memory. Our own limit."""

GRID = float(1 << 24)
"""Resampled or filtered samples are rounded to multiples of 2^-24, the step of float32 below 1: differences in the last
digits between machines then vanish instead of spreading."""

BLOCK_FRAMES = 1 << 18


def read_audio(path: str | Path, *, start_s: float = 0.0, duration_s: float | None = None) -> Audio:
    """Read a file as 16 kHz mono float32 in [-1, 1]: channels are averaged, other rates resampled by soxr (HQ).

    `start_s` and `duration_s` cut a part out. A recording that exceeds full scale (float files, resampling overshoot) is
    scaled down to it, never clipped. Raises InputError when the file is missing, empty, truncated, not audio, holds no
    samples, NaN or infinity, or is longer than `MAX_DURATION_S`.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise InputError("missing file", where=path) from error
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", where=path) from error
    return decode_audio(data, where=path, start_s=start_s, duration_s=duration_s)


def decode_audio(data: bytes, *, where: object, start_s: float = 0.0, duration_s: float | None = None) -> Audio:
    """The bytes of an audio file → 16 kHz mono float32; `where` names them in errors. Rules and errors as `read_audio`."""
    if not data:
        raise InputError("empty file (0 bytes)", where=where)
    mono, rate_hz = _decode_mono(data, where)
    mono = _cut(mono, rate_hz, start_s, duration_s, where)
    if not np.isfinite(mono).all():
        raise InputError("holds NaN or infinite samples", where=where)
    return to_full_scale(resample(mono, rate_hz))


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
    if not path.is_file():
        raise InputError("missing file", where=path)
    if path.stat().st_size == 0:
        raise InputError("empty file (0 bytes)", where=path)
    try:
        with hushed.hushed():
            return float(soundfile.info(os.fsencode(path)).duration)
    except soundfile.LibsndfileError as error:
        raise InputError(f"not audio ({_reason(error)})", where=path) from error


@contextlib.contextmanager
def mended_by(fix: str) -> Iterator[None]:
    """Errors about a recording that is no speech, with what to do about it."""
    try:
        yield
    except InputError as error:
        raise InputError(error.what, where=error.where, fix=fix) from error


def find_audio(folder: Path) -> list[Path]:
    """Every audio file below a folder (or the one file), by relative path, so that the order is the same everywhere."""
    if folder.is_file():
        return [folder]
    found = [path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES and path.is_file()]
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def _decode_mono(data: bytes, where: object) -> tuple[NDArray[np.float64], int]:
    """Decode whole and average the channels; refuses a file that holds fewer frames than its header promises."""
    containers.check_complete(data, where)
    try:
        sound = hushed.SoundFile(io.BytesIO(data))
    except soundfile.LibsndfileError as error:
        raise InputError(f"not audio ({_reason(error)})", where=where) from error
    with sound:
        promised = sound.frames
        if promised > containers.MAX_FRAMES:
            raise InputError(
                "the header does not say how long it is", where=where, fix="Re-encode it, for instance with sox"
            )
        if promised > MAX_DURATION_S * sound.samplerate:
            raise InputError(f"longer than {MAX_DURATION_S / 3600:g} h", where=where, fix="Split it")
        mono = _read_blocks(sound, where)
        slack = containers.MP3_SLACK_FRAMES if sound.format == "MP3" else 0
        if len(mono) + slack < promised:
            raise InputError(f"truncated: {len(mono)} of {promised} samples are there", where=where)
        if len(mono) == 0:
            raise InputError("holds 0 samples", where=where)
        return mono, sound.samplerate


def _read_blocks(sound: soundfile.SoundFile, where: object) -> NDArray[np.float64]:
    blocks: list[NDArray[np.float64]] = []
    total = 0
    try:
        while len(block := sound.read(BLOCK_FRAMES, dtype="float64", always_2d=True)):
            blocks.append(block[:, 0] if block.shape[1] == 1 else block.mean(axis=1))
            total += len(block)
    except soundfile.LibsndfileError as error:
        raise InputError(f"truncated or damaged after {total} samples ({_reason(error)})", where=where) from error
    return np.concatenate(blocks) if blocks else np.zeros(0)


def _cut(
    mono: NDArray[np.float64], rate_hz: int, start_s: float, duration_s: float | None, where: object
) -> NDArray[np.float64]:
    if start_s == 0.0 and duration_s is None:
        return mono
    beyond = 2 * len(mono) + rate_hz  # no part ends there; 1e308 s is no count of samples
    first = round(min(start_s * rate_hz, beyond))
    last = len(mono) if duration_s is None else first + math.floor(min(duration_s * rate_hz, beyond) + 0.5)
    if first >= len(mono) or last > len(mono) + rate_hz // 100:
        end = "" if duration_s is None else f" to {start_s + duration_s:g} s"
        raise InputError(
            f"the part from {start_s:g} s{end} lies beyond the end at {len(mono) / rate_hz:g} s",
            where=where,
        )
    if last <= first:
        raise InputError("holds 0 samples", where=where)
    return mono[first:last]


def _reason(error: soundfile.LibsndfileError) -> str:
    return str(error.error_string).strip().rstrip(".")
