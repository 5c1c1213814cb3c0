"""Long recordings in windows, cut where it is quietest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from wattscribe.errors import ModelError
from wattscribe.seq2seq.mel import HOP, Samples
from wattscribe.units import SAMPLE_RATE_HZ


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A window as short as the audio allows: it holds the speech, so much silence behind it, and ends on a multiple of a step."""

    margin_s: float
    step_s: float

    def frames(self, samples: int, whole: int) -> int:
        """Feature frames of 10 ms for so many samples, `whole` at most."""
        step = round(self.step_s * SAMPLE_RATE_HZ)
        padded = -(-(samples + round(self.margin_s * SAMPLE_RATE_HZ)) // step) * step
        return min(whole, padded // HOP)

    @property
    def metadata(self) -> dict[str, str]:
        """What the encoder's file says of it."""
        return {MARGIN_KEY: f"{self.margin_s:g}", STEP_KEY: f"{self.step_s:g}"}


MARGIN_KEY, STEP_KEY = "window_margin_s", "window_step_s"
SHORT = Window(margin_s=5.0, step_s=5.0)
"""What `window=short` means."""
LONGEST_S = 3600.0


def window_of(metadata: Mapping[str, str], where: object = None) -> Window | None:
    """What a directory says of itself; None: whole windows. Raises ModelError for a window that cannot be."""
    if MARGIN_KEY not in metadata and STEP_KEY not in metadata:
        return None
    try:
        margin_s, step_s = float(metadata[MARGIN_KEY]), float(metadata[STEP_KEY])
    except (KeyError, ValueError):
        margin_s, step_s = -1.0, -1.0
    if not (0 <= margin_s <= LONGEST_S and 0.1 <= step_s <= LONGEST_S):
        stated = ", ".join(f"{key}={metadata.get(key)!r}" for key in (MARGIN_KEY, STEP_KEY))
        raise ModelError(f"its metadata say {stated}: no window", where=where, fix="Export or compress it again")
    return Window(margin_s=margin_s, step_s=step_s)


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
