"""What `compress` says of a result in which no word differs: so many words show so much, and no more."""

from __future__ import annotations

import pytest

from wattscribe.compression.acceptance import Acceptance, Side, non_inferiority
from wattscribe.compression.opened import Latency
from wattscribe.compression.outcome import judged
from wattscribe.compression.speech import SpeechSet
from wattscribe.records import Counts
from wattscribe.scoring import count_errors

SIDE = Side(
    energy_mj_per_audio_s=1.0, energy_ci95_mj=(1.0, 1.0), wer=0.0, rtf=0.1, rtf_cpu=0.1, size_bytes=1,
    peak_memory_bytes=None, counts=Counts(),
    latency=Latency(token_delay_mean_s=None, token_delay_p90_s=None, first_partial_s=None, finalisation_s=0.1),
)  # fmt: skip


def accepted(utterances: int, limit: float) -> Acceptance:
    """Both sides say every word of so many utterances of ten words."""
    said = ("a cat sat on the mat and saw it run",) * utterances
    errors = count_errors(said, said)
    names = tuple(f"s{n}" for n in range(utterances))
    speech = SpeechSet(name="dev", ids=names, speakers=names, references=said, audio=())
    paired = non_inferiority(errors, errors, speech, seed=0)
    return Acceptance(
        on="dev", utterances=utterances, audio_s=1.0, before=SIDE, after=SIDE, wer_increase=paired.difference,
        wer_increase_ci95=paired.ci95, wer_increase_upper95=paired.upper95, non_inferior=paired.upper95 <= limit,
        limit=limit, method=paired.method, identical_texts=utterances,
    )  # fmt: skip


@pytest.mark.parametrize("utterances", [2, 16])
def test_equal_texts_of_a_few_utterances_prove_nothing(utterances: int) -> None:
    found = accepted(utterances, 0.003)
    assert found.wer_increase_upper95 == pytest.approx(1 - 0.05 ** (1 / (10 * utterances)))
    said = judged(found, "modelled")
    assert "non-inferiority not proven within 0.3 points" in said
    assert f"no difference seen: exact bound for no event in {10 * utterances} places" in said
    assert "to +0.00" not in said


def test_equal_texts_of_a_thousand_words_prove_three_tenths_of_a_point() -> None:
    assert "non-inferior within 0.3 points" in judged(accepted(100, 0.003), "modelled")
