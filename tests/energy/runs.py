"""A run on disk, as the bench writes it, of transducers on a simulated device with known constants."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tests.energy.builders import component, workload
from wattscribe.energy.calibrate import observe
from wattscribe.journal import Journal
from wattscribe.records import (
    Condition,
    Counts,
    PowerTrace,
    RecognizerSpec,
    Trial,
    TrialFacts,
    UtteranceResult,
    Window,
)

MODELS = {"tiny": 2e5, "small": 9e5, "base": 2.5e6, "large": 6e6}
COUNTS = Counts(encoder_calls=3000, encoder_rows=3000, joiner_calls=9000, joiner_rows=20_000, frames=9000, tokens=900)


def write_run(path: Path, truth: Mapping[str, float]) -> Path:
    """Four models × two precisions and one recognizer without counts; the energies follow from `truth` and 1 % of noise."""
    generator = np.random.default_rng(3)
    plans = [(model, precision) for model in MODELS for precision in ("fp32", "int8")]
    trials = [_trial(f"onnx-{model}-{precision}", "onnx", model, precision) for model, precision in plans]
    trials.append(_trial("fake", "fake", "words", "fp32"))
    journal = Journal.create(
        path,
        name=path.name,
        created="2026-01-01T00:00:00Z",
        seed=0,
        machine={},
        experiment={},
        meters={},
        trials=trials,
    )
    with journal:
        for index, trial in enumerate(trials):
            _record(journal, trial, 1000.0 * index, truth, generator)
    return path


def _trial(name: str, runtime: str, model: str, precision: str) -> Trial:
    spec = RecognizerSpec(runtime=runtime, model=model, precision=precision)
    return Trial(id=name, recognizer=spec, corpus="made-up", condition=Condition())


def _record(
    journal: Journal, trial: Trial, start_s: float, truth: Mapping[str, float], generator: np.random.Generator
) -> None:
    counted = trial.recognizer.runtime == "onnx"
    dtype, wide = ("float32", 4) if trial.recognizer.precision == "fp32" else ("int8", 1)
    size = MODELS.get(trial.recognizer.model, 1e6)
    macs = float(generator.uniform(0.5, 4.0)) * 2e8
    made = workload(
        component("encoder", [round(size * wide)], macs=macs, dtype=dtype),
        component("joiner", [10_000 * wide], dtype=dtype),
    )
    window = Window(start_s=start_s + 10, end_s=start_s + 10 + float(generator.uniform(40, 70)))
    seen = observe(made, COUNTS, precision="", window_s=window.duration_s, energy_j=1.0, sd_j=1.0)
    dynamic_w = (truth["memory"] * seen.memory_bytes + truth[dtype] * seen.macs[dtype]) / window.duration_s
    times = np.arange(start_s, window.end_s + 10, 0.05)
    busy = (times >= window.start_s) & (times < window.end_s)
    power = (truth["idle"] + dynamic_w * busy) * (1 + generator.normal(0, 0.01, len(times)))
    trace = PowerTrace(
        channel="sim",
        covers="simulated device",
        total=True,
        update_interval_s=0.05,
        evidence="measured",
        t_s=tuple(times.tolist()),
        power_w=tuple(power.tolist()),
    )
    heard = UtteranceResult(
        id="u1", speaker="s", reference="a", hypothesis="a", audio_s=900.0, start_s=window.start_s, end_s=window.end_s,
        counts=COUNTS if counted else None,
    )  # fmt: skip
    facts = TrialFacts(
        trial=trial, status="done", window=window, workload=made.to_json() if counted else None, cpu_s=window.duration_s
    )
    attempt = journal.begin(trial.id)
    journal.append(trial.id, attempt, utterances=[heard], traces=[trace])
    journal.finish(attempt, facts)
