"""Text ↔ ids, and the form that sherpa-onnx reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.conftest import SENTENCES
from wattscribe.errors import InputError
from wattscribe.training.tokens import characters, load_vocabulary, save_vocabulary, train_bpe

WORDS = sorted({word for sentence in SENTENCES for word in sentence.split()})
BPE = train_bpe(SENTENCES, 60)
CHARACTERS = characters(SENTENCES)


@settings(max_examples=50)
@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=12))
def test_text_comes_back(words: Any) -> None:
    text = " ".join(words)
    for vocabulary in (BPE, CHARACTERS):
        ids = vocabulary.encode(text)
        assert 0 not in ids
        assert vocabulary.decode(ids) == text
    assert len(BPE.encode(text)) <= len(CHARACTERS.encode(text)) + 1


def test_blank_is_zero_and_the_size_is_asked_for() -> None:
    assert len(BPE) == 60
    assert BPE.units[0] == CHARACTERS.units[0] == "<blk>"


@pytest.mark.parametrize("vocabulary", [BPE, CHARACTERS], ids=["bpe", "characters"])
def test_strange_characters_are_named(vocabulary: Any) -> None:
    with pytest.raises(InputError, match="outside the vocabulary: 'ß'"):
        vocabulary.encode("the caß")


@pytest.mark.parametrize("vocabulary", [BPE, CHARACTERS], ids=["bpe", "characters"])
def test_a_vocabulary_is_kept(vocabulary: Any, tmp_path: Path) -> None:
    save_vocabulary(vocabulary, tmp_path)
    assert load_vocabulary(tmp_path) == vocabulary
    first = (tmp_path / "tokens.txt").read_text(encoding="utf-8").splitlines()[0]
    assert first == "<blk> 0"


def test_no_text_and_too_little_text() -> None:
    with pytest.raises(InputError, match="no text"):
        train_bpe([], 60)
    with pytest.raises(InputError, match="no text"):
        characters([""])
    with pytest.raises(InputError, match="no vocabulary of 5000 units"):
        train_bpe(SENTENCES, 5000)
    with pytest.raises(InputError, match=r"tokens\.txt"):
        load_vocabulary(__import__("pathlib").Path("nowhere"))
