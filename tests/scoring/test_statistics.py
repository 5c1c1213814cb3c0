"""Intervals and tests against closed forms, a hand computation and kaldialign."""

from __future__ import annotations

import itertools
import math
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattscribe import scoring
from wattscribe.errors import InputError
from wattscribe.scoring import (
    FEWEST_SPEAKERS,
    ErrorCounts,
    count_errors,
    holm,
    mapsswe,
    paired_bootstrap,
    spearman,
    wer_interval,
)
from wattscribe.scoring.bounds import events_upper, units_to_bound, units_to_show, unseen_rate
from wattscribe.student import student_p, student_t

SHARED = Path(os.environ.get("WATTSCRIBE_SHARED", Path(__file__).resolve().parents[2].parent / "shared")) / "data"
OUTPUTS = SHARED / "recognizer-outputs"
PUBLISHED = {"b1.rnnt_baseline": 3.65, "b2.b1+nnlm": 2.79, "s4.s3+nnlm.biasing_100": 2.28}
needs_outputs = pytest.mark.skipif(not OUTPUTS.is_dir(), reason=f"{OUTPUTS} is missing: real recognizer outputs")


def texts(name: str) -> dict[str, str]:
    lines = (OUTPUTS / f"test-clean.{name}.tsv").read_text(encoding="utf-8").splitlines()
    return {key.strip(): text for key, _, text in (line.partition("\t") for line in lines)}


def system(name: str) -> tuple[ErrorCounts, list[str]]:
    reference, heard = texts("ref"), texts(name)
    keys = sorted(reference)
    counts = count_errors([reference[key] for key in keys], [heard[key] for key in keys], rule="none")
    return counts, [key.split("-")[0] for key in keys]


def made(errors: list[int], words: list[int]) -> ErrorCounts:
    none = np.zeros(len(errors))
    return ErrorCounts(
        substitutions=np.array(errors, dtype=float),
        deletions=none,
        insertions=none,
        words=np.array(words, dtype=float),
        character_errors=none,
        characters=np.array(words, dtype=float),
    )


@pytest.mark.data
@needs_outputs
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_word_error_rates(name: str) -> None:
    counts, _ = system(name)
    assert counts.utterances == 2620
    assert counts.wer is not None
    assert round(100 * counts.wer, 2) == PUBLISHED[name]


@pytest.mark.data
@needs_outputs
@pytest.mark.parametrize("name", PUBLISHED)
def test_half_width_agrees_with_kaldialign(name: str) -> None:
    kaldialign = pytest.importorskip("kaldialign")
    counts, _ = system(name)
    reference, heard = texts("ref"), texts(name)
    keys = sorted(reference)
    theirs = kaldialign.bootstrap_wer_ci(
        [reference[key].split() for key in keys], [heard[key].split() for key in keys], replications=2000
    )
    low, high = wer_interval(counts, None, resamples=4000).ci95 or (0.0, 0.0)
    assert (high - low) / 2 == pytest.approx(theirs["ci95"], rel=0.10)


@pytest.mark.data
@needs_outputs
def test_both_tests_find_the_real_difference_and_speakers_widen_the_interval() -> None:
    (first, speakers), (second, _) = system("b1.rnnt_baseline"), system("s4.s3+nnlm.biasing_100")
    paired = paired_bootstrap(first, second, speakers)
    matched = mapsswe(*scoring.segments(first, second))
    assert paired.difference == pytest.approx(-0.0137, abs=1e-4)
    assert paired.ci95[1] < 0
    assert paired.p < 0.01
    assert matched.p < 1e-6
    by_speaker, by_utterance = wer_interval(first, speakers).ci95, wer_interval(first, None).ci95
    assert by_speaker is not None
    assert by_utterance is not None
    assert by_speaker[1] - by_speaker[0] > 1.1 * (by_utterance[1] - by_utterance[0])


def test_the_interval_is_that_of_the_normal_approximation() -> None:
    generator = np.random.default_rng(7)
    errors = generator.binomial(10, 0.1, size=4000)
    interval = wer_interval(made(errors.tolist(), [10] * 4000), None, resamples=4000).ci95
    assert interval is not None
    expected = 1.96 * errors.std() / 10 / math.sqrt(4000)
    assert (interval[1] - interval[0]) / 2 == pytest.approx(expected, rel=0.06)


def test_speakers_are_drawn_whole() -> None:
    """Two speakers, one always right and one always wrong: draws give 0, 1/2 or 1, widened by √2 · t(1) / z."""
    counts = made([0] * 50 + [10] * 50, [10] * 100)
    clustered = wer_interval(counts, ["a"] * 50 + ["b"] * 50)
    assert clustered.ci95 == (0.0, pytest.approx(0.5 + 0.5 * math.sqrt(2) * 12.7062 / 1.95996, rel=1e-4))
    assert "2 speakers (few" in clustered.method
    alone = wer_interval(counts, ["a"] * 100)
    assert alone.ci95 is not None
    assert alone.ci95[1] - alone.ci95[0] < 0.25
    assert "100 utterances (one speaker" in alone.method


def test_an_interval_is_the_same_every_time_and_depends_on_the_seed() -> None:
    counts = made([1, 0, 3, 2, 0, 0, 5], [9, 8, 7, 9, 10, 3, 12])
    assert wer_interval(counts, None, seed=1) == wer_interval(counts, None, seed=1)
    assert wer_interval(counts, None, seed=1) != wer_interval(counts, None, seed=2)


def test_no_error_seen_is_not_certainty() -> None:
    interval = wer_interval(made([0, 0], [50, 50]))
    assert interval.rate == 0.0
    assert interval.ci95 == (0.0, pytest.approx(1 - 0.05**0.01))
    assert "no error in 100 words" in interval.method


def test_nothing_to_count_has_no_interval() -> None:
    assert wer_interval(made([], [])).ci95 is None


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=30))
def test_swapping_the_systems_turns_the_difference_round(pairs: list[tuple[int, int]]) -> None:
    words = [6] * len(pairs)
    one, other = made([a for a, _ in pairs], words), made([b for _, b in pairs], words)
    there, back = paired_bootstrap(one, other, resamples=200), paired_bootstrap(other, one, resamples=200)
    assert there.difference == pytest.approx(-back.difference)
    assert there.ci95 == pytest.approx((-back.ci95[1], -back.ci95[0]))
    assert there.p == back.p


def test_equal_systems_are_not_told_apart_and_not_proven_equal() -> None:
    """No difference in 36 words: exactly 1 - 0.05^(1/36) one-sided, 1 - 0.025^(1/36) on both sides."""
    counts = made([1, 2, 0, 4], [9, 9, 9, 9])
    result = paired_bootstrap(counts, counts)
    assert (result.difference, result.p, result.differing_utterances) == (0.0, 1.0, 0)
    assert result.upper95 == pytest.approx(1 - 0.05 ** (1 / 36))
    assert result.ci95 == (pytest.approx(-(1 - 0.025 ** (1 / 36))), pytest.approx(1 - 0.025 ** (1 / 36)))
    by_letters = paired_bootstrap(counts, counts, metric="cer")
    assert by_letters.upper95 == pytest.approx(1 - 0.05 ** (5 / 36))


def test_one_word_that_went_is_no_proof_that_none_came() -> None:
    counts = made([1] + [0] * 99, [10] * 100)
    better = paired_bootstrap(counts, made([0] * 100, [10] * 100))
    assert better.upper95 == pytest.approx(1 - 0.05**0.001 - 0.001)


def test_few_errors_are_bounded_as_poisson_says() -> None:
    stats = pytest.importorskip("scipy.stats")
    for count in (1, 2, 5, 20, 100):
        exact = stats.chi2.ppf(0.95, 2 * (count + 1)) / 2
        assert events_upper(count, 1e6) == pytest.approx(exact, rel=5e-3)
    assert units_to_bound(0.002) == pytest.approx(math.log(0.05) / math.log(0.998))
    assert unseen_rate(units_to_bound(0.002)) == pytest.approx(0.002)


def test_a_limit_that_is_reached_exactly_is_accepted_once_in_twenty() -> None:
    """Rare errors, 3,000 words: the second system makes 0.2 points more, which must not pass as below 0.2 points."""
    generator = np.random.default_rng(11)
    passed = 0
    for seed in range(200):
        one, other = generator.binomial(15, 0.0005, 200), generator.binomial(15, 0.0025, 200)
        systems = made(one.tolist(), [15] * 200), made(other.tolist(), [15] * 200)
        result = paired_bootstrap(*systems, resamples=400, seed=seed)
        passed += result.upper95 <= 0.002
    assert passed <= 20


def test_the_proposed_number_of_words_shows_it_four_times_in_five() -> None:
    generator = np.random.default_rng(5)

    def drawn_pair(utterances: int) -> tuple[ErrorCounts, ErrorCounts]:
        both = generator.binomial(10, 0.08, utterances)
        one, other = (both + generator.binomial(10, 0.02, utterances) for _ in range(2))
        return made(one.tolist(), [10] * utterances), made(other.tolist(), [10] * utterances)

    pilot = paired_bootstrap(*drawn_pair(2000))
    words = units_to_show(0.005, pilot.standard_error, pilot.places)
    shown = [paired_bootstrap(*drawn_pair(round(words / 10)), resamples=200).upper95 <= 0.005 for _ in range(100)]
    assert 0.68 <= sum(shown) / len(shown) <= 0.92


@pytest.mark.parametrize(("speakers", "utterances"), [(3, 60), (6, 60), (40, 200)])
def test_thirty_pairs_that_differ_are_found_to_differ(speakers: int, utterances: int) -> None:
    """WER 0, 10, 30 and 56 % under five conditions: Holm's correction for 30 pairs hides none of them."""
    generator = np.random.default_rng(2)
    of = np.arange(utterances) % speakers
    found = []
    for _ in range(5):
        harder = np.exp(generator.normal(0, 0.1, speakers))[of]
        heard = [
            made(generator.binomial(12, np.clip(rate * harder, 0, 1)).tolist(), [12] * utterances)
            for rate in (0.0, 0.1, 0.3, 0.56)
        ]
        for one, other in itertools.combinations(heard, 2):
            found.append(paired_bootstrap(one, other, [str(each) for each in of], fewest_speakers=FEWEST_SPEAKERS).p)
    assert len(found) == 30
    assert sum(p < 0.05 for p in holm(found)) >= 28


@pytest.mark.parametrize("degrees", [1, 2, 5, 39, 2619, math.inf])
@pytest.mark.parametrize("t", [0.0, 0.3, 1.0, 2.5, 12.0, 60.0])
def test_tails_of_t_agree_with_scipy(degrees: float, t: float) -> None:
    stats = pytest.importorskip("scipy.stats")
    assert student_p(t, degrees) == pytest.approx(2 * stats.t.sf(t, degrees), rel=1e-6)


@pytest.mark.data
@needs_outputs
def test_the_p_value_agrees_with_kaldialigns_bootstrap() -> None:
    """Its share of draws in which the second is better, for two systems that 60 utterances hardly tell apart."""
    kaldialign = pytest.importorskip("kaldialign")
    reference, one, other = (texts(name) for name in ("ref", "b1.rnnt_baseline", "b2.b1+nnlm"))
    keys = sorted(reference)[::44]
    theirs = kaldialign.bootstrap_wer_ci(
        *([each[key].split() for key in keys] for each in (reference, one, other)), replications=4000
    )
    first, second = (
        count_errors([reference[k] for k in keys], [each[k] for k in keys], rule="none") for each in (one, other)
    )
    ours = paired_bootstrap(first, second)
    share = 1 - ours.p / 2 if ours.difference < 0 else ours.p / 2
    assert theirs["p_s2_improv_over_s1"] == pytest.approx(share, abs=0.02)


def test_false_alarms_come_as_often_as_promised() -> None:
    generator = np.random.default_rng(3)
    found = 0
    for seed in range(300):
        one, other = generator.binomial(8, 0.15, size=(2, 80))
        found += paired_bootstrap(made(one.tolist(), [8] * 80), made(other.tolist(), [8] * 80), seed=seed).p < 0.05
    assert 4 <= found <= 30


def drawn(speakers: int, effect: float, seed: int) -> tuple[ErrorCounts, ErrorCounts, list[str]]:
    """60 utterances of 12 words; each speaker is harder for the second system by a normal draw around `effect`."""
    generator = np.random.default_rng(seed)
    of = np.arange(60) % speakers
    harder = np.clip(0.15 + effect + generator.normal(0, 0.03, speakers)[of], 0, 1)
    one, other = generator.binomial(12, 0.15, 60), generator.binomial(12, harder)
    return made(one.tolist(), [12] * 60), made(other.tolist(), [12] * 60), [str(each) for each in of]


@pytest.mark.parametrize("speakers", [2, 3, 5, 20])
def test_few_speakers_claim_no_more_than_many(speakers: int) -> None:
    """At most one claim in twenty is false: of a difference where there is none, and of an increase within its exact size."""
    differs = within = 0
    for seed in range(200):
        one, other, of = drawn(speakers, 0.0, seed)
        differs += paired_bootstrap(one, other, of, resamples=400, seed=seed).p < 0.05
        one, other, of = drawn(speakers, 0.02, seed)
        within += paired_bootstrap(one, other, of, resamples=400, seed=seed).upper95 <= 0.02
    assert differs <= 20
    assert within <= 20


def test_below_the_fewest_speakers_utterances_are_drawn_and_the_method_says_so() -> None:
    one, other, of = drawn(3, 0.0, 1)
    alone = paired_bootstrap(one, other, of, fewest_speakers=5)
    assert alone.upper95 == paired_bootstrap(one, other).upper95
    assert "60 utterances (3 speakers: says nothing about other speakers)" in alone.method


def test_one_utterance_shows_nothing() -> None:
    one, other = made([1], [8]), made([4], [8])
    interval = wer_interval(other)
    assert (interval.rate, interval.ci95) == (0.5, None)
    assert "one utterance" in interval.method
    with pytest.raises(InputError, match="two utterances"):
        paired_bootstrap(one, other)


def test_the_same_difference_everywhere_is_not_proof() -> None:
    """Two utterances or segments that agree: their signs would by chance in one case of two."""
    one, other = made([0, 0], [8, 8]), made([3, 3], [8, 8])
    assert paired_bootstrap(one, other).p >= 0.5
    assert mapsswe(np.array([0.0, 0.0]), np.array([3.0, 3.0])).p == 0.5


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 9, 16, 40, 200])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.975])
def test_quantiles_of_t_agree_with_scipy(degrees: int, confidence: float) -> None:
    stats = pytest.importorskip("scipy.stats")
    assert student_t(degrees, confidence) == pytest.approx(stats.t.ppf(confidence, degrees), rel=1.5e-3)
    assert student_t(math.inf, confidence) == pytest.approx(stats.norm.ppf(confidence))


def test_a_paired_test_refuses_other_utterances() -> None:
    with pytest.raises(InputError, match="same utterances"):
        paired_bootstrap(made([1], [4]), made([1], [5]))


def test_mapsswe_by_hand() -> None:
    """d = second − first = (−1, −2, 0, 1, −1, −3): mean −1, s² = (0+1+1+4+0+4)/5 = 2, z = −1 / √(2/6) = −√3."""
    result = mapsswe(np.array([2.0, 3, 1, 0, 1, 4]), np.array([1.0, 1, 1, 1, 0, 1]))
    assert result.difference == pytest.approx(-1.0)
    assert result.z == pytest.approx(-math.sqrt(3.0))
    assert result.p == pytest.approx(0.0832645, abs=1e-6)
    assert result.ci95 == pytest.approx((-1 - 1.959964 / math.sqrt(3), -1 + 1.959964 / math.sqrt(3)))


def test_segments_end_where_both_have_two_words_right() -> None:
    reference = "a b c d e f g h i"
    first = count_errors([reference], ["a X c d e f g X i"], rule="none")
    second = count_errors([reference], ["a b Y d e f g h i j"], rule="none")
    assert [each.tolist() for each in scoring.segments(first, second)] == [[1.0, 1.0], [1.0, 1.0]]
    third = count_errors([reference], ["a b c d e f g h i"], rule="none")
    assert [each.tolist() for each in scoring.segments(first, third)] == [[1.0, 1.0], [0.0, 0.0]]


@given(st.lists(st.tuples(*[st.lists(st.sampled_from("abc"), max_size=9).map(" ".join)] * 3), min_size=1, max_size=4))
def test_segments_lose_no_error(triples: list[tuple[str, str, str]]) -> None:
    references = [f"{a} z".strip() for a, _, _ in triples]
    one = count_errors(references, [b for _, b, _ in triples], rule="none")
    other = count_errors(references, [c for _, _, c in triples], rule="none")
    first, second = scoring.segments(one, other)
    assert first.sum() == one.errors.sum()
    assert second.sum() == other.errors.sum()


def test_one_segment_is_not_enough() -> None:
    with pytest.raises(InputError, match="two segments"):
        mapsswe(np.array([1.0]), np.array([0.0]))


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_rank_correlation_of_known_orders() -> None:
    rising = spearman([1, 2, 3, 4, 5], [10, 20, 30, 40, 100])
    assert rising.rho == pytest.approx(1.0)
    assert rising.p == pytest.approx(2 / 120)
    assert spearman([1, 2, 3, 4], [4, 3, 2, 1]).rho == pytest.approx(-1.0)


def test_rank_correlation_agrees_with_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    generator = np.random.default_rng(5)
    x, y = generator.integers(0, 6, size=(2, 12)).astype(float)
    ours, theirs = spearman(x.tolist(), y.tolist()), stats.spearmanr(x, y)
    assert ours.rho == pytest.approx(theirs.statistic)
    assert ours.p == pytest.approx(theirs.pvalue, abs=0.03)


def test_three_models_are_too_few() -> None:
    with pytest.raises(InputError, match="4 models"):
        spearman([1, 2, 3], [1, 2, 3])
