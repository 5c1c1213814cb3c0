"""Is the result as good as the original? Paired over the same utterances, alternated in one run."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from wattscribe.compression import sets
from wattscribe.compression.candidate import Candidate
from wattscribe.compression.opened import Latency, OpenedModel
from wattscribe.compression.sets import cannot_show
from wattscribe.compression.speech import SpeechSet
from wattscribe.compression.workbench import Workbench
from wattscribe.errors import ModelError
from wattscribe.records import Counts
from wattscribe.scoring import FEWEST_SPEAKERS, ErrorCounts, PairedResult, count_errors, paired_bootstrap
from wattscribe.units import SAMPLE_RATE_HZ

LATENCY_UTTERANCES = 40
"""Drawn from the whole set: several hundred tokens."""
MEMORY_UTTERANCES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """The original or the result on one set."""

    energy_mj_per_audio_s: float
    energy_ci95_mj: tuple[float, float]
    wer: float
    rtf: float
    """Wall time over audio time, one thread."""
    rtf_cpu: float
    """Processor time over audio time: what other programs of the machine do not change."""
    size_bytes: int
    peak_memory_bytes: int | None
    latency: Latency
    counts: Counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One corpus of a set, from the same decodes."""

    on: str
    utterances: int
    words: int
    limit: float
    energy_before_mj_per_audio_s: float
    energy_after_mj_per_audio_s: float
    wer_before: float
    wer_after: float
    wer_increase: float
    wer_increase_upper95: float
    non_inferior: bool | None
    """None: so few words cannot show it."""
    cannot_show: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """Original against result; differences are result − original."""

    on: str
    utterances: int
    audio_s: float
    before: Side
    after: Side
    wer_increase: float
    wer_increase_ci95: tuple[float, float]
    wer_increase_upper95: float
    """One-sided."""
    non_inferior: bool | None
    """None: this speech cannot show it, whatever the result is like."""
    limit: float
    method: str
    identical_texts: int
    cannot_show: str | None = None
    """Why, and what speech could."""
    parts: tuple[Part, ...] = ()
    """Each corpus by itself, where it is held to the limit so."""

    @property
    def energy_reduction(self) -> float:
        """Part of the energy that is saved."""
        before = self.before.energy_mj_per_audio_s
        return 1 - self.after.energy_mj_per_audio_s / before if before else 0.0


@dataclass(slots=True)
class _Pass:
    texts: list[str]
    counts: list[Counts]
    wall_s: float = 0.0
    cpu_s: float = 0.0


def non_inferiority(first: ErrorCounts, second: ErrorCounts, speech: SpeechSet, *, seed: int) -> PairedResult:
    """The second model's WER against the first's: speakers drawn whole, where there are enough to speak for others."""
    return paired_bootstrap(first, second, speech.speakers, fewest_speakers=FEWEST_SPEAKERS, resamples=4000, seed=seed)


def accept(bench: Workbench, original: Candidate, result: Candidate, speech: SpeechSet, *, seed: int = 0) -> Acceptance:
    """Decode the whole set with both, utterance by utterance in turn, and compare."""
    measurer, limit = bench.measurer, sets.limit_of(bench, speech)
    with original.directory() as one, result.directory() as other:
        both = tuple(zip((one, other), (original, result), strict=True))
        models = [candidate.open(folder, candidate.decoding) for folder, candidate in both]
        passes = _alternate(models, speech)
        latencies = latency(models, speech, seed=seed)
        del models
        memory = [_peak_memory(folder, speech, candidate) for folder, candidate in both]
    errors = [count_errors(speech.references, run.texts) for run in passes]
    paired = non_inferiority(errors[0], errors[1], speech, seed=seed)
    parts = []
    for name, rows in sets.apart(bench, speech).items():
        counts = [[run.counts[row] for row in rows] for run in passes]
        own = bench.limits.get(name, bench.limit)
        both_errors = [sets.part_of(model_errors, rows) for model_errors in errors]
        spent = [
            measurer.energy_mj(*pair, speech.of(rows, name).audio_s)
            for pair in zip((original, result), counts, strict=True)
        ]
        parts.append(_part(name, speech.of(rows, name), both_errors, spent, own, seed))
    unable = cannot_show(float(errors[0].words.sum()), errors[0].wer, limit)
    sides = []
    for candidate, run, wer, peak, waited in zip(
        (original, result), passes, (model_errors.wer or 0.0 for model_errors in errors), memory, latencies, strict=True
    ):
        total = sum(run.counts, Counts())
        power = measurer.energy(candidate, run.counts, speech.audio_s, draws=400).total_w
        sides.append(
            Side(
                energy_mj_per_audio_s=1e3 * power.value,
                energy_ci95_mj=(1e3 * power.ci95[0], 1e3 * power.ci95[1]),
                wer=wer,
                rtf=run.wall_s / speech.audio_s,
                rtf_cpu=run.cpu_s / speech.audio_s,
                size_bytes=candidate.size_bytes,
                peak_memory_bytes=peak,
                latency=replace(waited, call_s=measurer.workload(candidate).segment_s),
                counts=total,
            )
        )
    return Acceptance(
        on=speech.name,
        utterances=len(speech),
        audio_s=speech.audio_s,
        before=sides[0],
        after=sides[1],
        wer_increase=paired.difference,
        wer_increase_ci95=paired.ci95,
        wer_increase_upper95=paired.upper95,
        non_inferior=None if unable else paired.upper95 <= limit,
        cannot_show=unable,
        limit=limit,
        method=paired.method,
        parts=tuple(parts),
        identical_texts=sum(a == b for a, b in zip(passes[0].texts, passes[1].texts, strict=True)),
    )


def _part(
    name: str, speech: SpeechSet, errors: Sequence[ErrorCounts], spent_mj: Sequence[float], limit: float, seed: int
) -> Part:
    before, after = errors
    paired = non_inferiority(before, after, speech, seed=seed)
    unable = cannot_show(float(before.words.sum()), before.wer, limit)
    return Part(
        on=Path(name).name, utterances=len(speech), words=round(before.words.sum()), limit=limit,
        energy_before_mj_per_audio_s=spent_mj[0], energy_after_mj_per_audio_s=spent_mj[1],
        wer_before=before.wer or 0.0, wer_after=after.wer or 0.0, wer_increase=paired.difference,
        wer_increase_upper95=paired.upper95, non_inferior=None if unable else paired.upper95 <= limit, cannot_show=unable,
    )  # fmt: skip


def _alternate(models: Sequence[OpenedModel], speech: SpeechSet) -> list[_Pass]:
    """Each utterance by one model and at once by the other; who goes first changes with every utterance."""
    passes = [_Pass([], []) for _ in models]
    for model in models:
        model.transcribe(speech.audio[0])
    for number, audio in enumerate(speech.audio):
        order = range(len(models)) if number % 2 == 0 else reversed(range(len(models)))
        for which in order:
            wall, cpu = time.perf_counter(), time.process_time()
            answer = models[which].transcribe(audio)
            passes[which].wall_s += time.perf_counter() - wall
            passes[which].cpu_s += time.process_time() - cpu
            passes[which].texts.append(answer.text)
            passes[which].counts.append(answer.counts or Counts())
    return passes


def latency(models: Sequence[OpenedModel], speech: SpeechSet, *, seed: int = 0) -> list[Latency]:
    """Of each model on the same draw of utterances."""
    return [model.waited(speech.part(LATENCY_UTTERANCES, seed=seed)) for model in models]


_WORKER = """
import json, sys
import numpy as np
from wattscribe.metering.memory import peak_rss_bytes, reset_peak, rss_bytes
folder, frame_by_frame, samples = sys.argv[1], sys.argv[2] == "1", np.load(sys.argv[3])
reset_peak()
before = rss_bytes()
transcribe(folder, frame_by_frame, samples)
print(json.dumps({"before": before, "peak": peak_rss_bytes()}))
"""


def _peak_memory(folder: Path, speech: SpeechSet, candidate: Candidate) -> int | None:
    """Peak resident bytes of loading and decoding in a process of its own, above that process before the model."""
    samples = np.concatenate(speech.audio[:MEMORY_UTTERANCES])
    path = folder / "samples.npy"
    np.save(path, samples[: 60 * SAMPLE_RATE_HZ])
    frame_by_frame = str(int(candidate.decoding == "frame-by-frame"))
    command = [sys.executable, "-c", candidate.MEMORY_RUN + _WORKER, str(folder), frame_by_frame, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        raise ModelError(f"the memory run failed: {done.stderr.strip().splitlines()[-1:]}", where=folder)
    resident: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    if resident["peak"] is None or resident["before"] is None:
        return None
    return max(0, int(resident["peak"]) - int(resident["before"]))
