"""The text rules: OpenAI's for English, one that keeps marks, one per character; and whether a rule suits the language."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattscribe.scoring import count_errors, normalise, normaliser
from wattscribe.scoring.normalise import unsuited

ENGLISH = [
    "I kinda think 'cause of it, cause dunno, sorta.",
    "Mr. O'Neil won't pay £2.50, but twenty-five dollars and ten cents",
    "The colour of Dr. Brown's café (naïve) [laughs] isn't double oh seven",
    "it's half past one hundred and one thousand, minus three point one four percent",
]


def test_the_english_rule_leaves_what_openai_leaves() -> None:
    """The package that brings the rule also rewrites these four; openai-whisper does not."""
    assert normaliser()("kinda sorta dunno cause") == "kinda sorta dunno cause"
    assert count_errors(["the cause"], ["the because"]).wer == 0.5


def test_the_english_rule_is_that_of_transformers() -> None:
    """transformers carries OpenAI's own text; its spellings come with the package (the two files are equal)."""
    reference = pytest.importorskip("transformers.models.whisper.english_normalizer", reason="no extra 'hf'")
    from whisper_normalizer.english import EnglishTextNormalizer

    theirs = reference.EnglishTextNormalizer(EnglishTextNormalizer().standardize_spellings.mapping)
    ours, draw = normaliser(), random.Random(1)
    words = [
        *" ".join(ENGLISH).split(),
        *theirs.standardize_numbers.words,
        "$5",
        "1,000",
        "2.5",
        "20th",
        "and",
        "a",
        "half",
    ]
    texts = [*ENGLISH, *(" ".join(draw.choices(words, k=draw.randint(1, 7))) for _ in range(2000))]
    assert [text for text in texts if ours(text) != " ".join(theirs(text).split())] == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("नमस्ते दुनिया, आप कैसे हैं?", "नमस्ते दुनिया आप कैसे हैं"),
        ("മലയാളം നല്ല ഭാഷ!", "മലയാളം നല്ല ഭാഷ"),
        ("สวัสดี ชาวโลก", "สวัสดี ชาวโลก"),
        ("كِتَابٌ جَمِيلٌ.", "كِتَابٌ جَمِيلٌ"),
        ("Ça va, L’ÉTÉ?", "ça va l été"),
    ],
    ids=["Hindi", "Malayalam", "Thai", "Arabic", "French"],
)
def test_the_basic_rule_keeps_marks_and_so_words(text: str, words: str) -> None:
    assert normaliser("basic")(text) == words


def test_a_rule_for_scripts_without_spaces() -> None:
    counts = count_errors(["我们今天去上海。"], ["我们明天去 上海"], rule="characters")
    assert counts.words.tolist() == [7]
    assert counts.errors.tolist() == [1]
    assert count_errors(["สวัสดี"], ["สวัสดี"], rule="characters").wer == 0.0


@pytest.mark.parametrize(
    ("rule", "text", "advice"),
    [
        ("whisper", "नमस्ते दुनिया", "--normaliser basic"),
        ("whisper", "Ich gehe heute in die Stadt und kaufe ein Brot", "--normaliser basic"),
        ("whisper", "je vais à la ville pour acheter du pain", "--normaliser basic"),
        ("whisper", "het is een mooie dag", "--normaliser basic"),
        ("whisper", "我们今天去上海", "read the CER, or score with --normaliser characters"),
        ("basic", "今日は東京へ行きます", "read the CER, or score with --normaliser characters"),
    ],
)
def test_a_rule_that_does_not_suit_the_language_is_said(rule: str, text: str, advice: str) -> None:
    said = unsuited(rule, [text])
    assert said is not None
    assert advice in said


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ("whisper", "do not die in the café of Señor Müller " + "the same old English words again and again " * 20),
        ("whisper", "one two three 4 5 6"),
        ("whisper", ""),
        ("basic", "Ich gehe heute in die Stadt"),
        ("characters", "我们今天去上海"),
        ("none", "नमस्ते दुनिया"),
    ],
)
def test_a_rule_that_suits_is_not_complained_about(rule: str, text: str) -> None:
    assert unsuited(rule, [text]) is None


PLAIN = "the of and to a in that was his with for been got gone he it s t i"
READ_TOGETHER = "one two twenty hundred thousand point half double triple minus per cent percent oh dollars cents third"
REWRITTEN = "mr mrs st dr colour grey hmm um wanna can't it's they'd he'll seconds"
SENTENCES = st.lists(
    st.tuples(
        st.one_of(*(st.sampled_from(words.split()) for words in (PLAIN, READ_TOGETHER, REWRITTEN))),
        st.sampled_from([" ", " ", " ", ", ", ". ", "-", " - ", "? ", "\n", "", ": ", "! "]),
    ),
    max_size=12,
)


@settings(max_examples=400)
@given(SENTENCES, st.booleans())
def test_the_quick_way_through_plain_sentences_says_the_same(pieces: list[tuple[str, str]], capital: bool) -> None:
    from whisper_normalizer.english import EnglishTextNormalizer

    whole = EnglishTextNormalizer()
    for added in normalise.NOT_OPENAIS:
        whole.replacers.pop(added, None)
    text = "".join(word + mark for word, mark in pieces)
    text = text.capitalize() if capital else text
    assert normaliser("whisper")(text) == " ".join(whole(text).split())
