"""Log-mel features exactly as the streaming runtime and sherpa-onnx compute them: training and recognition see the same."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wattscribe.units import SAMPLE_RATE_HZ

MELS = 80
SILENCE = -15.94
"""Log-mel of digital silence: log of the float epsilon, kaldi-native-fbank's floor."""

Features = NDArray[np.float32]
"""Shape (frames, 80), natural log of mel energies; samples in [-1, 1], no dither, snip_edges off, high_freq -400."""


def fbank_options(mels: int = MELS) -> Any:
    """The options that sherpa-onnx uses for streaming transducers (FeatureExtractorConfig, defaults of 1.12 on)."""
    import kaldi_native_fbank as knf

    options = knf.FbankOptions()
    options.frame_opts.samp_freq = SAMPLE_RATE_HZ
    options.frame_opts.dither = 0.0
    options.frame_opts.snip_edges = False
    options.mel_opts.num_bins = mels
    options.mel_opts.high_freq = -400.0
    return options


def log_mels(samples: NDArray[np.float32], mels: int = MELS) -> Features:
    """Samples, 16 kHz → log-mel frames, one per 10 ms."""
    import kaldi_native_fbank as knf

    online = knf.OnlineFbank(fbank_options(mels))
    online.accept_waveform(SAMPLE_RATE_HZ, samples)
    online.input_finished()
    count = online.num_frames_ready
    if count == 0:
        return np.zeros((0, mels), np.float32)
    return np.stack([online.get_frame(index) for index in range(count)])
