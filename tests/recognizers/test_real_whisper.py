"""OpenAI's own weights on real speech, where somebody has put them: words are right, and the audit knows these models."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wattscribe.pages.names import short_names
from wattscribe.recognizers import open_recognizer, parse_model
from wattscribe.recognizers.base import Audio
from wattscribe.scoring import count_errors

Chapter = list[tuple[str, str, Audio]]
REAL = Path(os.environ.get("WATTSCRIBE_REAL_MODELS", "~/.cache/real-asr-models")).expanduser()
HEARD = 3
PARAMETERS = {"tiny.en": 37.8e6, "base": 72.6e6}
"""As OpenAI counts them without the encoder's fixed positions, one per cent either way."""


def real(name: str, runtime: str) -> Path:
    pytest.importorskip({"ct2": "faster_whisper", "hf": "transformers"}[runtime], reason=f"needs wattscribe[{runtime}]")
    folder = REAL / f"whisper-{name}-{runtime}"
    if not folder.is_dir():
        pytest.skip(f"real Whisper weights are not at {folder}")
    return folder


@pytest.mark.data
@pytest.mark.parametrize(("runtime", "precision"), [("ct2", "fp32"), ("ct2", "int8"), ("hf", "fp32")])
@pytest.mark.parametrize("name", ["tiny.en", "base"])
def test_real_weights_hear_real_words(name: str, runtime: str, precision: str, chapter: Chapter) -> None:
    """At most one word in six wrong on three clean utterances: tiny.en and base have 8 to 9 % on the whole chapter."""
    folder = real(name, runtime)
    recognizer = open_recognizer(parse_model(f"{runtime}:{folder}?language=en", precision=precision))
    ours = [recognizer.transcribe([audio])[0].text for _, _, audio in chapter[:HEARD]]
    counts = count_errors([reference for _, reference, _ in chapter[:HEARD]], ours, rule="whisper")
    assert counts.errors.sum() / counts.words.sum() < 1 / 6, ours
    audit = recognizer.audit()
    assert audit.ok, audit.reason
    assert audit.parameters == pytest.approx(PARAMETERS[name], rel=0.02)
    recognizer.close()


def test_their_folders_have_short_names_in_figures() -> None:
    labels = [f"ct2:whisper-{name}-ct2" for name in PARAMETERS]
    assert list(short_names(labels).short.values()) == list(PARAMETERS)
