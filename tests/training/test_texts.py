"""Sentences: their plain form, the split, and that dev and test speech never occurs in training."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.conftest import SENTENCES
from wattscribe.errors import InputError
from wattscribe.training import prepare, texts
from wattscribe.training.prepare import DEV_SETS, TEST_SETS, Speech
from wattscribe.training.speech_cache import plan_shard
from wattscribe.training.synthesis import is_held_out


@pytest.mark.parametrize(
    ("written", "plain"),
    [("“Accordez moi cette grâce,” he said.", "accordez moi cette grace he said"), ("Well-known; it's so", "well known it's so"),
     ("'tis  ' the   'end'", "tis the end"), ("Rock ’n’ roll", "rock n roll")],
)  # fmt: skip
def test_plain(written: Any, plain: Any) -> None:
    assert texts.plain(written) == plain


@given(st.text(alphabet="abc'-, .", max_size=60))
def test_plain_is_idempotent(text: Any) -> None:
    assert texts.plain(texts.plain(text)) == texts.plain(text)


def test_lines_that_would_lose_words_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("In 1905 it began\nA fine day\n\nA fine day\nдобрый день\n...\n", encoding="utf-8")
    assert texts.read_sentences([path]) == ["A fine day"]


def test_no_text_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such text file"):
        texts.read_sentences([tmp_path / "none.txt"])
    with pytest.raises(InputError, match=r"no \.txt file"):
        texts.read_sentences([tmp_path])
    (tmp_path / "empty.txt").write_text("1234\n")
    with pytest.raises(InputError, match="holds no sentence"):
        texts.read_sentences([tmp_path])


@given(st.lists(st.sampled_from(["one", "two", "three", "a", "b"]), min_size=1, max_size=120), st.integers(0, 99))
def test_pieces_lose_nothing(words: Any, seed: int) -> None:
    found = list(texts.pieces(" ".join(words), random.Random(seed), longest_words=12))
    assert " ".join(found).split() == words
    assert all(len(piece.split()) <= 14 for piece in found)


def test_the_split_hangs_on_the_plain_sentence_alone() -> None:
    shares = {"train": 0, "dev": 0, "test": 0}
    for number in range(4000):
        shares[texts.split_of(f"Sentence {number:b}!".replace("0", "a ").replace("1", "b "))] += 1
    assert texts.split_of("A Fine Day.") == texts.split_of("a fine day")
    assert 0.06 < shares["test"] / 4000 < 0.10
    assert 0.01 < shares["dev"] / 4000 < 0.03


def test_sentences_that_share_runs_of_words_go() -> None:
    held = ["it was the best of times it was the worst of times"]
    near = "he said it was the best of times it was the worst"
    assert texts.without([near, "the best of all", held[0]], held) == ["the best of all"]


def _training_side(speech: Speech) -> Iterator[Any]:
    sentences = prepare.training_sentences(speech)
    for number in range(12):
        yield from plan_shard(sentences, number, seed=speech.seed)


def test_dev_and_test_never_occur_in_training(tmp_path: Path) -> None:
    """On made-up text: no sentence of dev or test, no held-out voice and no bundled sentence is planned for training."""
    rng = random.Random(5)
    words = [word for sentence in SENTENCES for word in sentence.split()]
    lines = [" ".join(rng.choice(words) for _ in range(rng.randint(4, 40))) for _ in range(300)]
    lines.append("she planted two rows of carrots behind the garden shed")
    (tmp_path / "text.txt").write_text("\n".join(lines))
    _check_split(Speech(cache=str(tmp_path / "c"), text=(str(tmp_path / "text.txt"),)), lines)


def test_more_text_leaves_out_what_another_training_holds_out(tmp_path: Path) -> None:
    lines = [
        f"the {a} {b} went to the {c}"
        for a in ("old", "young")
        for b in ("king", "cook")
        for c in ("sea", "hill", "inn")
    ]
    held = next(line for line in lines if texts.split_of(line) == "test")
    (tmp_path / "first.txt").write_text("\n".join(lines))
    (tmp_path / "more.txt").write_text(f"as they say {held} and back again\nsomething else is said here\n")
    more = Speech(cache="unused", text=(str(tmp_path / "more.txt"),), held_out_text=(str(tmp_path / "first.txt"),))
    assert prepare.training_sentences(more) == ["something else is said here"]


def test_dev_and_test_never_occur_in_the_reference_training(shared: Path) -> None:
    speech = Speech(cache="unused", text=(str(shared / "text"),))
    _check_split(speech, texts.read_sentences([shared / "text"]))


def _check_split(speech: Speech, lines: Any) -> None:
    held_out = {texts.plain(line) for line in lines if texts.split_of(line) != "train"}
    bundled = prepare.held_out_texts(("bundled",))
    assert held_out
    assert bundled
    spoken = list(_training_side(speech))
    assert spoken
    for text, voice in spoken:
        assert text not in held_out
        assert text not in bundled
        assert not is_held_out(voice)
    runs = {text for text, _ in spoken if len(text.split()) > 8}
    assert not any(run in sentence for sentence in held_out for run in runs)


def test_every_held_out_set_has_its_voices() -> None:
    known = {
        voice.speaker for spoken in (*DEV_SETS, *TEST_SETS) if spoken.name.endswith("known") for voice in spoken.voices
    }
    others = {
        v.speaker for spoken in (*DEV_SETS, *TEST_SETS) if not spoken.name.endswith("known") for v in spoken.voices
    }
    assert not known & others
    assert all(is_held_out(v) for spoken in DEV_SETS[1:] for v in spoken.voices)
    assert all(
        spoken.split == ("dev" if spoken.name.startswith("dev") else "test") for spoken in (*DEV_SETS, *TEST_SETS)
    )
