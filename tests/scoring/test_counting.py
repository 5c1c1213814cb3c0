"""Word and character errors per utterance, and the text rules before them."""

from __future__ import annotations

import random

import jiwer
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattscribe.errors import InputError
from wattscribe.scoring import count_errors, counting, mean_counts, normaliser

SENTENCES = st.lists(
    st.tuples(*[st.lists(st.sampled_from(["a", "b", "cat", "dog's", "é"]), max_size=7).map(" ".join)] * 2),
    min_size=1,
    max_size=6,
)


def test_each_kind_of_error_is_counted_in_its_utterance() -> None:
    counts = count_errors(["a b c d", "a b", "x"], ["a q c", "a b z z", "x"], rule="none")
    assert counts.substitutions.tolist() == [1, 0, 0]
    assert counts.deletions.tolist() == [1, 0, 0]
    assert counts.insertions.tolist() == [0, 2, 0]
    assert counts.words.tolist() == [4, 2, 1]
    assert counts.wer == pytest.approx(4 / 7)
    assert counts.characters.tolist() == [7, 3, 1]
    assert counts.character_errors.tolist() == [3, 4, 0]


def test_an_empty_reference_adds_insertions_and_no_words() -> None:
    counts = count_errors(["", "a b"], ["heard this", "a b"])
    assert counts.empty_references == 1
    assert counts.insertions.tolist() == [2, 0]
    assert counts.wer == pytest.approx(2 / 2)


def test_a_reference_that_normalises_to_nothing_is_treated_as_empty() -> None:
    counts = count_errors(["Uh, um. [laughter]", "yes"], ["uh", "yes"])
    assert counts.empty_references == 1
    assert counts.wer == 0.0


def test_an_empty_hypothesis_deletes_every_word() -> None:
    counts = count_errors(["a b c"], [""])
    assert counts.deletions.tolist() == [3]
    assert counts.wer == 1.0
    assert counts.cer == 1.0


def test_characters_are_counted_by_their_distance() -> None:
    """A rule may leave a space at an end, which is no character of the text."""
    counts = count_errors(["kitten", "ab "], ["sitting", " ab"], rule=str)
    assert counts.character_errors.tolist() == [3, 0]
    assert counts.characters.tolist() == [6, 2]


def test_without_reference_words_there_is_no_rate() -> None:
    assert count_errors(["", "um"], ["x", ""]).wer is None
    assert count_errors([], []).wer is None


def test_unequal_numbers_of_texts_are_refused() -> None:
    with pytest.raises(InputError, match="2 references for 1 hypotheses"):
        count_errors(["a", "b"], ["a"])


@given(SENTENCES)
def test_totals_are_those_of_jiwer(pairs: list[tuple[str, str]]) -> None:
    references, hypotheses = [a for a, _ in pairs], [b for _, b in pairs]
    counts = count_errors(references, hypotheses, rule="none")
    words, letters = jiwer.process_words(references, hypotheses), jiwer.process_characters(references, hypotheses)
    assert counts.substitutions.sum() == words.substitutions
    assert counts.deletions.sum() == words.deletions
    assert counts.insertions.sum() == words.insertions
    assert counts.character_errors.sum() == letters.substitutions + letters.deletions + letters.insertions


@given(SENTENCES)
def test_the_order_of_utterances_does_not_matter(pairs: list[tuple[str, str]]) -> None:
    shuffled = list(pairs)
    random.Random(1).shuffle(shuffled)
    one = count_errors([a for a, _ in pairs], [b for _, b in pairs])
    other = count_errors([a for a, _ in shuffled], [b for _, b in shuffled])
    assert one.wer == other.wer


def test_repeats_are_averaged_and_not_counted_twice() -> None:
    first, second = count_errors(["a b c d"], ["a b c d"]), count_errors(["a b c d"], ["a b"])
    both = mean_counts([first, second])
    assert both.words.sum() == 4
    assert both.wer == pytest.approx(0.25)
    assert np.array_equal(mean_counts([second, second]).errors, second.errors)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("whisper", "Mr. Neil WON'T pay twenty five dollars", "mister neil will not pay $25"),
        ("whisper", "the colour, um, of it", "the color of it"),
        ("basic", "Hello,  WORLD!", "hello world"),
        ("none", "  Hello,\tWORLD! ", "Hello, WORLD!"),
    ],
)
def test_text_rules(name: str, text: str, expected: str) -> None:
    assert normaliser(name)(text) == expected


def test_an_unknown_text_rule_names_the_known_ones() -> None:
    with pytest.raises(InputError, match="whisper, basic, characters, none"):
        normaliser("english")


def test_many_pairs_are_aligned_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    references = ["one two three", "", "four", "five six"] * 3
    hypotheses = ["one too three", "a", "", "five six seven"] * 3
    whole = count_errors(references, hypotheses, rule="none")
    monkeypatch.setattr(counting, "ALIGNED_AT_ONCE", 5)
    parts = count_errors(references, hypotheses, rule="none")
    assert parts.alignments == whole.alignments
    for name in ("substitutions", "deletions", "insertions", "words", "character_errors", "characters"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))
