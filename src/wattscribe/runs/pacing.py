"""Speech in real time: each utterance arrives as it is spoken, one after another, with pauses between them.

The schedule is fixed when the window opens and nobody waits for the recognizer: one that is slower than speech falls behind, as
it would beside a microphone. A streaming recognizer is given each piece when its last sample has been spoken, any other the
whole utterance at its end. In the pauses nothing is given, as behind a voice gate (decision 051).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from wattscribe.errors import RecognizerError
from wattscribe.recognizers.base import Audio, Recognizer, StreamingRecognizer
from wattscribe.recognizers.latency import PIECE_S, hear
from wattscribe.records import Paced, StreamingLatency, Transcript
from wattscribe.units import SAMPLE_RATE_HZ


@dataclass(slots=True)
class Pace:
    """When each utterance of a trial is spoken. `now_s` and `sleep` are the monotonic clock, or a test's."""

    lengths_s: Sequence[float]
    duty: float
    now_s: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _starts_s: list[float] = field(default_factory=list)

    def open(self) -> None:
        """The first utterance begins now."""
        at_s = self.now_s()
        for length_s in self.lengths_s:
            self._starts_s.append(at_s)
            at_s += length_s / self.duty
        self._starts_s.append(at_s)

    def await_utterance(self, index: int) -> None:
        """Wait until it begins; past the last one, until its pause is over."""
        self._until(self._starts_s[index])

    def transcribe(
        self, index: int, recognizer: Recognizer, audio: Audio, *, streaming: bool
    ) -> tuple[Transcript, StreamingLatency | None, Paced, float]:
        """Give it to the recognizer as it arrives. The last value is when the recognizer was first given audio."""
        from_s = self._starts_s[index]
        to_s = from_s + len(audio) / SAMPLE_RATE_HZ
        latency: StreamingLatency | None = None
        waited_s = 0.0
        if streaming and isinstance(recognizer, StreamingRecognizer):

            def arrives(spoken_s: float) -> float:
                nonlocal waited_s
                before_s = self.now_s()
                now_s = self._until(from_s + spoken_s)
                waited_s += now_s - before_s
                return now_s - from_s

            self._until(from_s + min(PIECE_S, to_s - from_s))
            start_s = self.now_s()
            transcript, latency = hear(recognizer, audio, self.now_s, PIECE_S, arrives)
        else:
            start_s = self._until(to_s)
            answers = recognizer.transcribe([audio])
            if len(answers) != 1:
                raise RecognizerError(f"the recognizer gave {len(answers)} answers to 1 utterance")
            transcript = answers[0]
        compute_s = self.now_s() - start_s - waited_s
        paced = Paced(spoken_from_s=from_s, spoken_to_s=to_s, compute_s=compute_s)
        return transcript, latency, paced, start_s

    def _until(self, at_s: float) -> float:
        """Wait for this moment; what the time then is."""
        while (left_s := at_s - self.now_s()) > 0:
            self.sleep(left_s)
        return self.now_s()
