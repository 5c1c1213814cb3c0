"""Log-mel features exactly as the streaming runtime and sherpa-onnx compute them: training and recognition see the same."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wattscribe.streaming.features import fbank_options
from wattscribe.units import SAMPLE_RATE_HZ

MELS = 80
SILENCE = -15.94
"""Log-mel of digital silence: log of the float epsilon, kaldi-native-fbank's floor."""

Features = NDArray[np.float32]
"""Shape (frames, 80), natural log of mel energies; samples in [-1, 1], no dither, snip_edges off, high_freq -400."""


def log_mels(samples: NDArray[np.float32]) -> Features:
    """Samples, 16 kHz → log-mel frames, one per 10 ms."""
    import kaldi_native_fbank as knf

    online = knf.OnlineFbank(fbank_options(MELS))
    online.accept_waveform(SAMPLE_RATE_HZ, samples)
    online.input_finished()
    count = online.num_frames_ready
    if count == 0:
        return np.zeros((0, MELS), np.float32)
    return np.stack([online.get_frame(index) for index in range(count)])
