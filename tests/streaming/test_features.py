"""The features against kaldi-native-fbank, whose options are sherpa-onnx's, and against arithmetic in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattscribe.streaming.features import FrameSource, FrontEnd, log_mels
from wattscribe.streaming.mel_filters import energies, grouped, kaldi_filters, slaney_filters


def kaldi_fbank(samples: np.ndarray, bands: int, front_end: FrontEnd) -> np.ndarray:
    """As sherpa-onnx asks it: features.cc, and online-recognizer-transducer-nemo-impl.h."""
    native: Any = pytest.importorskip("kaldi_native_fbank")
    options = native.FbankOptions()
    options.frame_opts.samp_freq = 16_000
    options.frame_opts.dither = 0.0
    options.frame_opts.snip_edges = False
    options.mel_opts.num_bins = bands
    options.mel_opts.high_freq = -400.0
    if front_end == "nemo":
        options.frame_opts.remove_dc_offset = False
        options.frame_opts.window_type = "hann"
        options.mel_opts.low_freq, options.mel_opts.high_freq = 0.0, 8000.0
        options.mel_opts.is_librosa = True
    fbank = native.OnlineFbank(options)
    fbank.accept_waveform(16_000, samples)
    fbank.input_finished()
    frames = [fbank.get_frame(frame) for frame in range(fbank.num_frames_ready)]
    return np.array(frames, np.float32).reshape(-1, bands)


def sound(seed: int, samples: int) -> np.ndarray:
    """Noise with a mean, a slow swell of 80 dB and some tones: strong bands beside weak ones."""
    rng = np.random.default_rng(seed)
    seconds = np.arange(samples) / 16_000
    tones = sum(np.sin(2 * np.pi * hz * seconds) for hz in rng.uniform(50, 7000, 3))
    swell = 10.0 ** (-4 * (0.5 + 0.5 * np.cos(2 * np.pi * seconds)))
    audio: np.ndarray = 0.02 + swell * (0.1 * rng.standard_normal(samples) + 0.2 * tones)
    return audio.astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(("kaldi", "nemo")), st.sampled_from((40, 80, 128)), st.integers(0, 5000), st.integers(0, 99))
def test_as_sherpa_onnx_computes_them(front_end: FrontEnd, bands: int, samples: int, seed: int) -> None:
    """Any length, also less than a window: the same frames, the same mirrored ends; both round float32 spectra."""
    audio = sound(seed, samples)
    ours, theirs = log_mels(audio, bands, front_end), kaldi_fbank(audio, bands, front_end)
    assert ours.shape == theirs.shape
    power_of_rounding = 1e-9 * float(np.square(audio).sum() + 1e-3)  # of the loudest bins, in the weakest band
    np.testing.assert_allclose(np.exp(ours), np.exp(theirs), rtol=2e-4, atol=power_of_rounding)


def test_closer_to_the_arithmetic_than_kaldi_is() -> None:
    audio = sound(1, 16_000)
    windows = np.lib.stride_tricks.sliding_window_view(audio[40:].astype(np.float64), 400)[::160][:90]
    frames = windows - windows.mean(axis=1, keepdims=True)
    frames = np.concatenate([0.03 * frames[:, :1], frames[:, 1:] - 0.97 * frames[:, :-1]], axis=1)
    shape = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 399)) ** 0.85
    power = np.abs(np.fft.rfft(frames * shape, 512)) ** 2
    exact = np.log(np.maximum(power @ kaldi_filters(80, 512, 20.0, 7600.0).T.astype(np.float64), 2.0**-23))
    ours, theirs = (np.abs(mels[1:91] - exact) for mels in (log_mels(audio), kaldi_fbank(audio, 80, "kaldi")))
    assert ours.mean() < theirs.mean()
    assert ours.max() < 2e-3


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 40), max_size=12), st.sampled_from(("kaldi", "nemo")))
def test_no_bit_depends_on_how_many_frames_are_taken_at_once(counts: list[int], front_end: FrontEnd) -> None:
    audio = sound(3, 24_000)
    whole = log_mels(audio, 80, front_end)
    source = FrameSource(80, front_end)
    source.accept(audio)
    source.finish()
    frames = np.zeros_like(whole)
    for count in counts:
        start, count = source.position, min(count, source.ready)
        source.take(count, frames[start : start + count])
    assert np.array_equal(frames[: source.position], whole[: source.position])


def test_a_frame_is_ready_once_its_window_is_there() -> None:
    source, ready = FrameSource(80), []
    for _ in range(6):
        source.accept(np.zeros(140, np.float32))
        ready.append(source.ready)
    assert ready == [0, 1, 1, 2, 3, 4]  # 280 samples for the first, 160 for each more
    source.finish()
    assert source.ready == 5


def test_filters_in_groups_are_the_whole_product() -> None:
    power = np.random.default_rng(0).random((7, 257)).astype(np.float32)
    for filters in (kaldi_filters(80, 512, 20.0, 7600.0), slaney_filters(128, 512)):
        groups = grouped(filters)
        out = np.zeros((7, len(filters)), np.float32)
        energies(power, groups, out)
        np.testing.assert_allclose(out, power @ filters.T, rtol=1e-5)
        assert all(group.weights.size < 9216 for group in groups)
