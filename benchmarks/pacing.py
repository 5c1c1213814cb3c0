"""What real time costs: a stream fed as it is spoken against the same stream on a simulated clock, at most 0.5 % of a core.

Both run this package's own loop over the same audio with a recognizer that computes nothing, so that what is left is the waiting
itself: ten timers a second and the clock that is read around each piece. `behind_*`: how much later than planned a piece came.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

import numpy as np

from wattscribe.recognizers.base import Audio
from wattscribe.recognizers.latency import hear
from wattscribe.records import PrecisionAudit, Transcript
from wattscribe.runs.pacing import Pace

LIMIT = 0.005
UTTERANCES = 4
UTTERANCE_S = 4.0
DUTY = 0.8
RATE_HZ = 16_000


class Nothing:
    """Takes audio and notes when it came."""

    def __init__(self) -> None:
        self.came_s: list[float] = []

    def stream(self) -> Nothing:
        return self

    def accept(self, samples: Audio) -> None:
        self.came_s.append(time.monotonic())

    def partial(self) -> Transcript:
        return Transcript(text="")

    def finish(self) -> Transcript:
        return Transcript(text="")

    def transcribe(self, batch: Sequence[Audio]) -> list[Transcript]:
        return [Transcript(text="") for _ in batch]

    def audit(self) -> PrecisionAudit:
        raise NotImplementedError

    def close(self) -> None:
        pass


def at_once(audio: list[Audio]) -> float:
    """CPU seconds of the loop without waiting."""
    recognizer, before_s = Nothing(), time.process_time()
    for piece in audio:
        hear(recognizer, piece, time.monotonic)
    return time.process_time() - before_s


def in_real_time(audio: list[Audio]) -> tuple[float, float, list[float]]:
    """CPU and wall seconds, and how late each piece came."""
    recognizer = Nothing()
    pace = Pace([len(piece) / RATE_HZ for piece in audio], DUTY)
    before_s, start_s = time.process_time(), time.monotonic()
    pace.open()
    late_s: list[float] = []
    for index, piece in enumerate(audio):
        pace.await_utterance(index)
        recognizer.came_s.clear()
        *_, paced, _ = pace.transcribe(index, recognizer, piece, streaming=True)
        due_s = [paced.spoken_from_s + 0.1 * (at + 1) for at in range(len(recognizer.came_s))]
        late_s += [came - due for came, due in zip(recognizer.came_s, due_s, strict=True)]
    pace.await_utterance(len(audio))
    return time.process_time() - before_s, time.monotonic() - start_s, late_s


def main() -> int:
    audio = [np.zeros(round(UTTERANCE_S * RATE_HZ), np.float32)] * UTTERANCES
    planned_s = UTTERANCES * UTTERANCE_S / DUTY
    at_once(audio)  # what happens once
    without_s = at_once(audio)
    with_s, wall_s, late_s = in_real_time(audio)
    added = (with_s - without_s) / wall_s
    result = {
        "what": "processor time that waiting for speech adds, as a share of one core, and how late pieces of 0.1 s come",
        "speech_s": UTTERANCES * UTTERANCE_S,
        "duty": DUTY,
        "cpu_added_share_of_one_core": round(added, 6),
        "window_longer_than_planned": round(wall_s / planned_s - 1, 6),
        "behind_p50_s": round(float(np.percentile(late_s, 50)), 6),
        "behind_p99_s": round(float(np.percentile(late_s, 99)), 6),
        "limit": LIMIT,
        "within": added <= LIMIT and wall_s / planned_s - 1 <= LIMIT,
    }
    print(json.dumps(result, indent=1))
    return 0 if result["within"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
