"""What a candidate costs and how well it recognizes: real decode → text, counts, seconds; counts × workload → modelled energy."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wattscribe import records
from wattscribe.compression.answers import Answers
from wattscribe.compression.candidate import Candidate
from wattscribe.compression.memo import Memo
from wattscribe.compression.opened import OpenedModel, transcribe_stream
from wattscribe.compression.speech import SpeechSet
from wattscribe.energy.breakdown import Breakdown, analyse
from wattscribe.energy.devices import Device
from wattscribe.energy.options import Decoding
from wattscribe.energy.placement import Placement, reserved_bytes
from wattscribe.energy.rates import counted
from wattscribe.energy.workload import Workload
from wattscribe.records import Counts
from wattscribe.scoring import ErrorCounts, count_errors
from wattscribe.text_files import parse_json, read_bytes
from wattscribe.units import SAMPLE_RATE_HZ


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """The text of a set, what it took to get there, utterance by utterance."""

    texts: tuple[str, ...]
    counts: tuple[Counts, ...]
    audio_s: float
    wall_s: float
    cpu_s: float

    @property
    def total(self) -> Counts:
        return sum(self.counts, Counts())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measurement:
    """A candidate on one set. `rtf` is processor time over audio time: other processes of the machine do not change it."""

    energy_mj_per_audio_s: float
    energy_ci95_mj: tuple[float, float]
    errors: ErrorCounts
    decoded: Decoded
    size_bytes: int
    breakdown: Breakdown

    @property
    def wer(self) -> float:
        return float(self.errors.wer or 0.0)

    @property
    def rtf(self) -> float:
        return self.decoded.cpu_s / self.decoded.audio_s


def nothing() -> None:
    """What is done between two utterances where nobody waits."""


class Measurer:
    """Decodes and models; every decode is remembered by the candidate's digest, on disk too where `cache` is a folder."""

    def __init__(
        self,
        device: Device,
        *,
        cache: Path | None = None,
        memo: Memo | None = None,
        check: Callable[[], None] = nothing,
    ) -> None:
        self.device, self._cache, self._memo, self._check = device, cache, Memo() if memo is None else memo, check
        self._decoded: dict[str, Decoded] = {}
        self._answers = Answers()
        self._workloads: dict[str, Workload] = {}

    def decode(self, candidate: Candidate, speech: SpeechSet, decoding: Decoding | None = None) -> Decoded:
        """The candidate's text and counts on a set."""
        how = decoding or candidate.decoding
        key = f"{candidate.digest}-{how}-live-{speech.digest}"
        if key not in self._decoded:
            self._check()
            stored = self._read(key)
            if stored is None:
                memo = self._memo if self._cache is None else Memo()
                stored = memo.recall(
                    "text", key, lambda: self._decode(candidate, speech, how), to=records.to_json,
                    of=lambda row: records.from_json(Decoded, row),
                )  # fmt: skip
                self._write(key, stored)
            self._decoded[key] = stored
        return self._decoded[key]

    def _decode(self, candidate: Candidate, speech: SpeechSet, how: Decoding) -> Decoded:
        with candidate.directory() as folder:
            model = candidate.open(folder, how, self._answers)
            return decode(model, speech, check=self._check, answers=self._answers)

    def workload(self, candidate: Candidate, counts: Sequence[Counts] = ()) -> Workload:
        """Counted from the graphs, once per version: of utterances of these counts, where that makes a difference."""
        key = candidate.workload_key(counts)
        if key not in self._workloads:
            self._workloads[key] = candidate.workload(counts)
        return self._workloads[key]

    def energy(self, candidate: Candidate, counts: Sequence[Counts], audio_s: float, *, draws: int = 0) -> Breakdown:
        """Modelled power at these counts; watts of real-time decoding are joules per second of audio."""
        workload = self.workload(candidate, counts)
        rates = counted(workload, sum(counts, Counts()), audio_s, decoding=candidate.decoding)
        placement = nothing_placed(workload, self.device) if candidate.placement is None else None
        return analyse(
            workload, rates, self.device, unit=candidate.placement or "component", placement=placement, draws=draws
        )

    def energy_mj(self, candidate: Candidate, counts: Sequence[Counts], audio_s: float) -> float:
        """Millijoules per second of audio."""
        return 1e3 * self.energy(candidate, counts, audio_s).total_w.value

    def measure(self, candidate: Candidate, speech: SpeechSet) -> Measurement:
        """Everything about a candidate on a labelled set."""
        decoded = self.decode(candidate, speech)
        breakdown = self.energy(candidate, decoded.counts, decoded.audio_s, draws=200)
        low, high = breakdown.total_w.ci95
        return Measurement(
            energy_mj_per_audio_s=1e3 * breakdown.total_w.value,
            energy_ci95_mj=(1e3 * low, 1e3 * high),
            errors=count_errors(speech.references, decoded.texts),
            decoded=decoded,
            size_bytes=candidate.size_bytes,
            breakdown=breakdown,
        )

    def _read(self, key: str) -> Decoded | None:
        """None also for what is damaged: it is decoded anew."""
        if self._cache is None or not (self._cache / f"{key}.json").is_file():
            return None
        try:
            data = parse_json(read_bytes(self._cache / f"{key}.json"))
            return records.from_json(Decoded, data, strict=True)
        except (OSError, ValueError, TypeError):
            return None

    def _write(self, key: str, decoded: Decoded) -> None:
        if self._cache is None:
            return
        self._cache.mkdir(parents=True, exist_ok=True)
        part = self._cache / f"{key}.json.part"
        part.write_text(json.dumps(records.to_json(decoded)), encoding="utf-8")
        part.replace(self._cache / f"{key}.json")


def decode(
    model: OpenedModel, speech: SpeechSet, *, check: Callable[[], None] = nothing, answers: Answers | None = None
) -> Decoded:
    """One pass over a set, one thread, greedy, as it would come from a microphone: call after call. `check` may end it. What the
    model recalls of `answers` counts with the seconds that it took."""
    recalled = Answers() if answers is None else answers
    model.transcribe(speech.audio[0])  # warm up
    wall, cpu = time.perf_counter() + recalled.saved_wall_s, time.process_time() + recalled.saved_cpu_s
    transcripts = []
    for audio in speech.audio:
        check()
        transcripts.append(model.transcribe(audio))
    return Decoded(
        texts=tuple(transcript.text for transcript in transcripts),
        counts=tuple(transcript.counts or Counts() for transcript in transcripts),
        audio_s=sum(len(samples) for samples in speech.audio) / SAMPLE_RATE_HZ,
        wall_s=time.perf_counter() + recalled.saved_wall_s - wall,
        cpu_s=time.process_time() + recalled.saved_cpu_s - cpu,
    )


def nothing_placed(workload: Workload, device: Device) -> Placement | None:
    """All weights in the far memory: a runtime that does not choose. None where the device has one memory only."""
    if len(device.tiers) == 1:
        return None
    return Placement(
        unit="component",
        capacity_bytes=device.local.capacity_bytes,
        reserved_bytes=reserved_bytes(workload),
        local=(),
        local_bytes=0,
        saved_w=0.0,
        greedy_saved_w=0.0,
        bound_saved_w=0.0,
    )


def facts(measurement: Measurement) -> dict[str, Any]:
    """What a recipe or a result keeps of a measurement."""
    return {
        "energy_mj_per_audio_s": measurement.energy_mj_per_audio_s,
        "wer": measurement.wer,
        "rtf": measurement.rtf,
        "size_bytes": measurement.size_bytes,
    }


def texts_equal(one: Sequence[str], other: Sequence[str]) -> int:
    """How many of the texts are the same, letter by letter."""
    return sum(a == b for a, b in zip(one, other, strict=True))


__all__ = [
    "Decoded", "Measurement", "Measurer", "decode", "facts", "nothing_placed", "texts_equal", "transcribe_stream",
]  # fmt: skip
