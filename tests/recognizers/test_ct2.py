"""faster-whisper on a converted random Whisper: the library's own text, and the compute type that is really in effect."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from wattscribe.errors import ModelError, RecognizerError
from wattscribe.recognizers import open_recognizer, parse_model

faster_whisper = pytest.importorskip("faster_whisper", reason="needs wattscribe[ct2]")


def own_texts(folder: Path, clips: Any, compute_type: str, **keywords: Any) -> list[str]:
    model = faster_whisper.WhisperModel(str(folder), device="cpu", compute_type=compute_type, cpu_threads=1)
    texts = []
    for clip in clips:
        segments, _ = model.transcribe(clip, language="en", temperature=0.0, **keywords)
        texts.append("".join(segment.text for segment in segments).strip())
    return texts


@pytest.mark.parametrize(("precision", "compute_type"), [("fp32", "float32"), ("int8", "int8")])
def test_text_is_the_librarys_and_the_audit_confirms_the_precision(
    ct2_model: Path, clips: Any, precision: str, compute_type: str
) -> None:
    recognizer = open_recognizer(parse_model(str(ct2_model), precision=precision))
    texts = [answer.text for answer in recognizer.transcribe(clips[:2])]
    assert texts == own_texts(ct2_model, clips[:2], compute_type)
    assert all(texts)
    audit = recognizer.audit()
    assert audit.ok, audit.reason
    assert set(audit.operators) == {"Gemm:float32" if precision == "fp32" else "Gemm:int8"}
    assert audit.device == "cpu"


def test_the_beam_reaches_the_library(ct2_model: Path, clips: Any) -> None:
    recognizer = open_recognizer(parse_model(f"{ct2_model}?beam=1"))
    assert [recognizer.transcribe(clips[:1])[0].text] == own_texts(ct2_model, clips[:1], "float32", beam_size=1)


@pytest.mark.parametrize("precision", ["fp16", "bf16", "int8_float16"])
def test_a_type_that_this_cpu_lacks_is_named_with_those_it_has(ct2_model: Path, precision: str) -> None:
    import ctranslate2

    supported = ctranslate2.get_supported_compute_types("cpu")
    if {"fp16": "float16", "bf16": "bfloat16"}.get(precision, precision) in supported:
        pytest.skip(f"this CPU has {precision}")
    with pytest.raises(RecognizerError, match=r"compute type.*On cpu here: float32"):
        open_recognizer(parse_model(str(ct2_model), precision=precision))


def test_a_silent_fallback_is_found_out(ct2_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CTranslate2 may choose another type than the one asked for: what the loaded model says counts."""
    from wattscribe.recognizers import ct2

    monkeypatch.setitem(ct2.COMPUTE_TYPES, "fp16", "auto")
    recognizer = open_recognizer(parse_model(str(ct2_model), precision="fp16"))
    audit = recognizer.audit()
    assert not audit.ok
    assert "compute type in effect" in str(audit.reason)


def test_parameters_are_counted_from_the_file(ct2_model: Path) -> None:
    from ctranslate2.models import Whisper

    audit = open_recognizer(parse_model(str(ct2_model))).audit()
    assert audit.weight_bytes == {"float32": 4 * (audit.parameters or 0)}
    assert audit.weight_bytes["float32"] == pytest.approx((ct2_model / "model.bin").stat().st_size, rel=0.01)
    assert Whisper(str(ct2_model), device="cpu").compute_type == "float32"


def test_a_file_stored_in_int8_has_the_same_matrices_quantised(
    ct2_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What the converter stores in int8 is what `in_memory` says that the runtime holds in int8."""
    from ctranslate2.converters import TransformersConverter

    from tests.recognizers.checkpoints import whisper
    from wattscribe.recognizers.ct2 import in_memory
    from wattscribe.recognizers.ct2_file import read_variables

    source = tmp_path_factory.mktemp("source")
    whisper(source)
    target = source / "converted"
    TransformersConverter(str(source)).convert(str(target), quantization="int8")
    variables = read_variables(target / "model.bin")
    stored = sum(variable.nbytes for variable in variables if variable.dtype == "int8" and variable.shape)
    assert in_memory(variables, "int8_float32")[0]["int8"] == stored > 0


@pytest.mark.parametrize("name", ["tokenizer.json", "model.bin"])
def test_a_missing_file_is_named_instead_of_asked_from_the_hub(ct2_model: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(ct2_model, folder)
    (folder / name).unlink()
    with pytest.raises(ModelError, match=f"no {name}"):
        open_recognizer(parse_model(f"ct2:{folder}"))


def test_a_truncated_model_is_an_error(ct2_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(ct2_model, folder)
    (folder / "model.bin").write_bytes((folder / "model.bin").read_bytes()[:5000])
    with pytest.raises(RecognizerError):
        open_recognizer(parse_model(f"ct2:{folder}"))
