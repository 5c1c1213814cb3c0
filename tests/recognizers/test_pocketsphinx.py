"""PocketSphinx's packaged model: answers with no download, and the same answer whatever was heard before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from wattscribe.errors import ModelError
from wattscribe.recognizers import Recognizer, open_recognizer, parse_model
from wattscribe.records import Transcript
from wattscribe.scoring import count_errors, normaliser

pytest.importorskip("pocketsphinx", reason="needs wattscribe[pocketsphinx]")


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return open_recognizer(parse_model("pocketsphinx:en-us"))


@pytest.fixture(scope="module")
def answers(recognizer: Recognizer, chapter: Any) -> list[Transcript]:
    """Of the first two utterances, heard in order."""
    return recognizer.transcribe([samples for _, _, samples in chapter[:2]])


def test_it_understands_read_speech(answers: list[Transcript], chapter: Any) -> None:
    """On the whole chapter its WER is 27.5 %; here it is 3 of 14 words."""
    clean = normaliser("whisper")
    counts = count_errors([clean(text) for _, text, _ in chapter[:2]], [clean(answer.text) for answer in answers])
    assert counts.errors.sum() / counts.words.sum() < 0.4


def test_an_answer_does_not_depend_on_what_was_heard_before(recognizer: Recognizer, answers: Any, chapter: Any) -> None:
    """The library's noise estimate runs on from utterance to utterance unless it is told that a new one begins."""
    assert recognizer.transcribe([chapter[0][2]]) == answers[:1]


def test_words_carry_their_times(answers: list[Transcript], chapter: Any) -> None:
    answer = answers[0]
    assert " ".join(token.text for token in answer.tokens) == answer.text
    assert all(a.start_s < b.start_s for a, b in zip(answer.tokens, answer.tokens[1:], strict=False))
    assert answer.tokens[-1].start_s < len(chapter[0][2]) / 16_000


def test_the_audit_counts_what_is_stored(recognizer: Recognizer) -> None:
    audit = recognizer.audit()
    assert audit.ok
    assert audit.weight_bytes["uint8"] > audit.weight_bytes["float32"] > 1_000_000


@pytest.mark.parametrize("text", ["pocketsphinx:fr-fr", "pocketsphinx:{here}"])
def test_a_missing_model_is_named(text: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        open_recognizer(parse_model(text.format(here=tmp_path)))
