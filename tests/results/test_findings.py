"""Findings against runs whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.stored_runs import CLEAN, MODELS, NOISY, Model, Shape, made_up_run
from wattscribe.errors import InputError
from wattscribe.pages import figures, sentences
from wattscribe.pages.power_figures import power_traces, thinned
from wattscribe.records import Condition, RunFacts
from wattscribe.results.cost import NOTHING, Energy
from wattscribe.results.findings import (
    EvalSet,
    Limits,
    base_eval_sets,
    correlations,
    eval_sets,
    noise_pair,
    pair_tests,
    precision_steps,
)
from wattscribe.results.quantities import bytes_of, fraction_of_percent
from wattscribe.results.recommend import pareto, recommend
from wattscribe.results.relative import energy_ratio
from wattscribe.results.table import view
from wattscribe.results.words import bytes_text, interval_text, number, p_text

BIG = Shape(utterances=80, speakers=20)


def heard(facts: RunFacts) -> list[EvalSet]:
    return eval_sets(view(facts))


def clean(facts: RunFacts) -> EvalSet:
    return heard(facts)[0]


def test_fp16_halves_energy_and_int8_saves_little_more() -> None:
    """The made-up costs are 1, 0.5 and 0.48 of the time at one power: the ratios must come out, inside their intervals."""
    steps = precision_steps(heard(made_up_run(models=MODELS[:1], conditions=(CLEAN,))))
    found = {(step.base.row.precision, step.cheaper.row.precision): step.ratio for step in steps}
    assert set(found) == {("fp32", "fp16"), ("fp16", "int8"), ("fp32", "int8")}
    half = found["fp32", "fp16"]
    assert half.value == pytest.approx(0.5, rel=0.02)
    assert half.ci95 is not None
    assert half.ci95[0] < half.value < half.ci95[1] < 0.6
    assert half.p is not None
    assert half.p < 1e-6


def test_modelled_ratios_do_not_carry_the_range_of_watts_per_core() -> None:
    facts = made_up_run(models=MODELS[:1], conditions=(CLEAN,), shape=Shape(measured=False))
    (step,) = [each for each in precision_steps(heard(facts)) if each.cheaper.row.precision == "fp16"]
    assert step.ratio.ci95 is not None
    assert step.ratio.ci95[1] / step.ratio.ci95[0] < 1.05
    assert "constants held fixed" in step.ratio.method


def test_an_interval_that_ends_at_zero_is_not_taken_for_a_narrow_one() -> None:
    """6.43 ± 22.72 J, cut off at 0: the ratio of 4 is as uncertain as the upper side says."""

    def energy(joules: float, interval: tuple[float, float]) -> Energy:
        return replace(NOTHING, energy_j=joules, ci95_j=interval, evidence="measured", covers="module total")

    new = energy(25.72, (25.7, 25.8))
    cut, whole = (energy_ratio(energy(6.43, (low, 29.15)), new) for low in (0.0, -16.29))
    assert cut is not None
    assert whole is not None
    assert cut.ci95 == pytest.approx(whole.ci95)
    assert cut.ci95 == pytest.approx((0.117, 137), rel=0.01)
    assert cut.p == pytest.approx(0.44, abs=0.01)


def test_what_a_single_utterance_cannot_show_is_not_claimed() -> None:
    facts = made_up_run(models=MODELS[:2], precisions=("fp32", "int8"), shape=Shape(utterances=1, words=60))
    found = heard(facts)
    assert pair_tests(found) == []
    assert all(step.wer_change is None for step in precision_steps(found))
    assert sentences.summary(view(facts), found)
    (advice,) = recommend(found[0], Limits())
    assert "worse in the paired test" not in advice.text


def test_models_of_one_directory_name_are_two_recognizers() -> None:
    facts = made_up_run(
        models=(replace(MODELS[0], name="a/m"), replace(MODELS[1], name="b/m")),
        precisions=("fp32",),
        conditions=(CLEAN,),
    )
    found = heard(facts)
    assert sentences.summary(view(facts), found)[0].startswith("2 recognizers transcribed")
    assert set(figures.wer_bars(found).traces[0]["x"]) == {"fake:a/m fp32", "fake:b/m fp32"}  # type: ignore[union-attr]


def test_correlations_of_a_known_order() -> None:
    """Four models: larger takes more energy and loses less to noise. Exact two-sided p of four in order: 2 / 24."""
    energy, noise = correlations(heard(made_up_run(precisions=("fp32",), shape=BIG)))
    assert energy.result is not None
    assert energy.result.rho == pytest.approx(1.0)
    assert energy.result.p == pytest.approx(2 / 24)
    assert noise.result is not None
    assert noise.result.rho == pytest.approx(-1.0)


def test_three_models_are_refused_in_words() -> None:
    found = correlations(heard(made_up_run(models=MODELS[:3], precisions=("fp32",), conditions=(CLEAN,))))
    assert found[0].result is None
    assert "4 models" in sentences.correlation_sentences(found)[0]


def test_pairs_that_differ_are_found_and_equal_ones_are_not() -> None:
    twin = replace(MODELS[0], name="twin")
    bad = replace(MODELS[0], name="bad", word_errors=0.5)
    tests = pair_tests([clean(made_up_run(models=(MODELS[0], twin, bad), precisions=("fp32",), shape=BIG))])
    differs = {(test.first.row.model, test.second.row.model): test.differs for test in tests}
    assert differs == {
        ("fake:tiny", "fake:twin"): False,
        ("fake:tiny", "fake:bad"): True,
        ("fake:twin", "fake:bad"): True,
    }
    assert all(test.adjusted_p >= test.bootstrap.p for test in tests)
    matched = tests[1].matched
    assert matched is not None
    assert matched.p < 0.001


def test_many_recognizers_are_tested_against_the_best_only() -> None:
    crowd = tuple(replace(MODELS[0], name=f"m{n}", word_errors=0.02 + 0.02 * n) for n in range(12))
    tests = pair_tests([clean(made_up_run(models=crowd, precisions=("fp32",), conditions=(CLEAN,)))])
    assert len(tests) == 11
    assert len({test.first.row.model for test in tests}) == 1


def test_the_hardest_condition_is_found() -> None:
    pair = noise_pair(heard(made_up_run(precisions=("fp32",))))
    assert pair is not None
    assert [each.condition.name for each in pair] == ["clean", "rain@0dB"]
    assert noise_pair(heard(made_up_run(conditions=(CLEAN,)))) is None


def test_a_noisy_corpus_of_the_same_utterances_counts_as_noise() -> None:
    quiet = made_up_run(models=MODELS[:2], precisions=("fp32",), conditions=(CLEAN,), shape=Shape(corpus="clean-set"))
    loud = made_up_run(models=MODELS[:2], precisions=("fp32",), conditions=(NOISY[3],), shape=Shape(corpus="noisy-set"))
    as_corpus = tuple(replace(t, trial=replace(t.trial, condition=Condition())) for t in loud.trials)
    pair = noise_pair(heard(replace(quiet, trials=quiet.trials + as_corpus)))
    assert pair is not None
    assert [each.corpus for each in pair] == ["clean-set", "noisy-set"]


def test_pareto_front_is_what_nothing_beats() -> None:
    scored = clean(made_up_run(shape=BIG)).scored
    front = pareto(scored)
    assert front
    for entry in front:
        for other in scored:
            better_wer = (other.row.wer or 0) < (entry.row.wer or 0)
            better_energy = (other.row.j_per_audio_s or 0) < (entry.row.j_per_audio_s or 0)
            assert not (better_wer and better_energy)
    for entry in scored:
        if entry not in front:
            assert any(
                (o.row.wer or 0) <= (entry.row.wer or 0)
                and (o.row.j_per_audio_s or 0) <= (entry.row.j_per_audio_s or 0)
                for o in front
            )


def test_the_cheapest_within_the_limits_is_recommended() -> None:
    eval_set = clean(made_up_run(conditions=(CLEAN,), shape=BIG))
    (advice,) = recommend(eval_set, Limits(max_wer=0.06))
    assert advice.entry is not None
    cheaper = [e for e in eval_set.scored if (e.row.j_per_audio_s or 0) < (advice.entry.row.j_per_audio_s or 0)]
    assert cheaper
    assert all((e.row.wer or 0) > 0.06 for e in cheaper)


@pytest.mark.parametrize(
    ("limits", "broken"),
    [
        (Limits(max_wer=0.0001), "WER"),
        (Limits(max_watts=0.1), "W over 0.100 W"),
        (Limits(max_memory_bytes=1000), "over 1.00 kB"),
    ],
)
def test_when_none_qualifies_the_nearest_is_named(limits: Limits, broken: str) -> None:
    (advice,) = recommend(clean(made_up_run(conditions=(CLEAN,))), limits)
    assert advice.entry is None
    assert "no recognizer keeps the limits" in advice.text
    assert broken in advice.text


def test_the_nearest_is_whose_figure_lies_least_over_its_limit() -> None:
    """The smallest model makes the most errors, and is the nearest to a limit of memory all the same."""
    eval_set = clean(made_up_run(precisions=("fp32",), conditions=(CLEAN,), shape=BIG))
    (advice,) = recommend(eval_set, Limits(max_memory_bytes=150e6))
    assert "The nearest, fake:tiny fp32, breaks: memory 236 MB over 150 MB" in advice.text
    (advice,) = recommend(eval_set, Limits(max_memory_bytes=235e6, max_wer=0.001))
    assert "The nearest, fake:medium" in advice.text, "14 times the memory is less far off than 40 times the errors"


def test_a_model_with_as_many_errors_as_words_is_not_recommended() -> None:
    useless = replace(MODELS[0], name="useless", word_errors=1.0, rtf=0.001)
    both = made_up_run(
        models=(useless, MODELS[1]), precisions=("fp32",), conditions=(CLEAN,), shape=Shape(utterances=2)
    )
    spoiled = tuple(
        replace(t, utterances=tuple(replace(u, hypothesis="nothing of the kind " * 9) for u in t.utterances))
        if t.trial.recognizer.model == "useless"
        else t
        for t in both.trials
    )
    (advice,) = recommend(clean(replace(both, trials=spoiled)), Limits())
    assert advice.entry is not None
    assert advice.entry.row.model == "fake:base"
    alone = tuple(t for t in spoiled if t.trial.recognizer.model == "useless")
    (advice,) = recommend(clean(replace(both, trials=alone)), Limits())
    assert advice.entry is None
    assert "none is recommended" in advice.text


def test_thirty_pairs_of_a_run_that_differ_are_found() -> None:
    rates = (0.001, 0.1, 0.3, 0.56)
    models = tuple(replace(MODELS[0], name=f"m{rate}", word_errors=rate, noise_errors=0.0) for rate in rates)
    tests = pair_tests(heard(made_up_run(models=models, precisions=("fp32",), shape=Shape(utterances=60))))
    assert len(tests) == 30
    assert sum(test.differs for test in tests) >= 28


def test_figures_of_different_evidence_are_never_ranked_together() -> None:
    measured = made_up_run(models=MODELS[:2], precisions=("fp32",), conditions=(CLEAN,))
    strange = tuple(
        replace(t, traces=tuple(replace(trace, evidence="calibrated", covers="external meter") for trace in t.traces))
        for t in measured.trials[1:]
    )
    eval_set = clean(replace(measured, trials=measured.trials[:1] + strange))
    advice = recommend(eval_set, Limits(max_wer=1.0))
    assert len(advice) == 2
    assert {each.entry.row.model for each in advice if each.entry} == {"fake:tiny", "fake:base"}
    assert (
        len(figures.bubbles(eval_set)) == len(figures.energy_bars(eval_set)) == len(figures.pareto_front(eval_set)) == 2
    )


def test_without_energy_the_fastest_is_recommended_and_it_says_so() -> None:
    facts = made_up_run(models=MODELS[:2], precisions=("fp32",), conditions=(CLEAN,), shape=Shape(measured=False))
    blind = replace(facts, trials=tuple(replace(trial, cpu_s=None) for trial in facts.trials))
    (advice,) = recommend(clean(blind), Limits())
    assert advice.entry is not None
    assert advice.entry.row.model == "fake:tiny"
    assert "No energy figure" in advice.text


def test_the_condition_of_the_limits_must_exist() -> None:
    found = heard(made_up_run(models=MODELS[:1], precisions=("fp32",), conditions=(CLEAN, NOISY[0])))
    assert [each.condition.name for each in base_eval_sets(found, "rain@20dB")] == ["rain@20dB"]
    with pytest.raises(InputError, match="clean, rain@20dB"):
        base_eval_sets(found, "rain@7dB")


def test_noise_curves_run_from_quiet_to_loud() -> None:
    wer, energy = figures.against_snr(heard(made_up_run(models=MODELS[:1], precisions=("fp32",), shape=BIG)))
    assert wer.traces[0]["x"] == ["clean", "20 dB", "10 dB", "5 dB", "0 dB"]
    assert wer.traces[0]["y"][0] < wer.traces[0]["y"][-1]
    assert "J per second" in energy.layout["yaxis"]["title"]["text"]


def test_every_trial_with_samples_has_a_trace() -> None:
    facts = made_up_run(models=MODELS[:2], precisions=("fp32",), conditions=(CLEAN,), shape=Shape(repeats=2))
    choice = power_traces(heard(facts))
    assert choice is not None
    assert len(choice.figures) == 4
    window = facts.trials[0].window
    assert window is not None
    shaded = choice.figures[0].layout["shapes"][1]
    assert shaded["x1"] - shaded["x0"] == pytest.approx(window.duration_s)
    assert power_traces(heard(made_up_run(shape=Shape(measured=False)))) is None


def test_thinning_keeps_the_extremes() -> None:
    import numpy as np

    times = np.arange(10_000.0)
    powers = np.ones(10_000)
    powers[1234], powers[7777] = 9.0, 0.1
    few_t, few_w = thinned(times, powers, 300)
    assert len(few_t) <= 302
    assert (few_w.max(), few_w.min()) == (9.0, 0.1)
    assert np.all(np.diff(few_t) > 0)


def test_figures_as_people_read_them() -> None:
    assert [number(v) for v in (None, 0.0, 0.04213, 3.654, 1466.4, 12.0)] == [
        "–",
        "0",
        "0.0421",
        "3.65",
        "1466",
        "12.0",
    ]
    assert interval_text((0.0312, 0.0395), 100) == "[3.12, 3.95]"
    assert bytes_text(84_200_000) == "84.2 MB"
    assert (p_text(0.0001), p_text(0.031), p_text(0.5)) == ("p < 0.001", "p = 0.031", "p = 0.50")


def test_limits_as_people_type_them() -> None:
    assert fraction_of_percent("3%", flag="--x") == fraction_of_percent(" 3 % ", flag="--x") == 0.03
    assert bytes_of("500MB", flag="--x") == 5e8
    assert bytes_of("2 GiB", flag="--x") == 2.0**31
    for bad in ("three", "-1", "nan", ""):
        with pytest.raises(InputError, match="--x"):
            fraction_of_percent(bad, flag="--x")
    with pytest.raises(InputError, match="500MB"):
        bytes_of("5 bananas", flag="--x")


def test_a_model_of_one_precision_has_no_steps() -> None:
    lonely = Model(name="a", parameters=1, word_errors=0.1, noise_errors=0, rtf=0.1, power_w=1)
    assert precision_steps(heard(made_up_run(models=(lonely,), precisions=("int8",), conditions=(CLEAN,)))) == []
