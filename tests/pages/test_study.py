"""The study's document: ours beside the study's, and nothing of ours where nothing was measured."""

from __future__ import annotations

from dataclasses import replace

import pytest
from benchmarks import study

from tests.stored_runs import CLEAN, MODELS, Shape, made_up_run
from wattscribe.records import RunFacts
from wattscribe.results.table import view


def run(word_errors: tuple[float, float], utterances: int = study.UTTERANCES) -> RunFacts:
    """tiny.en at fp32 and int8, on a clean and on a noisy corpus."""
    facts = [
        made_up_run(
            models=[replace(MODELS[0], name="/m/whisper-tiny.en-ct2", word_errors=share)],
            precisions=("fp32", "int8"),
            conditions=(CLEAN,),
            shape=Shape(corpus=corpus, utterances=utterances),
        )
        for share, corpus in zip(
            word_errors, ("/d/librispeech/dev-clean", "/d/librispeech-noisy/dev-clean"), strict=True
        )
    ]
    return replace(facts[0], trials=(*facts[0].trials, *facts[1].trials))


def test_rates_are_put_beside_the_studys() -> None:
    facts = run((0.087, 0.37))
    heard = study.recognizers(view(facts).rows)
    assert [(each.name, each.precision) for each in heard] == [("tiny.en", "fp32"), ("tiny.en", "int8")]
    text = study.document(facts, heard)
    (line,) = [line for line in text.splitlines() if line.startswith("| tiny.en | fp32") and line.endswith("40.1 |")]
    clean, noisy = heard[0].clean, heard[0].noisy
    assert clean is not None
    assert noisy is not None
    assert f"| {100 * (clean.wer or 0):.2f} [" in line
    assert f"| {100 * (noisy.wer or 0):.2f} [" in line
    assert "| tiny | fp16 | – | – | 62 |" in text
    assert "| medium | – | – | – | 3.8 | 14.2 |" in text
    assert "not measured yet" not in text


@pytest.mark.parametrize(
    ("clean", "noisy", "utterances", "within"),
    [(0.087, 0.37, 70, True), (0.087, 0.29, 70, False), (0.12, 0.37, 70, False), (0.087, 0.37, 4, None)],
)
def test_rates_are_judged_on_the_whole_chapter_only(
    clean: float, noisy: float, utterances: int, within: bool | None
) -> None:
    rates = {"/d/librispeech/dev-clean": clean, "/d/librispeech-noisy/dev-clean": noisy}
    rows = [replace(row, wer=rates[row.corpus]) for row in view(run((0.1, 0.3), utterances)).rows]
    found = study.judged(study.recognizers(rows))
    assert found["within"] is within
    assert len(found["wer"]) == 4


def test_without_a_run_the_document_says_so() -> None:
    text = study.document(None, [])
    assert "not measured yet" in text
    assert "| base | – | – | – | 7.3 | 28.7 |" in text
    assert study.judged([]) == {"within": None, "wer": {}}
