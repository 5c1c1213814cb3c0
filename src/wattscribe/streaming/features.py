"""Log-mel features piece by piece, exactly as sherpa-onnx computes them: kaldi-native-fbank with the options of its transducers.

Options: k2-fsa/sherpa-onnx features.cc: no dither, snip_edges false, high_freq −400 Hz, samples in [−1, 1].
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wattscribe.errors import InputError
from wattscribe.units import SAMPLE_RATE_HZ

Samples = NDArray[np.float32]

SHIFT_SAMPLES = SAMPLE_RATE_HZ // 100
"""10 ms."""
WINDOW_SAMPLES = SAMPLE_RATE_HZ * 25 // 1000
FRAME_SHIFT_S = 0.01
_LEFT_FRAMES = 1
"""With snip_edges false only the first frame reaches before the first sample, so one frame of run-up restores any other."""


def feature_frames(samples: int) -> int:
    """Frames of so many samples once they have ended (kaldi's count with snip_edges false)."""
    return (samples + SHIFT_SAMPLES // 2) // SHIFT_SAMPLES


class FrameSource:
    """Samples in, feature frames out. `position` counts the frames taken."""

    def __init__(self, feature_dim: int) -> None:
        import kaldi_native_fbank

        options = kaldi_native_fbank.FbankOptions()
        options.frame_opts.samp_freq = SAMPLE_RATE_HZ
        options.frame_opts.dither = 0.0
        options.frame_opts.snip_edges = False
        options.mel_opts.num_bins = feature_dim
        options.mel_opts.high_freq = -400.0
        self._options = options
        self._fbank = kaldi_native_fbank.OnlineFbank(options)
        self._first = 0
        """Absolute number of the fbank's frame 0; its audio starts at sample `_first` × 160."""
        self._popped = 0
        self._recent: list[Samples] = []
        self._recent_start = 0
        """Absolute sample at which the kept audio begins."""
        self.samples = 0
        self.position = 0

    def accept(self, samples: Samples) -> None:
        """Hear more samples; they are kept as long as a saved stream would need them."""
        self._fbank.accept_waveform(
            SAMPLE_RATE_HZ, samples.data
        )  # a memoryview: read several times faster than an array
        self._recent.append(samples)
        self.samples += len(samples)
        self._forget()

    @property
    def ready(self) -> int:
        """Frames that can be taken from `position` on."""
        return self._first + int(self._fbank.num_frames_ready) - self.position

    def take(self, count: int, out: NDArray[np.float32]) -> None:
        """Write the next `count` frames to the rows of `out` and move on."""
        fbank, start = self._fbank, self.position - self._first
        get = fbank.get_frame
        for row in range(count):
            out[row] = get(start + row)
        self.position += count
        fbank.pop(start + count - self._popped)
        self._popped = start + count

    def finish(self) -> None:
        """No more samples come: the last frames, which reach beyond the end, become ready."""
        self._fbank.input_finished()

    def _forget(self) -> None:
        """Drop audio before the run-up to the next frame."""
        needed = (self.position - _LEFT_FRAMES) * SHIFT_SAMPLES
        while self._recent and self._recent_start + len(self._recent[0]) <= needed:
            self._recent_start += len(self._recent.pop(0))

    def save(self) -> tuple[int, int, Samples]:
        """(position, samples heard, audio from the run-up to the next frame on): what `restore` needs."""
        start = max(0, (self.position - _LEFT_FRAMES) * SHIFT_SAMPLES)
        heard = np.concatenate([np.zeros(0, np.float32), *self._recent])
        return self.position, self.samples, heard[start - self._recent_start :].copy()

    @classmethod
    def restore(cls, feature_dim: int, saved: tuple[int, int, Samples]) -> FrameSource:
        """A source that goes on with the same frames, bit for bit."""
        source = cls(feature_dim)
        position, samples, audio = saved
        source._first = max(0, position - _LEFT_FRAMES)
        source._recent_start = source.samples = samples - len(audio)
        source.position = position
        if len(audio):
            source.accept(audio)
        return source


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
