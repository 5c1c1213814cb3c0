"""A recording as blocks of 16 kHz mono: one way for files, parts of them and live input; never in memory whole."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wattscribe import containers
from wattscribe.containers.media import Sound
from wattscribe.containers.repair import AGAIN
from wattscribe.errors import InputError
from wattscribe.units import SAMPLE_RATE_HZ

Channel = int | tuple[int, ...] | None
"""One channel, counted from 0, or the average of several; None: of all."""

Samples = NDArray[Any]
"""Of the type that was asked for; one sample per time."""

BLOCK_SAMPLES = 1 << 18
"""Read at once, all channels together."""

CANCELLED = 0.02
"""Channels without relation keep all their power in N times their average's, equal ones N times it. Below this share (-17 dB)
they stand against each other: one was recorded with its poles exchanged. Our own choice."""


class Part(NamedTuple):
    """What of a recording is read."""

    start_s: float = 0.0
    duration_s: float | None = None
    """None: to the end."""
    channel: Channel = None
    overshoot_s: float = 0.0
    """How far the part may reach beyond the recording's end."""
    limit_s: float = math.inf
    """A longer one is not read at all."""


WHOLE = Part()


def mono_blocks(
    sound: Sound,
    where: object,
    part: Part = WHOLE,
    *,
    dtype: Literal["float32", "float64"],
    block_s: float | None = None,
) -> Iterator[Samples]:
    """The part at the recording's own rate, in blocks of `block_s` or of what memory bears. What is whole before a fault comes
    first.

    Raises InputError for a recording that is truncated, damaged, too long, ends before the part, lacks the channel, holds NaN
    or infinity, or whose channels cancel each other out, which only its end tells.
    """
    import soundfile

    rate_hz, promised = sound.samplerate, sound.frames
    if promised > part.limit_s * rate_hz and part.duration_s is None:
        raise _too_long(part, where)
    first, count = _frames(part, sound)
    taken, alone, together = 0, 0.0, 0.0
    try:
        if first and sound.seek(min(first, _end(part, sound))) < first:
            raise _beyond(part, promised / rate_hz, where)
        while len(
            block := sound.read(_next(sound, block_s, None if count is None else count - taken), dtype, always_2d=True)
        ):
            taken += len(block)
            if taken > part.limit_s * rate_hz:
                raise _too_long(part, where)
            block = _chosen(block, part.channel, where)
            mono = np.ascontiguousarray(block.mean(axis=1) if block.shape[1] > 1 else block[:, 0])
            if block.shape[1] > 1:
                alone += float(np.square(block, dtype=np.float64).mean(axis=1).sum())
                together += float(np.square(mono, dtype=np.float64).sum()) * block.shape[1]
            _check_finite(mono, (first + taken - len(mono)) / rate_hz, rate_hz, where)
            yield mono
    except soundfile.LibsndfileError as error:
        reason = containers.reason_of(error)
        raise InputError(
            f"is truncated or damaged after {(first + taken) / rate_hz:.0f} s ({reason})", where=where, fix=AGAIN
        ) from None
    held, short = first + taken, count is None or taken < count
    if short and held + containers.slack_frames(sound) < promised:
        raise InputError(f"is truncated: {held} of {promised} samples", where=where, fix=AGAIN)
    if (count is not None and taken < count - part.overshoot_s * rate_hz) or (not taken and first and count != 0):
        raise _beyond(part, held / rate_hz, where)
    if together < CANCELLED * alone:
        raise _cancelled(alone, together, where)


def at_16_khz(blocks: Iterator[Samples], rate_hz: int, *, dtype: Literal["float32", "float64"]) -> Iterator[Samples]:
    """Blocks at `rate_hz` resampled by soxr (HQ): together, to the bit, what they would be at once."""
    import soxr

    if rate_hz == SAMPLE_RATE_HZ:
        yield from blocks
        return
    resampler = soxr.ResampleStream(rate_hz, SAMPLE_RATE_HZ, 1, dtype=dtype, quality="HQ")
    any_audio = False
    for block in blocks:
        any_audio = True
        yield resampler.resample_chunk(block)
    if any_audio:
        yield resampler.resample_chunk(np.zeros(0, dtype), last=True)


def _frames(part: Part, sound: Sound) -> tuple[int, int | None]:
    """Where the part begins, and how long it is; None: to the end. 1e308 s is no count of samples."""
    rate_hz, beyond = sound.samplerate, 2 * _end(part, sound) + sound.samplerate
    first = round(min(part.start_s * rate_hz, beyond))
    if part.duration_s is None:
        return first, None
    return first, math.floor(min(part.duration_s * rate_hz, beyond) + 0.5)


def _end(part: Part, sound: Sound) -> int:
    """A browser's recording promises nothing."""
    return sound.frames or int(min(part.limit_s, 1e6) * sound.samplerate)


def _next(sound: Sound, block_s: float | None, left: int | None) -> int:
    frames = BLOCK_SAMPLES // sound.channels if block_s is None else round(block_s * sound.samplerate)
    return max(1, frames) if left is None else min(max(1, frames), left)


def _chosen(block: Samples, channel: Channel, where: object) -> Samples:
    if channel is None:
        return block
    wanted = [channel] if isinstance(channel, int) else list(channel)
    if not wanted or max(wanted) >= block.shape[1] or min(wanted) < 0:
        there = "1 channel" if block.shape[1] == 1 else f"{block.shape[1]} channels"
        raise InputError(f"has {there}, counted from 0: there is no channel {wanted}", where=where)
    return block[:, wanted]


def _check_finite(mono: Samples, start_s: float, rate_hz: int, where: object) -> None:
    finite = np.isfinite(mono)
    if not finite.all():
        raise InputError(
            f"holds NaN or infinite samples, the first at {start_s + int(np.argmin(finite)) / rate_hz:.3g} s",
            where=where,
            fix="Convert it again, for instance to 16-bit samples",
        )


def _too_long(part: Part, where: object) -> InputError:
    return InputError(f"longer than {part.limit_s / 3600:g} h", where=where, fix="Split it")


def _beyond(part: Part, end_s: float, where: object) -> InputError:
    end = "" if part.duration_s is None else f" to {part.start_s + part.duration_s:g} s"
    return InputError(f"the part from {part.start_s:g} s{end} lies beyond the end at {end_s:g} s", where=where)


def _cancelled(alone: float, together: float, where: object) -> InputError:
    below_db = 10 * math.log10(alone / max(together, 1e-30))
    return InputError(
        f"the channels cancel each other out: their average is {below_db:.0f} dB weaker than they are",
        where=where,
        fix='Choose one: "channel": 0 in a manifest, or sox IN.wav OUT.wav remix 1',
    )
