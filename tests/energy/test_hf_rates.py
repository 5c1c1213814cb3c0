"""Rates of Transformers models, counted on a real decode of a small random checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import soundfile

pytest.importorskip("transformers", reason="needs wattscribe[hf]")
from tests.known import known
from tests.recognizers import checkpoints
from wattscribe.corpora import open_corpus
from wattscribe.errors import InputError
from wattscribe.profiling import decode, workload_of
from wattscribe.recognizers import open_recognizer, parse_model
from wattscribe.recognizers.hf import HfRecognizer
from wattscribe.records import Utterance


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whisper")
    checkpoints.whisper(folder)
    return folder


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("speech")
    rng = np.random.default_rng(0)
    lines = []
    for number, seconds in enumerate((2.0, 3.0)):
        soundfile.write(folder / f"{number}.wav", 0.1 * rng.standard_normal(round(16000 * seconds)), 16000)
        lines.append(f'{{"audio_filepath": "{number}.wav", "duration": {seconds}, "text": "a b"}}\n')
    (folder / "manifest.jsonl").write_text("".join(lines))
    return folder


def test_windows_and_decoder_steps_are_those_that_ran(model: Path, speech: Path) -> None:
    """Counted a second time, by wrapping the networks' own forward."""
    recognizer = cast(HfRecognizer, open_recognizer(parse_model(f"hf:{model}")))
    seen = {"encoder": 0, "decoder": 0}
    for name, part in (("encoder", recognizer.network.model.encoder), ("decoder", recognizer.network.model.decoder)):

        def counted(*args: object, name: str = name, forward: Any = part.forward, **named: object) -> object:
            seen[name] += 1
            return forward(*args, **named)

        part.forward = counted
    corpus = open_corpus(str(speech))
    for entry in corpus:
        assert isinstance(entry, Utterance)
        recognizer.transcribe([corpus.audio(entry)])
    workload = workload_of(str(model))
    assert workload.kind == "encoder-decoder"
    found = decode(str(model), str(speech), workload)
    assert found.audio_s == 5.0
    assert seen["encoder"] == 2
    assert found.components["encoder"].calls_per_s * 5 == pytest.approx(seen["encoder"])
    assert found.components["cross_attention"].calls_per_s * 5 == pytest.approx(seen["encoder"])
    assert found.components["decoder"].calls_per_s * 5 == pytest.approx(seen["decoder"])
    assert found.components["decoder"].rows_per_s > found.components["decoder"].calls_per_s  # the prompt is fed at once
    assert known(found.tokens_per_s) * 5 == pytest.approx(seen["decoder"])


def test_what_cannot_be_counted_says_so(model: Path, speech: Path) -> None:
    with pytest.raises(InputError, match="decoded greedily here"):
        decode(str(model), str(speech), workload_of(str(model)), beam=4)
    with pytest.raises(InputError, match="rates can be counted on exported transducers"):
        decode("arch:conformer-rnnt-small", str(speech), workload_of("arch:conformer-rnnt-small"))
