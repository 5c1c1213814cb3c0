"""Accepting and refusing a new run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from wattscribe.cli import main
from wattscribe.records import Heard, RunFacts, TrialFacts, UtteranceResult
from wattscribe.report.compare import compare, in_words
from wattscribe.testing.runs import CLEAN, MODELS, NOISY, Shape, made_up_run, store_run

LARGE = Shape(utterances=400, speakers=40, words=20)


def run(shape: Shape = LARGE, **changes: object) -> RunFacts:
    return made_up_run(models=MODELS[:1], precisions=("fp32",), conditions=(CLEAN,), shape=shape, **changes)  # type: ignore[arg-type]


def edited(facts: RunFacts, **changes: object) -> RunFacts:
    """The same run with every trial changed."""
    return replace(facts, trials=tuple(replace(trial, **changes) for trial in facts.trials))  # type: ignore[arg-type]


def worse(facts: RunFacts, share: float) -> RunFacts:
    """The same run with one more wrong word in every so many utterances."""
    every = round(1 / share)

    def spoil(index: int, result: UtteranceResult) -> UtteranceResult:
        heard = (result.hypothesis or "").split()
        return replace(result, hypothesis=" ".join([*heard, "extra"])) if index % every == 0 else result

    trial = facts.trials[0]
    return edited(facts, utterances=tuple(spoil(i, each) for i, each in enumerate(trial.utterances)))


def hungrier(facts: RunFacts, factor: float) -> RunFacts:
    traces = tuple(replace(t, power_w=tuple(w * factor for w in t.power_w)) for t in facts.trials[0].traces)
    return edited(facts, traces=traces)


def test_a_run_is_accepted_against_itself() -> None:
    result = compare(run(), run())
    assert result.accepted
    assert result.reasons == ()
    assert result.verdicts[0].wer_increase == 0.0
    assert "is accepted against" in in_words(result)


def test_a_rise_over_the_limit_is_refused_with_its_figures() -> None:
    result = compare(run(), worse(run(), 1.0))
    assert not result.accepted
    assert "WER rises by more than +0.20 points: +5.00" in result.reasons[0]


def test_a_small_rise_is_accepted_where_the_data_show_it() -> None:
    spoiled = worse(run(), 0.02)
    result = compare(run(), spoiled)
    assert result.verdicts[0].wer_increase == pytest.approx(0.001, rel=0.01)
    assert result.accepted
    assert not compare(run(), spoiled, max_wer_increase=0.0005).accepted


def test_too_few_utterances_are_not_proof() -> None:
    small = run(Shape(utterances=20, speakers=5))
    result = compare(small, worse(small, 0.05), max_wer_increase=0.005)
    assert result.verdicts[0].wer_increase == pytest.approx(1 / 240)
    assert not result.accepted
    assert "too few to tell" in result.reasons[0]


def test_energy_is_judged_with_its_interval() -> None:
    base = run()
    assert compare(base, hungrier(base, 1.01), max_energy_increase=0.03).accepted
    result = compare(base, hungrier(base, 1.10), max_energy_increase=0.03)
    assert not result.accepted
    assert result.verdicts[0].energy_increase == pytest.approx(0.10, abs=0.002)
    assert "energy rises by more than +3.0 %" in result.reasons[0]
    assert compare(base, hungrier(base, 0.5), max_energy_increase=0.0).accepted


def test_different_evidence_is_refused() -> None:
    base = run()
    modelled = edited(base, traces=())
    result = compare(base, modelled)
    assert not result.accepted
    assert "different evidence" in result.reasons[0]
    assert "measured (module total) against modelled" in result.reasons[0]


def test_missing_energy_is_noted_or_refused() -> None:
    blind = edited(run(), traces=(), cpu_s=None)
    assert compare(blind, blind).accepted
    assert "energy is not compared" in in_words(compare(blind, blind))
    demanded = compare(blind, blind, max_energy_increase=0.03)
    assert not demanded.accepted
    assert "energy cannot be compared" in demanded.reasons[0]
    assert not compare(run(), blind).accepted


def test_other_utterances_are_refused_and_named() -> None:
    base = run()
    fewer = edited(base, utterances=base.trials[0].utterances[3:])
    result = compare(base, fewer)
    assert not result.accepted
    assert "only the base run has u0000, u0001, u0002" in result.reasons[0]
    first, *rest = base.trials[0].utterances
    changed = edited(base, utterances=(replace(first, reference="something else"), *rest))
    assert "other references for u0000" in compare(base, changed).reasons[0]


def test_the_order_of_utterances_does_not_matter() -> None:
    base = run()
    assert compare(base, edited(base, utterances=base.trials[0].utterances[::-1])).accepted


def test_what_is_missing_in_the_new_run_is_named() -> None:
    base = made_up_run(models=MODELS[:2], precisions=("fp32",), conditions=(CLEAN, NOISY[0]))
    no_base = replace(base, trials=tuple(t for t in base.trials if t.trial.recognizer.model != "base"))
    assert "the new run has no fake:base fp32 on bundled, clean" in compare(base, no_base).reasons[0]
    quiet = replace(base, trials=tuple(t for t in base.trials if t.trial.condition == CLEAN))
    assert "did not hear bundled, rain@20dB" in compare(base, quiet).reasons[0]
    assert "is new and not compared" in in_words(compare(no_base, base))


def test_a_failed_trial_is_refused_with_its_reason() -> None:
    broken = edited(run(), status="failed", reason="killed for memory")
    assert "killed for memory" in compare(run(), broken).reasons[0]


def test_losing_the_precision_is_refused() -> None:
    base = run()
    audit = base.trials[0].audit
    assert audit is not None
    lying = edited(base, audit=replace(audit, ok=False, reason="only 3 % of the weight bytes are int8"))
    assert "only 3 % of the weight bytes" in compare(base, lying).reasons[0]


def test_one_recognizer_each_stand_against_each_other() -> None:
    base = run()
    renamed = replace(base.trials[0].trial.recognizer, model="tiny-compressed", precision="int8")
    fresh = edited(base, trial=replace(base.trials[0].trial, recognizer=renamed))
    assert compare(base, fresh).accepted


def named(facts: RunFacts, name: str, number: str) -> tuple[TrialFacts, ...]:
    """The run's trials as those of a model of this name."""
    trials = []
    for each in facts.trials:
        spec = replace(each.trial.recognizer, model=name)
        trials.append(replace(each, trial=replace(each.trial, id=each.trial.id + number, recognizer=spec)))
    return tuple(trials)


def together(*trials: TrialFacts) -> RunFacts:
    return replace(run(), trials=trials)


def test_models_in_directories_of_one_name_stand_each_against_its_own() -> None:
    good, bad = run(), worse(run(), 1.0)
    base = together(*named(good, "P/m", "p"), *named(good, "Q/m", "q"))
    collapsed = together(*named(bad, "P/m", "p"), *named(good, "Q/m", "q"))
    result = compare(base, collapsed)
    assert [each.name.partition(" ")[0] for each in result.verdicts] == ["fake:P/m", "fake:Q/m"]
    assert [bool(each.reasons) for each in result.verdicts] == [True, False]
    assert result.reasons[0].startswith("fake:P/m fp32")
    mixed = together(*named(good, "P/m", "p"), *named(bad, "Q/m", "q"))
    assert compare(mixed, mixed).accepted


def test_a_short_name_stands_for_a_model_only_where_it_is_the_only_one() -> None:
    good = run()
    base = together(*named(good, "here/one", "1"), *named(good, "here/two", "2"))
    moved = together(*named(good, "there/one", "1"), *named(good, "there/two", "2"))
    assert compare(base, moved).accepted
    twice = together(*named(good, "there/one", "1"), *named(good, "else/one", "2"), *named(good, "here/two", "3"))
    assert "the new run has no fake:one fp32" in compare(base, twice).reasons[0]


def test_a_run_with_a_repeat_that_crashed_is_refused() -> None:
    whole = run(Shape(utterances=40, speakers=20, repeats=2))
    broken = replace(whole.trials[1], status="failed", reason="ended with SIGSEGV", utterances=())
    part = replace(whole, trials=(whole.trials[0], broken))
    for base, new, name in ((whole, part, "new"), (part, whole, "base")):
        result = compare(base, new, max_energy_increase=9.0)
        assert not result.accepted
        assert f"1 of 2 trials of the {name} run did not finish: ended with SIGSEGV" in result.reasons[0]
    assert compare(whole, whole, max_energy_increase=9.0).accepted


def test_other_audio_under_the_same_names_is_refused() -> None:
    base = run()
    heard = Heard(corpus="bundled", condition="clean", digest="a", utterances=400, audio_s=2000.0)
    one = replace(base, heard=(heard,))
    other = replace(base, heard=(replace(heard, digest="b"),), seed=1)
    assert compare(one, one).accepted
    assert compare(one, base).accepted, "an older run did not record it"
    (reason,) = compare(one, other).reasons
    assert "the audio differs under the same names" in reason
    assert "seed 0 in the base run, 1 in the new one" in reason


def test_other_text_rules_are_refused_by_name() -> None:
    base = run()
    plain = replace(base, experiment={**base.experiment, "normaliser": "none"})
    (reason,) = compare(base, plain).reasons
    assert "whisper in the base run, none in the new one" in reason
    assert "--normaliser whisper" in reason


def test_a_single_utterance_is_not_judged() -> None:
    alone = run(Shape(utterances=1))
    result = compare(alone, alone)
    assert not result.accepted
    assert "WER is not judged" in result.reasons[0]
    assert "two utterances" in result.reasons[0]


def test_an_empty_base_accepts_nothing() -> None:
    assert not compare(replace(run(), trials=()), run()).accepted


def test_the_command_exits_0_or_1_with_the_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, new = store_run(run(), tmp_path / "base"), store_run(worse(run(), 1.0), tmp_path / "new")
    assert main(["compare", str(base), str(base), "--max-wer-increase", "0.2", "--max-energy-increase", "3%"]) == 0
    capsys.readouterr()
    assert (
        main(["compare", str(base), str(new), "--max-wer-increase", "0.2", "--max-energy-increase", "3%", "--json"])
        == 1
    )
    answer = json.loads(capsys.readouterr().out)
    assert answer["schema"] == 1
    assert answer["accepted"] is False
    assert "WER rises" in answer["reasons"][0]
    assert main(["compare", str(base), str(tmp_path / "nothing")]) == 2
    assert main(["compare", str(base), str(base), "--max-energy-increase", "much"]) == 2
