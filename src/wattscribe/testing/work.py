"""What the work of a trial costs on a board whose constants are known: counted in a decode before the trial."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from wattscribe.errors import WattscribeError
from wattscribe.records import Counts, RecognizerSpec, Rejected, Trial
from wattscribe.runs.part import in_part
from wattscribe.units import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Joules above idle of one recognizer."""

    j_per_audio_s: float
    j_per_cpu_s: float
    """The same, as the decode that counted it went: a first guess of how the joules spread over its processor time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Constants:
    """What a board's work costs above idle."""

    memory_j_per_byte: float = 400e-12
    mac_j: Mapping[str, float] = field(
        default_factory=lambda: {"float32": 80e-12, "float16": 60e-12, "bfloat16": 60e-12, "int8": 30e-12}
    )


def costs_of(trials: Sequence[Trial], constants: Constants) -> dict[str, Cost]:
    """By the trial's id; exported transducers only, and of these only what can be opened: the bench says why one cannot."""
    costs: dict[str, Cost] = {}
    counted: list[tuple[Trial, Cost]] = []
    for trial in trials:
        if trial.recognizer.runtime != "onnx":
            continue
        cost = next(
            (cost for other, cost in counted if replace(other, id=trial.id, repeat=trial.repeat) == trial), None
        )
        if cost is None:
            try:
                cost = _cost(trial, constants)
            except WattscribeError:
                continue
            counted.append((trial, cost))
        costs[trial.id] = cost
    return costs


def _cost(trial: Trial, constants: Constants) -> Cost:
    from wattscribe.recognizers import prepare
    from wattscribe.recognizers.latency import hear
    from wattscribe.recognizers.onnx import OnnxRecognizer

    speech = _speech(trial)
    audio_s = sum(len(piece) for piece in speech) / SAMPLE_RATE_HZ
    files_s = 0.0 if trial.streams else audio_s
    prepare(trial.recognizer, files_s)  # as the bench does, so that the same graphs run
    counts = Counts()
    with closing(OnnxRecognizer(trial.recognizer)) as recognizer:
        recognizer.settle(files_s)
        hear_live = partial(hear, recognizer, now_s=time.monotonic)
        before_s = time.process_time()
        for audio in speech:
            transcript = hear_live(audio)[0] if trial.streams else recognizer.transcribe([audio])[0]
            counts += transcript.counts or Counts()
        cpu_s = time.process_time() - before_s
    joules = joules_of(trial.recognizer, counts, constants)
    return Cost(j_per_audio_s=joules / audio_s, j_per_cpu_s=joules / max(cpu_s, 1e-9))


def joules_of(spec: RecognizerSpec, counts: Counts, constants: Constants) -> float:
    """Counted work times constants, above idle. The work is counted as `wattscribe calibrate` counts it."""
    from wattscribe.energy.calibrate import observe
    from wattscribe.energy.files import of_directory

    workload = of_directory(Path(spec.model).expanduser(), precision=spec.precision)
    work = observe(workload, counts, precision=spec.precision, window_s=1.0, energy_j=1.0, sd_j=1.0)
    mac_j = constants.mac_j
    return constants.memory_j_per_byte * work.memory_bytes + sum(
        mac_j.get(dtype, mac_j["float32"]) * count for dtype, count in work.macs.items()
    )


def _speech(trial: Trial) -> list[NDArray[np.float32]]:
    """What the trial transcribes, without its noise: that changes a few tokens, not the frames."""
    from wattscribe.corpora import open_corpus

    corpus = open_corpus(trial.corpus)
    usable = (utterance for _, utterance in in_part(corpus, trial) if not isinstance(utterance, Rejected))
    speech: list[NDArray[np.float32]] = []
    for utterance in usable:
        if trial.limit is not None and len(speech) >= trial.limit:
            break
        speech.append(corpus.audio(utterance))
    return speech
