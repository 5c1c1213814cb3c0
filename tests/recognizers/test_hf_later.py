"""Transformers families that came later: our text is that of the library's documented call, and what is not run says why."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wattscribe.errors import InputError, ModelError
from wattscribe.recognizers import open_recognizer, parse_model
from wattscribe.recognizers.base import Audio
from wattscribe.recognizers.hf_prompted import REFUSED

torch = pytest.importorskip("torch", reason="needs wattscribe[hf]")
transformers = pytest.importorskip("transformers", reason="needs wattscribe[hf]")

Checkpoint = Callable[[str], Path]
RATE = 16_000


def _nemotron(folder: Path, clip: Audio) -> str:
    model = transformers.AutoModelForRNNT.from_pretrained(folder).eval()
    processor = transformers.AutoProcessor.from_pretrained(folder)
    made = model.generate(**processor(clip, sampling_rate=RATE))
    return str(processor.batch_decode(made.sequences, skip_special_tokens=True)[0])


def _qwen3(folder: Path, clip: Audio) -> str:
    model = transformers.Qwen3ASRForConditionalGeneration.from_pretrained(folder).eval()
    processor = transformers.AutoProcessor.from_pretrained(folder)
    inputs = processor.apply_transcription_request(audio=clip)
    made = model.generate(**inputs, max_new_tokens=256, do_sample=False)
    return str(processor.decode(made[:, inputs["input_ids"].shape[1] :], return_format="transcription_only")[0])


def _kyutai(folder: Path, clip: Audio) -> str:
    import soxr

    model = transformers.KyutaiSpeechToTextForConditionalGeneration.from_pretrained(folder).eval()
    processor = transformers.AutoProcessor.from_pretrained(folder)
    made = model.generate(**processor(audio=soxr.resample(clip, RATE, 24_000), sampling_rate=24_000), do_sample=False)
    return str(processor.batch_decode(made, skip_special_tokens=True)[0])


OWN: dict[str, Callable[[Path, Audio], str]] = {
    "nemotron": _nemotron, "nemotron-3.5": _nemotron, "qwen3-asr": _qwen3, "kyutai": _kyutai,
}  # fmt: skip


@pytest.mark.parametrize("family", OWN)
def test_text_equals_the_librarys_documented_call(family: str, checkpoint: Checkpoint, clips: list[Audio]) -> None:
    folder = checkpoint(family)
    recognizer = open_recognizer(parse_model(str(folder)))
    texts = [answer.text for answer in recognizer.transcribe(clips)]
    with torch.inference_mode():
        assert texts == [OWN[family](folder, clip).strip() for clip in clips]
    assert all(len(text) >= 3 for text in texts)
    assert len(set(texts)) == len(clips)
    audit = recognizer.audit()
    assert audit.ok, audit.reason
    assert audit.parameters


def test_qwen3_is_told_its_language(checkpoint: Checkpoint, clips: list[Audio]) -> None:
    folder = checkpoint("qwen3-asr")
    (answer,) = open_recognizer(parse_model(f"hf:{folder}?language=de")).transcribe(clips[:1])
    assert answer.language == "de"
    (detected,) = open_recognizer(parse_model(f"hf:{folder}")).transcribe(clips[:1])
    assert answer.text != detected.text  # another prompt
    with pytest.raises(InputError, match="language=xx is unknown"):
        open_recognizer(parse_model(f"hf:{folder}?language=xx"))
    with pytest.raises(InputError, match="no choice of languages"):
        open_recognizer(parse_model(f"hf:{checkpoint('kyutai')}?language=de"))


def test_a_limit_of_tokens_is_kept(checkpoint: Checkpoint, clips: list[Audio]) -> None:
    recognizer = open_recognizer(parse_model(f"hf:{checkpoint('qwen3-asr')}?max_new_tokens=4"))
    assert len(recognizer.transcribe(clips[:1])[0].text) <= 4


def _claims(folder: Path, model_type: str, architecture: str) -> Path:
    """A directory that says what it is and holds some weights."""
    from safetensors.numpy import save_file

    (folder / "config.json").write_text(json.dumps({"model_type": model_type, "architectures": [architecture]}))
    save_file({"w": np.zeros(1, np.float32)}, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize("kind", ["voxtral", "voxtral_realtime", "granite_speech", "cohere_asr", "moonshine_streaming"])
def test_what_transcribes_and_is_not_run_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    folder = _claims(tmp_path, kind, "AnyForConditionalGeneration")
    with pytest.raises(ModelError) as refused:
        open_recognizer(parse_model(f"hf:{folder}"))
    message = str(refused.value)
    assert message.startswith(REFUSED[kind]) or REFUSED[kind] in message
    assert "no speech-to-text head" not in message
    assert "cmd:" in message


def test_no_model_that_the_library_lists_as_transcribing_is_said_to_have_no_head() -> None:
    """Each of its lists, by the classes it gives them; what makes speech or music is no recognizer."""
    from transformers.models.auto import modeling_auto as lists

    from wattscribe.recognizers.hf_load import _family

    speak = {"dia", "pop2piano", "vibevoice"}
    kinds: dict[str, Any] = {}
    for name in ("SPEECH_SEQ_2_SEQ", "CTC", "RNNT", "TDT"):
        kinds.update(getattr(lists, f"MODEL_FOR_{name}_MAPPING_NAMES", {}))
    assert len(kinds) > 25
    for kind, architecture in kinds.items():
        config = type("Config", (), {"model_type": kind, "architectures": [architecture]})()
        if kind in speak:
            continue
        said = ""
        try:
            _family(config)
        except ModelError as error:
            said = str(error)
        assert "no speech-to-text head" not in said, kind
