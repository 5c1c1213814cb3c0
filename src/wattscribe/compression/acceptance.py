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

from wattscribe.compression.candidate import Candidate
from wattscribe.compression.measure import Measurer, listen
from wattscribe.compression.sets import cannot_show
from wattscribe.compression.speech import SpeechSet
from wattscribe.errors import ModelError
from wattscribe.recognizers.latency import hear_tokens
from wattscribe.records import Counts
from wattscribe.scoring import FEWEST_SPEAKERS, ErrorCounts, PairedResult, count_errors, paired_bootstrap
from wattscribe.streaming import open_transducer
from wattscribe.streaming.transducer import Transducer
from wattscribe.units import SAMPLE_RATE_HZ

LATENCY_UTTERANCES = 40
"""Drawn from the whole set: several hundred tokens."""
MEMORY_UTTERANCES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """What a listener waits for, in seconds; audio arrives in real time on a simulated clock, computing is processor time.

    None: nothing was said, or the tokens have no times.
    """

    token_delay_mean_s: float | None
    """From the frame that a token was heard in until it was shown; over all tokens of the final texts."""
    token_delay_p90_s: float | None
    first_partial_s: float | None
    """Median over utterances, from the start of the audio."""
    finalisation_s: float
    """Median over utterances, from the end of the audio to the final text."""
    call_s: float | None = None
    """Audio that one call of the encoder takes in."""


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


def accept(
    measurer: Measurer, original: Candidate, result: Candidate, speech: SpeechSet, limit: float, *, seed: int = 0
) -> Acceptance:
    """Decode the whole set with both, utterance by utterance in turn, and compare."""
    with original.directory() as one, result.directory() as other:
        folders = (one, other)
        models = [
            open_transducer(folder, frame_by_frame=each.decoding == "frame-by-frame")
            for folder, each in zip(folders, (original, result), strict=True)
        ]
        passes = _alternate(models, speech)
        latencies = latency(models, speech, seed=seed)
        memory = [
            _peak_memory(folder, speech, frame_by_frame=each.decoding == "frame-by-frame")
            for folder, each in zip(folders, (original, result), strict=True)
        ]
    errors = [count_errors(speech.references, each.texts) for each in passes]
    paired = non_inferiority(errors[0], errors[1], speech, seed=seed)
    unable = cannot_show(float(errors[0].words.sum()), errors[0].wer, limit)
    sides = []
    for candidate, made, wer, peak, waited in zip(
        (original, result), passes, (each.wer or 0.0 for each in errors), memory, latencies, strict=True
    ):
        total = sum(made.counts, Counts())
        power = measurer.energy(candidate, total, speech.audio_s, draws=400).total_w
        sides.append(
            Side(
                energy_mj_per_audio_s=1e3 * power.value,
                energy_ci95_mj=(1e3 * power.ci95[0], 1e3 * power.ci95[1]),
                wer=wer,
                rtf=made.wall_s / speech.audio_s,
                rtf_cpu=made.cpu_s / speech.audio_s,
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
        identical_texts=sum(a == b for a, b in zip(passes[0].texts, passes[1].texts, strict=True)),
    )


def _alternate(models: Sequence[Transducer], speech: SpeechSet) -> list[_Pass]:
    """Each utterance by one model and at once by the other; who goes first changes with every utterance."""
    passes = [_Pass([], []) for _ in models]
    for model in models:
        listen(model, speech.audio[0])
    for number, audio in enumerate(speech.audio):
        order = range(len(models)) if number % 2 == 0 else reversed(range(len(models)))
        for which in order:
            wall, cpu = time.perf_counter(), time.process_time()
            answer = listen(models[which], audio)
            passes[which].wall_s += time.perf_counter() - wall
            passes[which].cpu_s += time.process_time() - cpu
            passes[which].texts.append(answer.text)
            passes[which].counts.append(answer.counts or Counts())
    return passes


def latency(models: Sequence[Transducer], speech: SpeechSet, *, seed: int = 0) -> list[Latency]:
    """Of each model on the same draw of utterances."""
    return [_waited(model, speech.part(LATENCY_UTTERANCES, seed=seed)) for model in models]


def _waited(model: Transducer, speech: SpeechSet) -> Latency:
    watched: Any = model  # what `hear_tokens` asks of a recognizer is its `stream()`
    heard = [hear_tokens(watched, audio, time.process_time) for audio in speech.audio]
    delays_s = [each for _, _, delays in heard for each in delays]
    partials_s = [found.first_partial_s for _, found, _ in heard if found.first_partial_s is not None]
    return Latency(
        token_delay_mean_s=float(np.mean(delays_s)) if delays_s else None,
        token_delay_p90_s=float(np.percentile(delays_s, 90)) if delays_s else None,
        first_partial_s=float(np.median(partials_s)) if partials_s else None,
        finalisation_s=float(np.median([found.finalisation_s for _, found, _ in heard])),
    )


_WORKER = """
import json, sys
import numpy as np
from wattscribe.metering.memory import peak_rss_bytes, reset_peak, rss_bytes
from wattscribe.streaming import open_transducer
import kaldi_native_fbank, onnxruntime
folder, frame_by_frame, samples = sys.argv[1], sys.argv[2] == "1", np.load(sys.argv[3])
reset_peak()
before = rss_bytes()
stream = open_transducer(folder, frame_by_frame=frame_by_frame).stream()
stream.buffer(samples)
stream.finish()
print(json.dumps({"before": before, "peak": peak_rss_bytes()}))
"""


def _peak_memory(folder: Path, speech: SpeechSet, *, frame_by_frame: bool) -> int | None:
    """Peak resident bytes of loading and decoding in a process of its own, above that process before the model."""
    samples = np.concatenate(speech.audio[:MEMORY_UTTERANCES])
    path = folder / "heard.npy"
    np.save(path, samples[: 60 * SAMPLE_RATE_HZ])
    command = [sys.executable, "-c", _WORKER, str(folder), str(int(frame_by_frame)), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        raise ModelError(f"the memory run failed: {done.stderr.strip().splitlines()[-1:]}", where=folder)
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    if found["peak"] is None or found["before"] is None:
        return None
    return max(0, int(found["peak"]) - int(found["before"]))
