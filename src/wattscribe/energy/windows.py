"""Windows as long as they were heard: what an encoder–decoder is counted at where its runtime takes shorter ones."""

from __future__ import annotations

from pathlib import Path

from wattscribe.energy.files import of_directory
from wattscribe.energy.workload import Workload

_WHOLE = 0.99
"""From this part of it on, a window counts as a whole one."""


def heard_s(workload: Workload, frames: float, windows: float) -> float | None:
    """Seconds that a window held on average, given encoder frames and windows of a decode, or both per second; None: whole."""
    if not (workload.windows and windows and frames and workload.frames_per_segment and workload.segment_s):
        return None
    part = frames / windows / workload.frames_per_segment
    return part * workload.segment_s if part < _WHOLE else None


def as_heard(directory: Path, precision: str | None, frames: float, windows: float) -> Workload:
    """An exported model, counted at the windows of a decode. Raises as `of_directory`."""
    whole = of_directory(directory, precision=precision)
    window_s = heard_s(whole, frames, windows)
    return whole if window_s is None else of_directory(directory, precision=precision, segment_s=window_s)
