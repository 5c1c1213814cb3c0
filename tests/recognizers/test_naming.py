"""What a user writes, and what is answered to every mistake."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wattscribe.errors import InputError, MissingExtraError, ModelError, WattscribeError
from wattscribe.models import REFERENCE
from wattscribe.recognizers import RUNTIMES, open_recognizer, parse_model
from wattscribe.records import RecognizerSpec, from_json, to_json


def test_a_spec_carries_what_was_written() -> None:
    spec = parse_model("fake:talker?wer=0.1&seed=3", precision="int8", threads=2, batch_size=4, options={"seed": "1"})
    assert spec == RecognizerSpec(
        runtime="fake",
        model="talker",
        precision="int8",
        threads=2,
        batch_size=4,
        options={"wer": "0.1", "seed": "3"},
    )
    assert from_json(RecognizerSpec, to_json(spec)) == spec


@pytest.mark.parametrize(
    ("runtime", "expected"), [("hf", "fp32"), ("ct2", "fp32"), ("pocketsphinx", "stored"), ("fake", "fp32")]
)
def test_default_precision_is_the_runtimes_own(runtime: str, expected: str) -> None:
    assert parse_model(f"{runtime}:en-us").precision == expected


@pytest.mark.parametrize("text", ["reference", "onnx:reference"])
def test_the_shipped_model_has_a_name(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = parse_model(text, precision="int8")
    assert (found.runtime, found.model, found.precision) == ("onnx", str(REFERENCE), "int8")


def test_a_directory_of_the_shipped_models_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reference").mkdir()
    assert parse_model("onnx:reference").model == "reference"


@pytest.mark.parametrize(
    ("text", "keywords", "parts"),
    [
        ("kaldi:x", {}, ["'kaldi'", "hf:, ct2:, sherpa:"]),
        ("openai/whisper-tiny", {}, ["no runtime", "hf:"]),
        ("/no/such/place", {}, ["no such directory"]),
        ("sherpa:/no/such/place", {}, ["no such directory"]),
        ("hf:./no/such/place", {}, ["no such directory"]),
        ("hf:", {}, ["no model is named"]),
        ("hf:x/y", {"precision": "int4"}, ["'int4'", "fp32, fp16, bf16, int8"]),
        ("pocketsphinx:en-us", {"precision": "int8"}, ["'int8'", "stored, fp32"]),
        ("ct2:tiny", {"device": "tpu"}, ["'tpu'", "cpu, cuda"]),
        ("ct2:tiny", {"threads": 0}, ["threads is 0"]),
        ("ct2:tiny?colour=red", {}, ["'colour'", "language, beam, vad"]),
        ("ct2:tiny?beam", {}, ["'beam'", "?name=value"]),
    ],
)
def test_mistakes_are_one_line_that_lists_what_is_possible(
    text: str, keywords: dict[str, Any], parts: list[str]
) -> None:
    with pytest.raises(InputError) as caught:
        parse_model(text, **keywords)
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


def test_a_file_is_not_a_directory(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"x")
    with pytest.raises(InputError, match="a file"):
        parse_model(f"sherpa:{tmp_path}/model.onnx")


def _make(directory: Path, *names: str) -> Path:
    for name in names:
        (directory / name).write_bytes(b"\6\0\0\0")
    return directory


def test_directories_are_recognised_by_their_content(tmp_path: Path) -> None:
    kinds = {
        "hf": _make_in(tmp_path, "a", "config.json", "model.safetensors"),
        "ct2": _make_in(tmp_path, "b", "config.json", "model.bin"),
        "pocketsphinx": _make_in(tmp_path, "c", "mdef", "means"),
        "sherpa": _make_in(tmp_path, "d", "preprocess.onnx", "encode.onnx", "tokens.txt"),
        "openvino": _make_in(tmp_path, "e", "config.json", "openvino_encoder_model.xml", "openvino_encoder_model.bin"),
        "moonshine": _make_in(tmp_path, "f", "streaming_config.json", "encoder.ort", "tokenizer.bin"),
    }
    assert {runtime: parse_model(str(path)).runtime for runtime, path in kinds.items()} == {r: r for r in kinds}


def _make_in(parent: Path, name: str, *files: str) -> Path:
    (parent / name).mkdir()
    return _make(parent / name, *files)


def test_a_transducer_with_states_runs_here_and_one_without_on_sherpa(sherpa_model: Callable[[str], Path]) -> None:
    assert parse_model(str(sherpa_model("offline transducer"))).runtime == "sherpa"
    assert parse_model(str(sherpa_model("offline nemo ctc"))).runtime == "sherpa"
    assert parse_model(str(sherpa_model("whisper"))).runtime == "onnx"


def test_the_real_streaming_transducer_is_run_by_our_runtime(zipformer: Path) -> None:
    spec = parse_model(str(zipformer))
    assert (spec.runtime, spec.precision) == ("onnx", "stored")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("config.json", "pytorch_model.bin"), "pickled"),
        (("readme.txt",), "no model is recognised"),
    ],
)
def test_directories_that_cannot_be_run_say_why(tmp_path: Path, names: tuple[str, ...], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        parse_model(str(_make(tmp_path, *names)))


def test_a_torch_archive_called_model_bin_is_not_taken_for_ctranslate2(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.bin").write_bytes(b"PK\3\4")
    with pytest.raises(ModelError, match="pickled"):
        parse_model(str(tmp_path))


@pytest.mark.parametrize(
    "runtime", ["hf", "ct2", "sherpa", "pocketsphinx", "moonshine", "onnx-asr", "vosk", "openvino"]
)
def test_a_missing_extra_is_one_line_with_the_install_command(
    runtime: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    entry = RUNTIMES[runtime]
    monkeypatch.setitem(sys.modules, entry.packages[0], None)
    with pytest.raises(MissingExtraError) as caught:
        open_recognizer(parse_model(f"{runtime}:{tmp_path}"))
    assert f"pip install 'wattscribe[{entry.extra}]'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_spec_from_elsewhere_is_checked_again_when_it_is_opened() -> None:
    with pytest.raises(WattscribeError, match="no precision 'int8'"):
        open_recognizer(RecognizerSpec(runtime="pocketsphinx", model="en-us", precision="int8"))


def test_every_target_is_importable_where_its_packages_are() -> None:
    from importlib import import_module

    for entry in RUNTIMES.values():
        module, _, name = entry.target.partition(":")
        assert callable(getattr(import_module(module), name))


def test_importing_the_room_loads_nothing_heavy() -> None:
    import subprocess

    code = (
        "import sys, wattscribe.recognizers as r; r.parse_model('hf:x/y'); "
        "print([m for m in ('torch', 'transformers', 'sherpa_onnx', 'ctranslate2', 'pocketsphinx', 'moonshine_voice', "
        "'onnx_asr', 'vosk', 'openvino', 'onnxruntime') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
