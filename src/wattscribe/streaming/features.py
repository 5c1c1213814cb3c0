"""Log-mel features piece by piece, exactly as sherpa-onnx computes them: kaldi-native-fbank with the options of its transducers.

Options: k2-fsa/sherpa-onnx features.cc: no dither, snip_edges false, high_freq −400 Hz, samples in [−1, 1]; for NeMo's models
its online-recognizer-transducer-nemo-impl.h: librosa's filters up to 8 kHz, a Hann window, the mean not taken away. NeMo's
streaming models are trained without normalisation; where metadata say otherwise sherpa-onnx computes none either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from wattscribe.errors import InputError
from wattscribe.units import SAMPLE_RATE_HZ

Samples = NDArray[np.float32]
FrontEnd = Literal["kaldi", "nemo"]

SHIFT_SAMPLES = SAMPLE_RATE_HZ // 100
"""10 ms."""
_LEFT_FRAMES = 1
"""With snip_edges false only the first frame reaches before the first sample, so one frame of run-up restores any other."""


def feature_frames(samples: int) -> int:
    """Frames of so many samples once they have ended (kaldi's count with snip_edges false)."""
    return (samples + SHIFT_SAMPLES // 2) // SHIFT_SAMPLES


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedSource:
    """What a source remembers."""

    position: int
    samples: int
    frames: NDArray[np.float32]
    """Computed and not taken yet."""
    audio: Samples
    """From the run-up to the first frame that is not computed yet to the last sample heard."""
    front_end: FrontEnd = "kaldi"


class FrameSource:
    """Samples in, feature frames out. `position` counts the frames taken."""

    def __init__(self, feature_dim: int, front_end: FrontEnd = "kaldi") -> None:
        import kaldi_native_fbank

        self._front_end: FrontEnd = front_end
        self._options = fbank_options(feature_dim, front_end)
        self._fbank = kaldi_native_fbank.OnlineFbank(self._options)
        self._first = 0
        """Absolute number of the fbank's frame 0; its audio starts at sample `_first` × 160."""
        self._popped = 0
        self._restored = np.zeros((0, feature_dim), np.float32)
        """Frames that come before those of the fbank."""
        self._recent: Samples = np.zeros(0, np.float32)
        """The audio that a saved stream would need, which ends with the last sample heard."""
        self.samples = 0
        self.position = 0

    def accept(self, samples: Samples) -> None:
        """Hear more samples; the array is the caller's again afterwards."""
        self._fbank.accept_waveform(
            SAMPLE_RATE_HZ, samples.data
        )  # a memoryview: read several times faster than an array
        self.samples += len(samples)
        kept = self._needed()
        before, now = max(0, kept - len(samples)), min(kept, len(samples))
        self._recent = np.concatenate([_last(self._recent, before), _last(samples, now)])

    def _needed(self) -> int:
        """Samples from the run-up to the next frame that is computed."""
        return self.samples - max(0, self._computed - _LEFT_FRAMES) * SHIFT_SAMPLES

    @property
    def _computed(self) -> int:
        """Frames since the start, taken or not."""
        return self._first + int(self._fbank.num_frames_ready)

    @property
    def ready(self) -> int:
        """Frames that can be taken from `position` on."""
        return self._computed - self.position

    def take(self, count: int, out: NDArray[np.float32]) -> None:
        """Write the next `count` frames to the rows of `out` and move on."""
        old = min(count, len(self._restored))
        if old:
            out[:old], self._restored = self._restored[:old], self._restored[old:]
        fbank, start = self._fbank, self.position - self._first
        get = fbank.get_frame
        for row in range(old, count):
            out[row] = get(start + row)
        self.position += count
        if count > old:
            fbank.pop(start + count - self._popped)
            self._popped = start + count

    def finish(self) -> None:
        """No more samples come: the last frames, which reach beyond the end, become ready."""
        self._fbank.input_finished()

    def save(self) -> SavedSource:
        """What `restore` needs."""
        frames = np.empty((self.ready, self._restored.shape[1]), np.float32)
        old = len(self._restored)
        frames[:old] = self._restored
        for row in range(old, len(frames)):
            frames[row] = self._fbank.get_frame(self.position - self._first + row)
        audio = _last(self._recent, self._needed())
        return SavedSource(
            position=self.position, samples=self.samples, frames=frames, audio=audio, front_end=self._front_end
        )

    @classmethod
    def restore(cls, saved: SavedSource) -> FrameSource:
        """A source that goes on with the same frames, bit for bit."""
        source = cls(saved.frames.shape[1], saved.front_end)
        source._first = max(0, saved.position + len(saved.frames) - _LEFT_FRAMES)
        source._restored = saved.frames
        source.samples = saved.samples - len(saved.audio)
        source.position = saved.position
        if len(saved.audio):
            source.accept(saved.audio)
        return source


def fbank_options(feature_dim: int, front_end: FrontEnd = "kaldi") -> Any:
    """FbankOptions; what is not set is kaldi's own."""
    import kaldi_native_fbank

    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.samp_freq = SAMPLE_RATE_HZ
    options.frame_opts.dither = 0.0
    options.frame_opts.snip_edges = False
    options.mel_opts.num_bins = feature_dim
    if front_end == "kaldi":
        options.mel_opts.high_freq = -400.0
        return options
    options.frame_opts.remove_dc_offset = False
    options.frame_opts.window_type = "hann"
    options.mel_opts.low_freq = 0.0
    options.mel_opts.high_freq = SAMPLE_RATE_HZ / 2
    options.mel_opts.is_librosa = True
    return options


def _last(samples: Samples, count: int) -> Samples:
    return samples[len(samples) - count :]


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
