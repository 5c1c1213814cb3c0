"""Log-mel features piece by piece, those of sherpa-onnx to float rounding (decision 042).

Options: k2-fsa/sherpa-onnx features.cc, kaldi's filter bank without dither: Povey's window, snip_edges false, 20 to 7600 Hz,
samples in [−1, 1]; for NeMo's models its online-recognizer-transducer-nemo-impl.h: librosa's filters up to 8 kHz, a Hann window,
the mean not taken away. NeMo's streaming models are trained without normalisation; where metadata say otherwise sherpa-onnx
computes none either.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wattscribe.errors import InputError
from wattscribe.streaming.mel_filters import FilterGroup, energies, grouped, kaldi_filters, slaney_filters
from wattscribe.units import SAMPLE_RATE_HZ

Samples = NDArray[np.float32]
FrontEnd = Literal["kaldi", "nemo"]

SHIFT_SAMPLES = SAMPLE_RATE_HZ // 100
"""10 ms."""
WINDOW_SAMPLES = SAMPLE_RATE_HZ * 25 // 1000
_BEFORE = (WINDOW_SAMPLES - SHIFT_SAMPLES) // 2
"""Samples of a frame that precede its 10 ms: with snip_edges false frames are centred, and the audio is mirrored at both ends."""
_FFT_SIZE = 512
_PREEMPHASIS = np.float32(0.97)
_FLOOR = np.finfo(np.float32).eps
MELS = 80
"""Bands, where a model does not say otherwise."""
SILENCE = float(np.log(_FLOOR))
"""Log-mel of digital silence."""
_AT_ONCE = 64
"""Frames whose spectra are in memory together."""


def feature_frames(samples: int) -> int:
    """Frames of so many samples once they have ended (kaldi's count with snip_edges false)."""
    return (samples + SHIFT_SAMPLES // 2) // SHIFT_SAMPLES


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedSource:
    """What a source remembers."""

    position: int
    samples: int
    audio: Samples
    """From the start of the next frame on."""
    feature_dim: int
    front_end: FrontEnd = "kaldi"


class FrameSource:
    """Samples in, feature frames out. `position` counts the frames taken; a frame is computed when it is taken."""

    def __init__(self, feature_dim: int, front_end: FrontEnd = "kaldi") -> None:
        self._feature_dim = feature_dim
        self._front_end: FrontEnd = front_end
        self._pieces: list[Samples] = [np.zeros(0, np.float32)]
        """The audio from sample `_start` on, as it came."""
        self._start = 0
        self._finished = False
        self.samples = 0
        self.position = 0

    def accept(self, samples: Samples) -> None:
        """Take in more samples; the array is the caller's again afterwards."""
        self._pieces.append(np.array(samples, np.float32))
        self.samples += len(samples)

    def finish(self) -> None:
        """No more samples come: the last frames, which reach beyond the end, become ready."""
        self._finished = True

    @property
    def ready(self) -> int:
        """Frames that can be taken from `position` on."""
        frames = feature_frames(self.samples)
        if not self._finished:
            frames = min(frames, max(0, (self.samples + _BEFORE - WINDOW_SAMPLES) // SHIFT_SAMPLES + 1))
        return frames - self.position

    def take(self, count: int, out: NDArray[np.float32]) -> None:
        """Write the next `count` frames to the rows of `out` and move on."""
        for start in range(0, count, _AT_ONCE):
            rows = out[start : min(start + _AT_ONCE, count)]
            _log_mels(self._reach(len(rows)), self._front_end, rows)
            self.position += len(rows)

    def _reach(self, count: int) -> Samples:
        """The audio that the next frames reach over, a view where no end of the audio is near."""
        start = self.position * SHIFT_SAMPLES - _BEFORE
        end = start + (count - 1) * SHIFT_SAMPLES + WINDOW_SAMPLES
        audio = self._audio()
        if start >= 0 and end <= self.samples:
            return audio[start - self._start : end - self._start]
        return audio[_mirrored(np.arange(start, end), self.samples) - self._start]

    def _audio(self) -> Samples:
        """In one piece, without what no frame will need."""
        if len(self._pieces) > 1:
            needed = self._needed_from()
            self._pieces[0] = self._pieces[0][needed - self._start :]
            self._start = needed
            self._pieces = [np.concatenate(self._pieces)]
        return self._pieces[0]

    def _needed_from(self) -> int:
        """The first sample of the next frame; at the very end of the audio frames look back once more, mirrored."""
        return max(0, min(self.position * SHIFT_SAMPLES - _BEFORE, self.samples - WINDOW_SAMPLES))

    def save(self) -> SavedSource:
        """What `restore` needs."""
        audio = self._audio()
        return SavedSource(
            position=self.position,
            samples=self.samples,
            audio=audio[self._needed_from() - self._start :].copy(),
            feature_dim=self._feature_dim,
            front_end=self._front_end,
        )

    @classmethod
    def restore(cls, saved: SavedSource) -> FrameSource:
        """A source that goes on with the same frames, bit for bit."""
        source = cls(saved.feature_dim, saved.front_end)
        source._pieces = [saved.audio]
        source._start = saved.samples - len(saved.audio)
        source.samples, source.position = saved.samples, saved.position
        return source


def log_mels(samples: Samples, feature_dim: int = MELS, front_end: FrontEnd = "kaldi") -> NDArray[np.float32]:
    """All frames of an utterance that is there as a whole: (frames, feature_dim)."""
    source = FrameSource(feature_dim, front_end)
    source.accept(samples)
    source.finish()
    frames = np.empty((source.ready, feature_dim), np.float32)
    source.take(len(frames), frames)
    return frames


def _mirrored(places: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Places before the first sample and after the last, as their mirror images."""
    places = places % (2 * length)
    return np.where(places < length, places, 2 * length - 1 - places)


def _overlapping(audio: Samples, count: int) -> NDArray[np.float32]:
    """A view of (count, WINDOW_SAMPLES); numpy's own function for it takes as long as ten spectra."""
    (stride,) = audio.strides
    return np.ndarray((count, WINDOW_SAMPLES), np.float32, audio, strides=(SHIFT_SAMPLES * stride, stride))


def _log_mels(audio: Samples, front_end: FrontEnd, out: NDArray[np.float32]) -> None:
    """Each row by itself: what stands beside it changes no bit of it."""
    shape, groups = _front_end(front_end, out.shape[1])
    windows = _overlapping(audio, len(out))
    padded = np.zeros((len(out), _FFT_SIZE), np.float32)
    frames = padded[:, :WINDOW_SAMPLES]
    risen = np.empty_like(audio)
    np.multiply(audio[:-1], -_PREEMPHASIS, out=risen[1:])
    risen[1:] += audio[1:]
    frames[:, 1:] = _overlapping(risen, len(out))[:, 1:]
    np.multiply(windows[:, 0], 1 - _PREEMPHASIS, out=frames[:, 0])  # kaldi: the sample before the first is its like
    if front_end == "kaldi":  # the mean taken away before, or what is left of it afterwards
        frames -= np.add.reduce(windows, axis=1, keepdims=True) * ((1 - _PREEMPHASIS) / np.float32(WINDOW_SAMPLES))
    frames *= shape
    spectra = np.fft.rfft(padded, axis=1).astype(np.complex64, copy=False)  # numpy before 2.0 computes in float64
    squares = spectra.view(np.float32)
    squares *= squares
    energies(squares[:, ::2] + squares[:, 1::2], groups, out)
    np.maximum(out, _FLOOR, out=out)
    np.log(out, out=out)


@cache
def _front_end(front_end: FrontEnd, feature_dim: int) -> tuple[NDArray[np.float32], tuple[FilterGroup, ...]]:
    """The window and the filters."""
    places = 2 * np.pi * np.arange(WINDOW_SAMPLES)
    if front_end == "kaldi":
        window = (0.5 - 0.5 * np.cos(places / (WINDOW_SAMPLES - 1))) ** 0.85
        filters = kaldi_filters(feature_dim, _FFT_SIZE, 20.0, SAMPLE_RATE_HZ / 2 - 400)
    else:
        window = 0.5 - 0.5 * np.cos(places / WINDOW_SAMPLES)
        filters = slaney_filters(feature_dim, _FFT_SIZE)
    return window.astype(np.float32), grouped(filters)


def checked(samples: object) -> Samples:
    """Audio as the runtime takes it: float32, mono, finite. Raises InputError that says what to do otherwise."""
    array = np.asarray(samples)
    if array.dtype.kind in "iu":
        raise InputError(f"samples are {array.dtype}", fix="Give float32 in [-1, 1]: divide 16-bit samples by 32768")
    if array.ndim != 1 or array.dtype.kind != "f":
        raise InputError(f"samples have shape {array.shape} and type {array.dtype}", fix="Give one channel of float32")
    array = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(np.dot(array, array)) and not np.isfinite(array).all():  # the first is a tenth of the second
        where = int(np.flatnonzero(~np.isfinite(array))[0])
        raise InputError(f"sample {where} is {array[where]}, not a number", fix="Check how the audio was decoded")
    return array


def check_rate(sample_rate_hz: int) -> None:
    """Raises InputError for any rate but 16 kHz."""
    if sample_rate_hz != SAMPLE_RATE_HZ:
        raise InputError(
            f"samples at {sample_rate_hz} Hz", fix=f"Resample to {SAMPLE_RATE_HZ} Hz, for instance with soxr.resample"
        )
