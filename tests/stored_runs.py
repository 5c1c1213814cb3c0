"""Runs made from nothing: facts with known errors, times and power, so that views can be tested without a bench."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wattscribe.journal import Journal
from wattscribe.records import (
    Condition,
    PowerTrace,
    PrecisionAudit,
    RecognizerSpec,
    Rejected,
    RunFacts,
    Trial,
    TrialFacts,
    UtteranceResult,
    Window,
)

VOCABULARY = (
    "the of and to in that was his with for had not but from which were all they been when there him her would one "
    "more so no out up into them time some could upon what men about very then old little over now after our down "
    "made before must through being long where much should well way people good own such even day may first never"
)
WORDS = VOCABULARY.split()

CLEAN = Condition()
NOISY = tuple(Condition(noise="rain", snr_db=float(snr)) for snr in (20, 10, 5, 0))
BYTES_PER_WEIGHT = {"fp32": 4.0, "fp16": 2.0, "bf16": 2.0, "int8": 1.0}
COST = {"fp32": 1.0, "fp16": 0.5, "bf16": 0.55, "int8": 0.48}
"""Time and energy against fp32: the Jetson study's pattern, halved by fp16 and hardly less with int8."""
DTYPE = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16", "int8": "int8"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A made-up recognizer: how often it errs, how long it takes, what it draws."""

    name: str
    parameters: int
    word_errors: float
    """Share of words wrong on clean speech."""
    noise_errors: float
    """Share of words wrong that 0 dB of noise adds."""
    rtf: float
    """At fp32."""
    power_w: float
    """Above idle, at fp32."""
    runtime: str = "fake"
    ran_as_asked: bool = True


MODELS = (
    Model(name="tiny", parameters=39_000_000, word_errors=0.09, noise_errors=0.40, rtf=0.05, power_w=3.0),
    Model(name="base", parameters=74_000_000, word_errors=0.07, noise_errors=0.30, rtf=0.09, power_w=4.0),
    Model(name="small", parameters=244_000_000, word_errors=0.05, noise_errors=0.20, rtf=0.2, power_w=5.5),
    Model(name="medium", parameters=769_000_000, word_errors=0.04, noise_errors=0.15, rtf=0.4, power_w=7.0),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How large a made-up run is and what its sensor is like."""

    utterances: int = 24
    speakers: int = 6
    utterance_s: float = 5.0
    words: int = 12
    repeats: int = 1
    corpus: str = "bundled"
    idle_w: float = 2.0
    idle_s: float = 5.0
    sensor_hz: float = 10.0
    measured: bool = True
    """False: no trace, as on a machine without a readable sensor."""
    seed: int = 0
    rejected: tuple[Rejected, ...] = field(default=())


def made_up_run(
    *,
    models: Sequence[Model] = MODELS,
    precisions: Sequence[str] = ("fp32", "fp16", "int8"),
    conditions: Sequence[Condition] = (CLEAN, *NOISY),
    shape: Shape | None = None,
    name: str = "made-up",
) -> RunFacts:
    """A finished run of every model × precision × condition × repeat; the same arguments give the same facts."""
    shape = shape or Shape()
    trials: list[TrialFacts] = []
    clock_s = 100.0
    for repeat in range(shape.repeats):
        for model in models:
            for precision in precisions:
                for condition in conditions:
                    trial = made_up_trial(
                        model, precision, condition, shape=shape, repeat=repeat, start_s=clock_s, number=len(trials)
                    )
                    trials.append(trial)
                    clock_s = trial.idle_after.end_s + 10.0 if trial.idle_after else clock_s + 60.0
    return RunFacts(
        name=name,
        created="2026-01-02T03:04:05+00:00",
        seed=shape.seed,
        machine={"host": "made up", "cpu": "Cortex-A76", "os": "Linux"},
        experiment={"models": [f"{model.runtime}:{model.name}" for model in models], "data": [shape.corpus]},
        meters={},
        trials=tuple(trials),
        rejected=shape.rejected,
    )


def store_run(facts: RunFacts, run_dir: Path) -> Path:
    """Write facts as a run on disk, as bench does; returns the directory. Raises InputError where a run is there already."""
    with Journal.create(
        run_dir,
        name=facts.name,
        created=facts.created,
        seed=facts.seed,
        machine=facts.machine,
        experiment=facts.experiment,
        meters=facts.meters,
        trials=[each.trial for each in facts.trials],
    ) as journal:
        for each in facts.trials:
            if each.status in ("done", "failed"):
                attempt = journal.begin(each.trial.id)
                journal.append(each.trial.id, attempt, utterances=each.utterances, traces=each.traces)
                journal.finish(attempt, each)
        heard = {(each.trial.corpus, each.trial.condition.name) for each in facts.trials}
        for corpus in dict.fromkeys(each.corpus for each in facts.rejected):
            for name in sorted(name for heard_corpus, name in heard if heard_corpus == corpus) or ["clean"]:
                there = [e for e in facts.rejected if e.corpus == corpus and e.condition in (None, name)]
                journal.reject(corpus, name, there)
    return run_dir


def made_up_trial(
    model: Model,
    precision: str,
    condition: Condition,
    *,
    shape: Shape,
    repeat: int = 0,
    start_s: float = 100.0,
    number: int = 0,
) -> TrialFacts:
    """One finished trial: idle, then the utterances one after another, then idle again."""
    spec = RecognizerSpec(runtime=model.runtime, model=model.name, precision=precision)
    trial = Trial(id=f"t{number:04d}", recognizer=spec, corpus=shape.corpus, condition=condition, repeat=repeat)
    cost = COST.get(precision, 1.0)
    jitter = 1.0 + 0.01 * random.Random(f"{shape.seed}/{number}").uniform(-1, 1)
    before = Window(start_s=start_s, end_s=start_s + shape.idle_s)
    utterances = _answers(
        model, precision, condition, shape=shape, start_s=before.end_s, taking=model.rtf * cost * jitter
    )
    window = Window(start_s=before.end_s, end_s=utterances[-1].end_s)
    after = Window(start_s=window.end_s, end_s=window.end_s + shape.idle_s)
    weight_bytes = int(model.parameters * BYTES_PER_WEIGHT.get(precision, 4.0))
    held = DTYPE.get(precision, precision) if model.ran_as_asked else "float32"
    return TrialFacts(
        trial=trial,
        status="done",
        load_s=model.parameters / 4e8,
        warmup_s=0.1,
        cpu_s=window.duration_s * 0.95,
        peak_memory_bytes=weight_bytes + 80_000_000,
        window=window,
        idle_before=before,
        idle_after=after,
        audit=PrecisionAudit(
            requested=precision,
            ok=model.ran_as_asked,
            reason=None if model.ran_as_asked else f"0 % of the weight bytes are {held}",
            weight_bytes={held: weight_bytes},
            operators={},
            device="cpu",
            parameters=model.parameters,
        ),
        utterances=utterances,
        traces=(_trace(window, before, after, shape=shape, power_w=model.power_w),) if shape.measured else (),
    )


def _answers(
    model: Model, precision: str, condition: Condition, *, shape: Shape, start_s: float, taking: float
) -> tuple[UtteranceResult, ...]:
    found = []
    loudness = 0.0 if condition.snr_db is None else 10.0 ** (-condition.snr_db / 20.0)
    rate = min(1.0, model.word_errors + model.noise_errors * loudness + (0.004 if precision == "int8" else 0.0))
    for index in range(shape.utterances):
        speech = random.Random(f"{shape.seed}/{index}")
        reference = speech.choices(WORDS, k=shape.words)
        hearing = random.Random(f"{shape.seed}/{index}/{model.name}/{precision}/{condition.name}")
        heard = [hearing.choice(WORDS) if hearing.random() < rate else word for word in reference]
        audio_s = shape.utterance_s * speech.uniform(0.6, 1.4)
        end_s = start_s + audio_s * taking
        found.append(
            UtteranceResult(
                id=f"u{index:04d}",
                speaker=f"s{index % shape.speakers}",
                reference=" ".join(reference),
                hypothesis=" ".join(heard),
                audio_s=audio_s,
                start_s=start_s,
                end_s=end_s,
                cpu_s=(end_s - start_s) * 0.95,
            )
        )
        start_s = end_s
    return tuple(found)


def _trace(window: Window, before: Window, after: Window, *, shape: Shape, power_w: float) -> PowerTrace:
    """A board's total rail: idle, then idle plus the model's power, with 2 % of noise."""
    noise = random.Random(f"{shape.seed}/{window.start_s}")
    steps = int((after.end_s - before.start_s) * shape.sensor_hz) + 2
    times = [before.start_s - 0.5 / shape.sensor_hz + n / shape.sensor_hz for n in range(steps)]
    powers = [
        (shape.idle_w + (power_w if window.start_s <= t < window.end_s else 0.0)) * (1 + 0.02 * noise.uniform(-1, 1))
        for t in times
    ]
    return PowerTrace(
        channel="VDD_IN",
        covers="module total",
        total=True,
        update_interval_s=1.0 / shape.sensor_hz,
        evidence="measured",
        t_s=tuple(times),
        power_w=tuple(powers),
    )
