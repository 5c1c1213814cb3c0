"""Whisper's input without torch: as Transformers computes it, with either of its two ways."""

from __future__ import annotations

import numpy as np
import pytest

from wattscribe.seq2seq.mel import log_mel

RATE = 16000


def sound(samples: int) -> np.ndarray:
    rng = np.random.default_rng(samples)
    return (rng.normal(0, 0.1, samples) * np.sin(np.arange(samples) / 3000)).astype(np.float32)


@pytest.mark.parametrize("bands", [80, 128])
@pytest.mark.parametrize("samples", [1, 100, 400, 48_037, 479_799, 479_990, 480_000, 500_000])
def test_equals_transformers(samples: int, bands: int) -> None:
    """To 1e-5 of its computation in numpy; torch's, in 32 bits throughout, is itself up to 3e-5 away from that."""
    transformers = pytest.importorskip("transformers", reason="needs wattscribe[hf]")
    features = transformers.WhisperFeatureExtractor(feature_size=bands)
    audio = sound(samples)
    padded = np.zeros((1, 30 * RATE), np.float32)
    padded[0, : min(samples, 30 * RATE)] = audio[: 30 * RATE]
    found = log_mel(audio, 3000, bands)
    assert found.shape == (bands, 3000)
    assert found.dtype == np.float32
    exact = features._np_extract_fbank_features(padded.astype(np.float64), "cpu")[0]
    np.testing.assert_allclose(found, exact, atol=1e-5)
    theirs = features(audio, sampling_rate=RATE, return_tensors="np").input_features[0]
    np.testing.assert_allclose(found, theirs, atol=5e-5)


def test_a_shorter_window_is_the_beginning_of_the_long_one_up_to_its_loudest() -> None:
    """Padding is silence: it changes nothing of the frames before it."""
    audio = sound(3 * RATE)
    np.testing.assert_array_equal(log_mel(audio, 800), log_mel(audio, 3000)[:, :800])
