"""Rooms: speech convolved with a measured impulse response, timing and level kept."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wattscribe.corpora.activity import active_mask, power
from wattscribe.corpora.audio import GRID, find_audio, read_audio, with_fix
from wattscribe.corpora.draws import Draws
from wattscribe.corpora.mixing import exact
from wattscribe.errors import InputError

Samples = NDArray[np.float64]


class Rooms:
    """One impulse response or a folder of them, ordered by relative path; each utterance draws one."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise InputError(
                "there is no such impulse response", where=path, fix="Name an audio file or a folder of them"
            )
        self.files = find_audio(path)
        if not self.files:
            raise InputError("this folder holds no impulse responses", where=path, fix="Name a folder with audio files")
        self.root = path
        with with_fix("Repair it or take it out of the folder"):
            self.responses = [read_audio(file).astype(np.float64) for file in self.files]
        for file, response in zip(self.files, self.responses, strict=True):
            if not response.any():
                raise InputError("this impulse response is silent", where=file, fix="Remove it")

    def convolve(self, speech: Samples, draws: Draws) -> tuple[Samples, str]:
        """Speech convolved with the drawn room's response, and the response's file name."""
        index = draws.below(len(self.files))
        return reverberate(speech, self.responses[index]), self.files[index].name


def reverberate(speech: Samples, response: Samples) -> Samples:
    """Convolve; the direct path (the response's largest sample) falls on time zero, the length stays, and the level over
    the speech-active samples of the dry speech is what it was.

    May exceed full scale: the last step of a condition scales. Raises InputError when speech or result is silent.
    """
    mask = active_mask(speech)
    if not mask.any():
        raise InputError("the speech is silent: no active samples, so its level in a room cannot be restored")
    direct = int(np.argmax(np.abs(response)))
    wet = convolve(speech, response)[direct : direct + len(speech)]
    wet_power = power(wet, mask)
    if wet_power == 0.0:
        raise InputError("the speech is silent after the impulse response")
    return wet * exact(math.sqrt(power(speech, mask) / wet_power))


def convolve(first: Samples, second: Samples) -> Samples:
    """The full linear convolution by FFT, on the 2^-24 grid so that machines agree."""
    count = len(first) + len(second) - 1
    size = 1 << max(count - 1, 1).bit_length()
    product = np.fft.irfft(np.fft.rfft(first, size) * np.fft.rfft(second, size), size)[:count]
    return np.round(product * GRID) / GRID
