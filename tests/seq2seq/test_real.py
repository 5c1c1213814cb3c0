"""OpenAI's own weights, where somebody has put them: the text of Transformers here, and real words in sherpa-onnx."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.seq2seq.test_runtime import of_transformers, texts
from wattscribe.corpora import open_corpus
from wattscribe.recognizers import Audio, open_recognizer, parse_model
from wattscribe.records import Utterance
from wattscribe.scoring import count_errors
from wattscribe.seq2seq.export import export_whisper

REAL = Path(os.environ.get("WATTSCRIBE_REAL_MODELS", "~/.cache/real-asr-models")).expanduser()
HEARD = 3

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def speech(shared: Path) -> tuple[list[str], list[Audio]]:
    corpus = open_corpus(str(shared / "librispeech"))
    entries = [entry for entry, _ in zip(corpus, range(HEARD), strict=False) if isinstance(entry, Utterance)]
    return [entry.reference for entry in entries], [corpus.audio(entry) for entry in entries]


@pytest.mark.parametrize("name", ["tiny.en", "base"])
def test_real_weights_say_what_transformers_says(
    name: str, speech: tuple[list[str], list[Audio]], tmp_path: Path
) -> None:
    pytest.importorskip("transformers", reason="needs wattscribe[hf]")
    source = REAL / f"whisper-{name}-hf"
    if not source.is_dir():
        pytest.skip(f"real Whisper weights are not at {source}")
    references, clips = speech
    export_whisper(str(source), tmp_path, precisions=("fp32", "int8"))
    assert texts(tmp_path, clips) == of_transformers(source, clips)
    for precision in ("int8", "stored"):
        narrow = open_recognizer(parse_model(f"onnx:{tmp_path}", precision=precision)).transcribe(clips)
        counts = count_errors(references, [each.text for each in narrow], rule="whisper")
        assert counts.errors.sum() / counts.words.sum() < 1 / 6, [each.text for each in narrow]
        assert {each.language for each in narrow} == ({"en"} if name == "base" else {None}), "detected, where it can be"
    pytest.importorskip("sherpa_onnx", reason="needs wattscribe[sherpa]")
    theirs = open_recognizer(parse_model(f"sherpa:{tmp_path}")).transcribe(clips)
    counts = count_errors(references, [each.text for each in theirs], rule="whisper")
    assert counts.errors.sum() / counts.words.sum() < 1 / 6, [each.text for each in theirs]
