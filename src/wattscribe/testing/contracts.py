"""What every recognizer and every meter promises, as checks: ours are tested by them, and so can yours be.

    from wattscribe.testing.contracts import MeterContract, RecognizerContract
    RecognizerContract(lambda: MyRecognizer(spec)).check()
    MeterContract(MyMeter).check()

Each promise is a method and can be asked for by itself, as a case of a parametrized test. A broken one is a BrokenPromiseError,
which test runners show as a failed assertion.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from wattscribe.metering.base import Meter
from wattscribe.recognizers.base import Audio, Recognizer, StreamingRecognizer
from wattscribe.records import PrecisionAudit, Transcript, from_json, to_json
from wattscribe.units import SAMPLE_RATE_HZ


class BrokenPromiseError(AssertionError):
    """What was promised, and what came instead."""


def promised(holds: bool, what: str) -> None:
    """Raises BrokenPromiseError unless it holds."""
    if not holds:
        raise BrokenPromiseError(what)


def babble(duration_s: float, seed: int) -> Audio:
    """A buzz whose pitch, formant and loudness wander: changes over time as speech does, and is the same everywhere."""
    draw = np.random.default_rng(seed)
    t_s = np.arange(round(duration_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    knots_s = np.arange(0, duration_s + 0.2, 0.1)

    def wander(low: float, high: float) -> NDArray[np.float64]:
        return np.interp(t_s, knots_s, draw.uniform(low, high, len(knots_s)))

    pitch_hz, formant_hz, level = wander(90, 250), wander(300, 3000), wander(0, 0.3)
    cycles, formant_cycles = np.cumsum(pitch_hz) / SAMPLE_RATE_HZ, np.cumsum(formant_hz) / SAMPLE_RATE_HZ
    buzz = np.sign(np.sin(2 * np.pi * cycles)) * np.sin(2 * np.pi * formant_cycles)
    return np.asarray(level * buzz + draw.normal(0, 0.003, len(t_s)), dtype=np.float32)


class RecognizerContract:
    """`open_it` makes a fresh, loaded recognizer; `clips` are two pieces of audio of 16 kHz, other lengths than each other's."""

    def __init__(self, open_it: Callable[[], Recognizer], clips: Sequence[Audio] | None = None) -> None:
        self.open = open_it
        self.clips = list(clips) if clips is not None else [babble(0.9, 1), babble(0.7, 2)]

    def check(self) -> None:
        """Every promise in turn; closes what it opened."""
        try:
            for name in self.PROMISES:
                getattr(self, name)()
        finally:
            self.recognizer.close()

    @cached_property
    def recognizer(self) -> Recognizer:
        return self.open()

    @cached_property
    def alone(self) -> list[Transcript]:
        """The answer to each clip by itself."""
        return [self._one(clip) for clip in self.clips]

    def order_and_count_are_kept_and_many_equal_one_by_one(self) -> None:
        transcripts = self.recognizer.transcribe(self.clips[::-1])
        promised(transcripts == self.alone[::-1], f"a batch gives {transcripts}, one by one {self.alone[::-1]}")

    def a_fresh_one_gives_the_same_text(self) -> None:
        fresh = self.open()
        transcripts = fresh.transcribe(self.clips[:1])
        fresh.close()
        promised(
            transcripts == self.alone[:1], f"a fresh recognizer gives {transcripts}, the first one {self.alone[:1]}"
        )

    def an_empty_batch_is_answered_with_nothing(self) -> None:
        promised(self.recognizer.transcribe([]) == [], "an empty batch has an answer")

    def short_and_silent_audio_is_answered(self) -> None:
        for samples in (0, 1, 160, 400, 4000):
            for audio in (np.zeros(samples, np.float32), babble(0.5, 3)[:samples]):
                text = self._one(audio).text
                promised(text == text.strip(), f"the text of {samples} samples has spaces around it: {text!r}")

    def the_audit_is_well_formed_and_travels(self) -> None:
        self.recognizer.transcribe(self.clips[:1])
        audit = self.recognizer.audit()
        promised(audit.ok or bool(audit.reason), "an audit that is not ok gives no reason")
        promised(all(count > 0 for count in audit.weight_bytes.values()), f"no bytes of a type: {audit.weight_bytes}")
        promised(from_json(PrecisionAudit, to_json(audit)) == audit, "the audit is another one after JSON")
        promised(self.recognizer.audit() == audit, "a second audit says something else")
        with closing(self.open()) as fresh:
            promised(fresh.audit() == audit, "before its first utterance it audits something else than after")

    def pieces_of_a_stream_give_the_whole_text(self) -> None:
        """Of a recognizer that streams."""
        if not isinstance(self.recognizer, StreamingRecognizer):
            return
        stream, clip = self.recognizer.stream(), self.clips[0]
        stream.accept(np.zeros(0, np.float32))
        promised(stream.partial().text == "", "a stream that heard nothing has text")
        for start in range(0, len(clip), 2345):
            stream.accept(clip[start : start + 2345])
        text = stream.finish().text
        promised(text == self.alone[0].text, f"a stream gives {text!r}, the whole {self.alone[0].text!r}")

    def closing_twice_is_closing_once(self) -> None:
        fresh = self.open()
        fresh.close()
        fresh.close()

    PROMISES = (
        "order_and_count_are_kept_and_many_equal_one_by_one",
        "a_fresh_one_gives_the_same_text",
        "an_empty_batch_is_answered_with_nothing",
        "short_and_silent_audio_is_answered",
        "the_audit_is_well_formed_and_travels",
        "pieces_of_a_stream_give_the_whole_text",
        "closing_twice_is_closing_once",
    )

    def _one(self, audio: Audio) -> Transcript:
        transcripts = self.recognizer.transcribe([audio])
        promised(
            len(transcripts) == 1 and isinstance(transcripts[0].text, str), f"one piece of audio gives {transcripts!r}"
        )
        return transcripts[0]


class MeterContract:
    """`open_it` makes a meter that can be read now."""

    def __init__(self, open_it: Callable[[], Meter]) -> None:
        self.open = open_it

    def check(self) -> None:
        """Raises BrokenPromiseError for the first promise that does not hold; closes the meter."""
        meter = self.open()
        try:
            self._check(meter)
        finally:
            meter.close()
            meter.close()  # closing twice is closing once

    def _check(self, meter: Meter) -> None:
        channels = meter.channels()
        names = [channel.name for channel in channels]
        promised(bool(meter.name) and bool(names), "a meter has a name and at least one channel")
        promised(len(set(names)) == len(names), f"two channels share a name: {names}")
        for channel in channels:
            promised(channel.kind in ("power", "energy"), f"{channel.name} is of kind {channel.kind!r}")
            promised(channel.update_interval_s > 0, f"{channel.name} has no update interval")
            promised(bool(channel.covers), f"{channel.name} does not say what it covers")
            promised(channel.resolution is None or channel.resolution > 0, f"{channel.name} has a step of 0")
        totals = [channel.processors for channel in channels if channel.total]
        twice = [
            feeds for feeds in totals if totals.count(feeds) > 1 and feeds != ("gpu",)
        ]  # GPUs are beside each other
        promised(
            not twice,
            f"{len(twice)} channels stand for the same: {twice[0] if twice and twice[0] else 'the whole device'}",
        )
        first, second = meter.read(), meter.read()
        promised(len(first) == len(second) == len(channels), "a reading has another number of values than of channels")
        for channel, before, after in zip(channels, first, second, strict=True):
            promised(before is None or isinstance(before, float), f"{channel.name} shows {before!r}, not W or J")
            if channel.kind == "energy" and before is not None and after is not None:
                promised(after >= before, f"the counter {channel.name} fell from {before} to {after} J")
        promised([channel.name for channel in meter.channels()] == names, "the channels change from look to look")
