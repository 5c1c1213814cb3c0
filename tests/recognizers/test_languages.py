"""A multilingual Whisper detects the language or is told it, by the same option in every runtime; the answer says which."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from wattscribe.errors import InputError
from wattscribe.recognizers import open_recognizer, parse_model

LANGUAGES = ("en", "de", "fr")


@pytest.fixture(scope="module")
def hf_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("transformers", reason="needs wattscribe[hf]")
    from tests.recognizers.checkpoints import whisper

    folder = tmp_path_factory.mktemp("multilingual")
    whisper(folder, languages=LANGUAGES)
    return folder


@pytest.fixture(scope="module")
def sherpa_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("sherpa_onnx", reason="needs wattscribe[sherpa]")
    pytest.importorskip("onnx", reason="needs the test requirements")
    from tests.recognizers.sherpa_models import whisper

    folder = tmp_path_factory.mktemp("multilingual")
    whisper(folder, languages=LANGUAGES)
    return folder


def heard_as(model: Any, clips: Any, **options: str) -> list[tuple[str | None, str]]:
    recognizer = open_recognizer(parse_model(str(model), options=options))
    return [(each.language, each.text) for each in recognizer.transcribe(clips)]


def test_hf_detects_what_the_library_detects_and_hears_in_it(hf_model: Path, clips: Any) -> None:
    import torch
    from transformers import AutoFeatureExtractor, WhisperForConditionalGeneration

    model = WhisperForConditionalGeneration.from_pretrained(hf_model)
    features = AutoFeatureExtractor.from_pretrained(hf_model)
    own = []
    for clip in clips:
        mel = features(clip, sampling_rate=16000, return_tensors="pt").input_features
        with torch.inference_mode():
            number = int(model.detect_language(mel)[0])
        own.append(
            next(name.strip("<|>") for name, each in model.generation_config.lang_to_id.items() if each == number)
        )
    found = heard_as(hf_model, clips)
    assert [language for language, _ in found] == own
    for (language, text), clip in zip(found, clips, strict=True):
        assert heard_as(hf_model, [clip], language=str(language)) == [(language, text)]


def test_hf_is_told_the_language(hf_model: Path, clips: Any) -> None:
    texts = {language: heard_as(hf_model, clips[:2], language=language) for language in LANGUAGES}
    assert all({said for said, _ in each} == {language} for language, each in texts.items())
    assert len({tuple(each) for each in texts.values()}) == 3, "the language reaches the model"


def test_hf_keeps_the_language_that_a_checkpoint_states(hf_model: Path, clips: Any, tmp_path: Path) -> None:
    """As fine-tuning for one language leaves it in generation_config.json."""
    import json
    import shutil

    folder = tmp_path / "tuned"
    shutil.copytree(hf_model, folder)
    settings = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").write_text(json.dumps({**settings, "language": "de"}))
    assert heard_as(folder, clips[:1]) == heard_as(hf_model, clips[:1], language="de")


def test_sherpa_detects_or_is_told(sherpa_folder: Path, clips: Any) -> None:
    import sherpa_onnx

    own = sherpa_onnx.OfflineRecognizer.from_whisper(
        **{part: str(sherpa_folder / f"tiny.en-{part}.onnx") for part in ("encoder", "decoder")},
        tokens=str(sherpa_folder / "tiny.en-tokens.txt"),
        language="",
    )
    stream = own.create_stream()
    stream.accept_waveform(16000, clips[0])
    own.decode_streams([stream])
    assert heard_as(f"sherpa:{sherpa_folder}", clips[:1]) == [(stream.result.lang, stream.result.text.strip())]
    assert [language for language, _ in heard_as(f"sherpa:{sherpa_folder}", clips[:1], language="de")] == ["de"]
    with pytest.raises(InputError, match=r"language=xx is unknown.*One of: en, de, fr"):
        heard_as(f"sherpa:{sherpa_folder}", clips[:1], language="xx")


@pytest.mark.parametrize("stated", [None, "de"])
def test_ct2_detects_or_is_told(
    ct2_model: Path, clips: Any, stated: str | None, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """CTranslate2 takes a model for multilingual by the size of its vocabulary, so the library's end is played here."""
    import faster_whisper

    told: list[str | None] = []

    class Multilingual:
        model = SimpleNamespace(is_multilingual=True)

        def __init__(self, *_: object, **__: object) -> None:
            pass

        def transcribe(self, audio: Any, *, language: str | None, **_: object) -> Any:
            told.append(language)
            return [SimpleNamespace(text=" ja")], SimpleNamespace(language=language or "cy")

    monkeypatch.setattr(faster_whisper, "WhisperModel", Multilingual)
    found = heard_as(ct2_model, clips[:1], **({"language": stated} if stated else {}))
    assert (told, found) == ([stated], [(stated or "cy", "ja")])


def test_a_model_without_a_choice_says_so(checkpoint: Any, clips: Any) -> None:
    model = checkpoint("wav2vec2")
    assert [language for language, _ in heard_as(model, clips[:1])] == [None]
    with pytest.raises(InputError, match="no choice of languages"):
        heard_as(model, clips[:1], language="de")


@pytest.mark.parametrize("runtime", ["hf", "ct2", "sherpa"])
def test_an_english_model_has_no_choice(runtime: str, request: pytest.FixtureRequest, clips: Any) -> None:
    if runtime == "hf":
        model: Any = request.getfixturevalue("checkpoint")("whisper")
    elif runtime == "ct2":
        model = request.getfixturevalue("ct2_model")
    else:
        model = f"sherpa:{request.getfixturevalue('sherpa_model')('whisper')}"
    assert [language for language, _ in heard_as(model, clips[:1])] == [None]
    assert heard_as(model, clips[:1], language="en") == heard_as(model, clips[:1])
    with pytest.raises(InputError, match="language=de, but this model has no choice of languages"):
        heard_as(model, clips[:1], language="de")
