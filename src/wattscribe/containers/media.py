"""Recordings of phones and browsers (m4a, AAC, WebM …) through PyAV, which brings its own FFmpeg: the extra `media`."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from wattscribe.containers.repair import AGAIN
from wattscribe.errors import InputError, MissingExtraError

MEDIA = ("M4A", "WebM", "AAC", "WMA", "AMR")
"""What `format_of` calls formats that libsndfile does not read."""

MEDIA_FORMAT = "media"
SLACK_S = 0.1
"""A container's duration may be of its longest stream, and codecs round to their frames (AAC: 1024 samples, Opus: 20 ms)."""


class Sound(Protocol):
    """A recording that is read from its beginning, or from a frame on; soundfile.SoundFile is one."""

    @property
    def samplerate(self) -> int: ...

    @property
    def frames(self) -> int:
        """How many samples per channel the file promises."""
        ...

    @property
    def channels(self) -> int: ...

    @property
    def format(self) -> str: ...

    def seek(self, frames: int) -> int: ...

    def read(self, frames: int, dtype: Literal["float32", "float64"], *, always_2d: bool) -> NDArray[Any]: ...


class MediaSound:
    """The first audio stream of a file, decoded block by block; a Sound."""

    format = MEDIA_FORMAT

    def __init__(self, container: Any, where: object) -> None:
        if not container.streams.audio:
            raise InputError("holds no sound", where=where, fix="Give a file with an audio stream")
        self._container, self._where = container, where
        stream = container.streams.audio[0]
        if not getattr(stream, "rate", None):
            raise InputError("is damaged: its sound has no codec or no rate", where=where, fix=AGAIN)
        self.samplerate, self.channels = int(stream.rate), max(1, int(stream.layout.nb_channels))
        seconds = float(stream.duration * stream.time_base) if stream.duration else float(container.duration or 0) / 1e6
        self.frames = int(seconds * self.samplerate)
        self._blocks = self._decoded(stream)
        self._rest = np.zeros((0, 1), dtype=np.float32)

    def seek(self, frames: int) -> int:
        """Forward from the beginning, by decoding: exact in every codec, and hundreds of times faster than speech."""
        left = frames
        while left > 0 and len(block := self.read(min(left, 1 << 16), always_2d=True)):
            left -= len(block)
        return frames - left

    def read(self, frames: int, dtype: str = "float32", *, always_2d: bool = True) -> NDArray[Any]:
        """Up to so many samples, shape (samples, channels); fewer at the end only."""
        parts, held = [self._rest], len(self._rest)
        while held < frames and (block := next(self._blocks, None)) is not None:
            if held == 0:
                parts = []
            if parts and block.shape[1] != parts[0].shape[1]:
                raise InputError("is damaged: its number of channels changes", where=self._where, fix=AGAIN)
            parts.append(block)
            held += len(block)
        joined = np.concatenate(parts)
        self._rest = joined[frames:]
        return joined[:frames].astype(dtype, copy=False)

    def _decoded(self, stream: Any) -> Iterator[NDArray[np.float32]]:
        import av

        resampler = av.AudioResampler(format="fltp", layout=stream.layout, rate=stream.rate)
        try:
            for frame in self._container.decode(stream):
                for planar in resampler.resample(frame):
                    yield np.asarray(planar.to_ndarray().T, dtype=np.float32)
            for planar in resampler.resample(None):
                yield np.asarray(planar.to_ndarray().T, dtype=np.float32)
        except av.FFmpegError as error:
            raise InputError(f"is truncated or damaged ({error.strerror})", where=self._where, fix=AGAIN) from None


@contextlib.contextmanager
def media(source: str | Path | io.IOBase, where: object) -> Iterator[Sound]:
    """Open a file that FFmpeg knows. Raises MissingExtraError without PyAV, InputError for what it cannot read."""
    try:
        import av
    except ImportError:
        raise MissingExtraError("av", "media", needed_for=f"{where}: reading m4a, AAC or WebM") from None
    try:
        container = av.open(str(source) if isinstance(source, Path) else source, metadata_errors="replace")
    except av.FFmpegError as error:
        raise InputError(f"is not audio that can be read ({error.strerror})", where=where, fix=AGAIN) from None
    with container:
        yield MediaSound(container, where)
