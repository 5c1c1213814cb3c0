"""Accepting and refusing a new run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import wattscribe.api
from tests.stored_runs import CLEAN, MODELS, NOISY, Shape, made_up_run, store_run
from wattscribe.cli import main
from wattscribe.pages.compare_words import in_words
from wattscribe.records import Heard, RunFacts, TrialFacts, UtteranceResult
from wattscribe.results.compare import compare
from wattscribe.results.gates import Gates

LARGE = Shape(utterances=400, speakers=40, words=20)
REPEATED = Shape(utterances=100, speakers=10, words=20, repeats=3)


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
    def fed(trial: TrialFacts) -> TrialFacts:
        traces = (replace(t, power_w=tuple(w * factor for w in t.power_w)) for t in trial.traces)
        return replace(trial, traces=tuple(traces))

    return replace(facts, trials=tuple(map(fed, facts.trials)))


def points(limit: float) -> Gates:
    return Gates(max_error_increase_points=limit)


def energy(limit: float) -> Gates:
    return Gates(max_energy_increase_percent=limit)


def test_a_run_is_accepted_against_itself() -> None:
    result = compare(run(), run())
    assert result.accepted
    assert result.reasons == ()
    (verdict,) = result.verdicts
    assert verdict.error is not None
    assert verdict.error.increase_points == 0.0
    assert verdict.error.increase_upper95_points == pytest.approx(100 * (1 - 0.05 ** (1 / verdict.error.words)))
    assert "is accepted against" in in_words(result)


def test_a_rise_over_the_limit_is_refused_with_its_figures() -> None:
    result = compare(run(), worse(run(), 1.0))
    assert not result.accepted
    assert "WER rises by more than +0.20 points: +5.00" in result.reasons[0]


def test_a_small_rise_is_accepted_where_the_data_show_it() -> None:
    spoiled = worse(run(), 0.02)
    result = compare(run(), spoiled)
    assert result.verdicts[0].error is not None
    assert result.verdicts[0].error.increase_points == pytest.approx(0.1, rel=0.01)
    assert result.accepted
    assert not compare(run(), spoiled, points(0.05)).accepted


def test_too_few_utterances_are_not_proof_and_it_says_how_many_are() -> None:
    small = run(Shape(utterances=60, speakers=5))
    result = compare(small, worse(small, 0.05), points(0.6))
    (verdict,) = result.verdicts
    assert verdict.error is not None
    assert verdict.error.increase_points == pytest.approx(100 * 3 / 720)
    assert verdict.error.words_needed is not None
    assert verdict.error.words_needed > 720
    assert "720 words are too few to tell, it takes about" in result.reasons[0]
    more = run(Shape(utterances=verdict.error.words_needed // 12, speakers=5))
    assert compare(more, more, points(0.6)).accepted


def test_fifteen_equal_words_show_nothing_and_it_says_how_many_would() -> None:
    """0.95 = 1 - (1 - 0.002)^n: 1,497 words without a difference show a rise below 0.2 points."""
    tiny = run(Shape(utterances=2, words=8))
    for wanted, takes in ((Gates(), "299"), (points(0.2), "1,497")):
        result = compare(tiny, tiny, wanted)
        assert not result.accepted
        assert "16 words cannot show a rise of" in result.reasons[0]
        assert f"it takes about {takes}" in result.reasons[0]
    enough = run(Shape(utterances=1497, words=1, speakers=40))
    assert compare(enough, enough, points(0.2)).accepted
    assert not compare(enough, enough, points(0.19)).accepted


def test_a_better_transcript_of_a_few_words_is_no_proof_either() -> None:
    tiny = run(Shape(utterances=2, words=8))
    result = compare(worse(tiny, 1.0), tiny, points(0.2))
    assert "16 words cannot show" in result.reasons[0]


def test_no_limit_of_zero_is_shown_by_equal_transcripts() -> None:
    result = compare(run(), run(), points(0.0))
    assert not result.accepted
    assert "no number of words shows that" in result.reasons[0]
    assert compare(worse(run(), 1.0), run(), points(0.0)).accepted, "better is shown to be no worse"


def test_what_was_not_seen_is_bounded_by_words_and_by_speakers() -> None:
    result = compare(run(), run())
    (verdict,) = result.verdicts
    assert verdict.error is not None
    assert verdict.error.unseen_speakers_upper95_percent == pytest.approx(100 * (1 - 0.05 ** (1 / 40)))
    assert f"nothing differs in {verdict.error.words:,} words of 40 speakers" in in_words(result)


def test_character_errors_can_be_judged_instead() -> None:
    base = run()
    spoiled = worse(base, 0.05)
    found = compare(base, spoiled, Gates(metric="cer", max_error_increase_points=0.8))
    assert found.accepted
    assert found.verdicts[0].error is not None
    assert found.verdicts[0].error.metric == "cer"
    assert 0.2 < found.verdicts[0].error.increase_points < 0.45
    refused = compare(base, spoiled, Gates(metric="cer", max_error_increase_points=0.2))
    assert "CER rises by more than +0.20 points" in refused.reasons[0]


def test_energy_is_judged_where_it_is_asked_for_and_only_reported_else() -> None:
    base = run(REPEATED)
    assert compare(base, hungrier(base, 1.01), energy(5.0)).accepted
    result = compare(base, hungrier(base, 1.10), energy(5.0))
    assert not result.accepted
    (cost, *_) = result.verdicts[0].costs
    assert cost.increase_percent == pytest.approx(10, abs=0.2)
    assert "energy rises by more than +5.0 %" in result.reasons[0]
    assert compare(base, hungrier(base, 0.5), energy(0.0)).accepted
    unasked = compare(base, hungrier(base, 1.5))
    assert unasked.accepted
    assert "module total; not judged)" in in_words(unasked)


def test_different_evidence_is_noted_or_refused() -> None:
    base = run(REPEATED)
    modelled = edited(base, traces=())
    assert compare(base, modelled).accepted
    assert "different evidence" in in_words(compare(base, modelled))
    result = compare(base, modelled, energy(3.0))
    assert not result.accepted
    assert "measured (module total) against modelled" in result.reasons[0]


def test_missing_energy_is_noted_or_refused() -> None:
    blind = edited(run(), traces=(), cpu_s=None)
    assert compare(blind, blind).accepted
    assert "energy cannot be compared" in in_words(compare(blind, blind))
    for base, new in ((blind, blind), (run(), blind), (blind, run())):
        demanded = compare(base, new, energy(3.0))
        assert not demanded.accepted
        assert "energy cannot be compared" in demanded.reasons[0]


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
    base = made_up_run(models=MODELS[:2], precisions=("fp32",), conditions=(CLEAN, NOISY[0]), shape=LARGE)
    no_base = replace(base, trials=tuple(t for t in base.trials if t.trial.recognizer.model != "base"))
    assert "the new run has no fake:base fp32 on bundled, clean" in compare(base, no_base).reasons[0]
    quiet = replace(base, trials=tuple(t for t in base.trials if t.trial.condition == CLEAN))
    assert "did not transcribe bundled, rain@20dB" in compare(base, quiet).reasons[0]
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
    gates = Gates(max_error_increase_points=5.0, max_energy_increase_percent=50.0)
    broken = replace(whole.trials[1], status="failed", reason="ended with SIGSEGV", utterances=())
    part = replace(whole, trials=(whole.trials[0], broken))
    for base, new, name in ((whole, part, "new"), (part, whole, "base")):
        result = compare(base, new, gates)
        assert not result.accepted
        assert f"1 of 2 trials of the {name} run did not finish: ended with SIGSEGV" in result.reasons[0]
    assert compare(whole, whole, gates).accepted


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
    base, new = store_run(run(REPEATED), tmp_path / "base"), store_run(worse(run(REPEATED), 1.0), tmp_path / "new")
    limits = ["--max-wer-increase", "0.2", "--max-energy-increase", "5%", "--max-memory-increase", "2%"]
    assert main(["compare", str(base), str(base), *limits]) == 0
    capsys.readouterr()
    assert main(["compare", str(base), str(new), *limits, "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["schema"] == 2
    assert answer["accepted"] is False
    assert answer["gates"]["max_error_increase_points"] == 0.2
    assert answer["verdicts"][0]["error"]["increase_points"] == pytest.approx(5.0)
    assert [each["quantity"] for each in answer["verdicts"][0]["costs"]][:2] == ["energy", "real-time factor"]
    assert "WER rises" in answer["reasons"][0]
    assert main(["compare", str(base), str(tmp_path / "nothing")]) == 2
    assert main(["compare", str(base), str(base), "--max-energy-increase", "much"]) == 2


def test_a_limit_of_the_other_metric_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = str(store_run(run(), tmp_path / "base"))
    assert main(["compare", base, base, "--metric", "cer", "--max-cer-increase", "0.3"]) == 0
    capsys.readouterr()
    assert main(["compare", base, base, "--max-cer-increase", "0.3"]) == 2
    assert "--metric cer" in capsys.readouterr().err
    assert main(["compare", base, base, "--metric", "cer", "--max-wer-increase", "0.3"]) == 2


def test_the_function_takes_points_and_per_cent(tmp_path: Path) -> None:
    base, new = store_run(run(), tmp_path / "base"), store_run(worse(run(), 0.1), tmp_path / "new")
    assert wattscribe.api.compare(base, new, max_wer_increase_points=1.0).accepted
    assert not wattscribe.api.compare(base, new, max_wer_increase_points=0.01).accepted
