"""Costs of two runs: what may be compared, and how often chance is taken for a rise."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.stored_runs import CLEAN, MODELS, Shape, made_up_run
from wattscribe.pages.compare_words import in_words
from wattscribe.records import RunFacts, TrialFacts, Window
from wattscribe.results.compare import compare
from wattscribe.results.cost_change import CostChange, Figures, change_of
from wattscribe.results.gates import Gates

JETSON = {"machine": "NVIDIA Jetson Orin Nano", "cpu": "Cortex-A78AE", "power_mode": "nvpmodel 15W"}
RASPBERRY = {"machine": "Raspberry Pi 5 Model B", "cpu": "Cortex-A76", "power_mode": None}


def run(repeats: int = 3, **shape: Any) -> RunFacts:
    made = Shape(utterances=100, speakers=10, words=20, repeats=repeats, **shape)
    return made_up_run(models=MODELS[:1], precisions=("fp32",), conditions=(CLEAN,), shape=made)


def on(facts: RunFacts, **machine: object) -> RunFacts:
    return replace(facts, machine={**facts.machine, **machine})


def stretched(trial: TrialFacts, time: float, memory: float) -> TrialFacts:
    """The same trial that took so much longer, on a machine without a sensor."""
    return replace(
        trial,
        traces=(),
        cpu_s=(trial.cpu_s or 0.0) * time,
        window=Window(start_s=trial.window.start_s * time, end_s=trial.window.end_s * time) if trial.window else None,
        peak_memory_bytes=round((trial.peak_memory_bytes or 0) * memory),
        utterances=tuple(
            replace(each, start_s=each.start_s * time, end_s=each.end_s * time, cpu_s=(each.cpu_s or 0.0) * time)
            for each in trial.utterances
        ),
    )


def measured_again(facts: RunFacts, seed: int, *, between: float, within: float) -> RunFacts:
    """The same model on the same speech once more: times off by a draw for the run and one for each repeat."""
    generator = np.random.default_rng(seed)
    of_run = generator.normal(0, between)
    trials = tuple(
        stretched(each, math.exp(of_run + generator.normal(0, within)), math.exp(generator.normal(0, 0.005)))
        for each in facts.trials
    )
    return replace(facts, trials=trials)


@pytest.mark.parametrize("repeats", [1, 3])
def test_six_identical_runs_are_accepted_against_each_other(repeats: int) -> None:
    """Times that are off by 20 % from run to run: no cost was asked for, so none is a reason to refuse."""
    runs = [measured_again(run(repeats), seed, between=0.2, within=0.05) for seed in range(6)]
    results = [compare(one, other) for one, other in itertools.permutations(runs, 2)]
    assert [each.reasons for each in results if not each.accepted] == []
    assert any(abs(each.verdicts[0].costs[0].increase_percent or 0) > 10 for each in results)


def test_six_identical_runs_keep_limits_that_their_repeats_can_show() -> None:
    gates = Gates(
        max_energy_increase_percent=10, max_rtf_increase_percent=10, max_latency_increase_percent=10,
        max_memory_increase_percent=5,
    )  # fmt: skip
    runs = [measured_again(run(5), seed, between=0.01, within=0.01) for seed in range(6)]
    refused = [pair for pair in itertools.permutations(runs, 2) if not compare(*pair, gates).accepted]
    assert len(refused) <= 1


def draws(generator: np.random.Generator, mean: float, count: int) -> Figures:
    of_run = generator.normal(0, 0.01)
    return Figures(values=tuple(mean * math.exp(of_run + generator.normal(0, 0.02)) for _ in range(count)))


@pytest.mark.parametrize("repeats", [2, 3, 5])
def test_a_rise_of_the_size_of_the_limit_is_accepted_once_in_twenty(repeats: int) -> None:
    generator = np.random.default_rng(repeats)
    accepted = {1.0: 0, 1.10: 0, 1.20: 0}
    for _, factor in itertools.product(range(400), accepted):
        empty = CostChange(quantity="energy", unit="J")
        found = change_of(empty, draws(generator, 10.0, repeats), draws(generator, 10.0 * factor, repeats))
        assert found.increase_upper95_percent is not None
        accepted[factor] += found.increase_upper95_percent <= 10
    assert accepted[1.10] <= 32
    assert accepted[1.20] <= 4
    assert accepted[1.0] >= (380 if repeats > 2 else 250)


def test_one_repeat_in_each_run_cannot_be_judged() -> None:
    once = run(1)
    result = compare(once, once, Gates(max_rtf_increase_percent=10))
    assert not result.accepted
    assert "--repeats 3" in result.reasons[0]
    assert compare(run(3), once, Gates(max_rtf_increase_percent=10)).accepted, "the base's repeats show the spread"


@pytest.mark.parametrize(
    ("limit", "name"),
    [
        ("max_rtf_increase_percent", "real-time factor"),
        ("max_latency_increase_percent", "latency"),
        ("max_memory_increase_percent", "memory"),
        ("max_energy_increase_percent", "energy"),
    ],
)
def test_every_cost_has_a_gate(limit: str, name: str) -> None:
    base = replace(run(), trials=tuple(stretched(each, 1, 1) for each in run().trials))
    slower = replace(base, trials=tuple(stretched(each, 1.5, 1.5) for each in base.trials))
    wanted: dict[str, Any] = {limit: 10.0}
    gates = Gates(**wanted)
    assert compare(base, base, gates).accepted
    (reason,) = compare(base, slower, gates).reasons
    assert f"{name} rises by more than +10.0 %: +50" in reason


def test_what_cannot_be_shown_says_how_many_repeats_it_takes() -> None:
    facts = run(3)
    spread = replace(
        facts, trials=tuple(stretched(t, factor, 1) for t, factor in zip(facts.trials, (0.95, 1, 1.05), strict=True))
    )
    for limit, advice in (
        (8, "it takes about 8 repeats in each run"),
        (4, "on an idle machine"),
        (1, "raise the limit"),
    ):
        (reason,) = compare(spread, spread, Gates(max_rtf_increase_percent=limit)).reasons
        assert advice in reason


def waiting(facts: RunFacts, share: float) -> RunFacts:
    """The same run with other programs on its core for that share of the time."""
    busy = []
    for trial in facts.trials:
        slow = stretched(trial, 1 / (1 - share), 1)
        waited_s = share * sum(each.end_s - each.start_s for each in slow.utterances)
        busy.append(replace(slow, starved_s=waited_s, cpu_s=trial.cpu_s))
    return replace(facts, trials=tuple(busy))


def test_the_load_of_other_programs_is_not_charged_to_the_model() -> None:
    """Half of the time spent waiting: twice the wall time, the same real-time factor; a single latency is not told apart."""
    quiet = waiting(run(), 0.0)
    loud = waiting(run(), 0.5)
    assert compare(quiet, loud, Gates(max_rtf_increase_percent=10)).accepted
    (reason,) = compare(quiet, loud, Gates(max_latency_increase_percent=10)).reasons
    assert "latency is not judged (the new run waited for a core 50%" in reason


def test_another_machine_is_refused_by_name_and_errors_are_still_judged() -> None:
    base, new = on(run(), **JETSON), on(run(), **RASPBERRY)
    result = compare(base, new)
    assert not result.accepted
    (reason,) = result.reasons
    assert "machine: NVIDIA Jetson Orin Nano in the base run, Raspberry Pi 5 Model B in the new one" in reason
    assert "CPU: Cortex-A78AE in the base run, Cortex-A76 in the new one" in reason
    (verdict,) = result.verdicts
    assert verdict.costs == ()
    assert verdict.error is not None
    allowed = compare(base, new, Gates(across_machines=True, max_memory_increase_percent=5))
    assert allowed.accepted
    assert "measured under other conditions" in in_words(allowed)
    assert compare(base, base).accepted
    assert compare(base, on(run(), cpu=None)).accepted, "what the other run does not know is no difference"


@pytest.mark.parametrize(
    ("one", "other", "named"),
    [
        ({"power_mode": "nvpmodel 15W"}, {"power_mode": "nvpmodel 7W"}, "power mode: nvpmodel 15W"),
        ({"cpu_usable": 4}, {"cpu_usable": 2}, "usable cores: 4"),
        ({"on_mains": True}, {"on_mains": False}, "mains power: on in the base run, off"),
        ({"governors": ["performance"]}, {"governors": ["powersave"]}, "clock governors: performance"),
        ({"clocks": [{"max_hz": 1.5e9}]}, {"clocks": [{"max_hz": 1.1e9}]}, "clocks: 1500 MHz"),
        ({"gpus": [{"name": "A", "power_limit_w": 30}]}, {"gpus": [{"name": "A", "power_limit_w": 15}]}, "A at 30 W"),
    ],
)
def test_each_state_of_a_machine_that_changes_costs_is_named(
    one: dict[str, Any], other: dict[str, Any], named: str
) -> None:
    (reason,) = compare(on(run(), **one), on(run(), **other)).reasons
    assert named in reason


def with_spec(facts: RunFacts, **changes: Any) -> RunFacts:
    trials = (
        replace(t, trial=replace(t.trial, recognizer=replace(t.trial.recognizer, **changes))) for t in facts.trials
    )
    return replace(facts, trials=tuple(trials))


def test_another_version_of_the_runtime_is_refused_and_of_other_libraries_is_not() -> None:
    def installed(**versions: str) -> RunFacts:
        return on(with_spec(run(), runtime="ct2"), libraries=versions)

    base = installed(ctranslate2="4.8.5", torch="2.1")
    assert compare(base, installed(ctranslate2="4.8.5", torch="2.13")).accepted
    (reason,) = compare(base, installed(ctranslate2="4.9.0", torch="2.1")).reasons
    assert "ctranslate2: 4.8.5 in the base run, 4.9.0 in the new one" in reason


def test_other_threads_are_refused_by_name_among_several_models_too() -> None:
    made = made_up_run(models=MODELS[:2], precisions=("fp32",), conditions=(CLEAN,), shape=Shape(utterances=200))
    for facts in (run(), made):
        reasons = compare(facts, with_spec(facts, threads=4)).reasons
        assert len(reasons) == len(compare(facts, facts).verdicts)
        assert all("threads: 1 in the base run, 4 in the new one" in each for each in reasons)
