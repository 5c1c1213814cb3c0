"""Long recordings in windows, cut where it is quietest."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from wattscribe.seq2seq.mel import Samples
from wattscribe.units import SAMPLE_RATE_HZ


def cut_at_silence(audio: Samples, chunk_samples: int) -> Iterator[Samples]:
    """Pieces of at most `chunk_samples`, each cut in the last quarter of its window where 0.1 s is quietest."""
    frame = SAMPLE_RATE_HZ // 10
    while len(audio) > chunk_samples:
        start = chunk_samples * 3 // 4
        frames = audio[start:chunk_samples]
        frames = frames[: len(frames) // frame * frame].reshape(-1, frame)
        quietest = int(np.argmin((frames.astype(np.float64) ** 2).sum(axis=1)))
        end = start + quietest * frame + frame // 2
        yield audio[:end]
        audio = audio[end:]
    yield audio
