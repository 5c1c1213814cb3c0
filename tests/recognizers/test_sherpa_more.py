"""All of sherpa-onnx's loaders: which opens what, the library's own text, and a provider that it went on without."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from tests.recognizers.sherpa_models import FLOAT, INT64, save, value
from wattscribe.errors import InputError, ModelError, RecognizerError
from wattscribe.recognizers import StreamingRecognizer, open_recognizer, parse_model, sherpa_load
from wattscribe.recognizers.base import Audio
from wattscribe.recognizers.sherpa_files import Kind, find_layout
from wattscribe.recognizers.sherpa_load import LOADERS, fell_back
from wattscribe.records import RecognizerSpec

sherpa_onnx = pytest.importorskip("sherpa_onnx", reason="needs wattscribe[sherpa]")
pytest.importorskip("onnx", reason="the models of these tests are written with onnx")

Directory = Callable[[str], Path]
METHODS = {
    "dolphin ctc": "from_dolphin_ctc", "fire red asr ctc": "from_fire_red_asr_ctc", "medasr ctc": "from_medasr_ctc",
    "offline wenet ctc": "from_wenet_ctc", "telespeech ctc": "from_telespeech_ctc", "tdnn ctc": "from_tdnn_ctc",
    "omnilingual asr ctc": "from_omnilingual_asr_ctc", "sense voice": "from_sense_voice",
    "offline paraformer": "from_paraformer", "online t-one ctc": "from_t_one_ctc", "online wenet ctc": "from_wenet_ctc",
}  # fmt: skip


def test_there_is_a_kind_for_each_of_the_librarys_loaders() -> None:
    for opener in (sherpa_onnx.OnlineRecognizer, sherpa_onnx.OfflineRecognizer):
        online = opener is sherpa_onnx.OnlineRecognizer
        theirs = {name for name, _ in inspect.getmembers(opener, inspect.ismethod) if name.startswith("from_")}
        ours = {loader.method for kind, loader in LOADERS.items() if kind.startswith("online") is online}
        assert theirs <= ours
    assert set(LOADERS) == set(get_args(Kind))


def own_text(model: Any, audio: Audio, *, online: bool) -> str:
    stream = model.create_stream()
    stream.accept_waveform(16_000, audio)
    if not online:
        model.decode_stream(stream)
        return str(stream.result.text.strip())
    stream.accept_waveform(16_000, np.zeros(12_800, np.float32))
    stream.input_finished()
    while model.is_ready(stream):
        model.decode_stream(stream)
    return str(model.get_result(stream)).strip()


@pytest.mark.parametrize("kind", METHODS)
def test_every_kind_gives_the_librarys_own_text(kind: str, sherpa_model: Directory, clips: list[Audio]) -> None:
    folder = sherpa_model(kind)
    spec = parse_model(f"sherpa:{folder}")
    assert find_layout(spec).kind == kind
    recognizer = open_recognizer(spec)
    online = kind.startswith("online")
    assert isinstance(recognizer, StreamingRecognizer) is online
    texts = [answer.text for answer in recognizer.transcribe(clips)]
    opener = sherpa_onnx.OnlineRecognizer if online else sherpa_onnx.OfflineRecognizer
    part = "paraformer" if kind == "offline paraformer" else "model"
    own = getattr(opener, METHODS[kind])(**{part: str(folder / "model.onnx")}, tokens=str(folder / "tokens.txt"))
    assert texts == [own_text(own, clip, online=online) for clip in clips]
    assert all(len(text) > 3 for text in texts)
    assert len(set(texts)) == len(texts)


def test_a_sense_voice_is_told_its_language(sherpa_model: Directory, clips: list[Audio]) -> None:
    folder = sherpa_model("sense voice")
    own = sherpa_onnx.OfflineRecognizer.from_sense_voice(
        model=str(folder / "model.onnx"), tokens=str(folder / "tokens.txt"), language="ko"
    )
    (answer,) = open_recognizer(parse_model(f"sherpa:{folder}?language=ko")).transcribe(clips[:1])
    assert answer.text == own_text(own, clips[0], online=False)
    assert answer.language == "ko"
    with pytest.raises(InputError, match="zh, en, ja, ko, yue"):
        open_recognizer(parse_model(f"sherpa:{folder}?language=de"))


# --- kinds of several large graphs: the right loader is given the right files -----------------------------------------
def _graph(path: Path, metadata: dict[str, Any]) -> None:
    from onnx import helper

    save(
        path,
        [helper.make_node("Identity", ["x"], ["y"]), helper.make_node("Identity", ["x_lens"], ["y_lens"])],
        [value("x", FLOAT, "N", "T", 80), value("x_lens", INT64, "N")],
        [value("y", FLOAT, "N", "T", 80), value("y_lens", INT64, "N")],
        [],
        metadata,
    )


def _pair(model_type: str, tokens: str = "a 0\n") -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        _graph(folder / "encoder.onnx", {"model_type": model_type})
        _graph(folder / "decoder.onnx", {})
        (folder / "tokens.txt").write_text(tokens)

    return build


def _language_model(*names: str) -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        for name in names:
            _graph(folder / f"{name}.onnx", {})
            _graph(folder / f"{name}.int8.onnx", {})
        (folder / "Qwen3").mkdir()
        (folder / "Qwen3/vocab.json").write_text(json.dumps({}))

    return build


LARGE: dict[str, tuple[Callable[[Path], None], str, dict[str, str]]] = {
    "nemo canary": (
        _pair("EncDecMultiTaskModel", "<|en|> 0\n<|de|> 1\n<|pnc|> 2\na 3\n"), "from_nemo_canary",
        {"encoder": "encoder.onnx", "decoder": "decoder.onnx", "src_lang": "de", "tgt_lang": "de"},
    ),
    "fire red asr": (
        _pair("fire-red-asr-aed"), "from_fire_red_asr", {"encoder": "encoder.onnx", "decoder": "decoder.onnx"},
    ),
    "cohere transcribe": (
        _pair("cohere-transcribe-03-2026"), "from_cohere_transcribe", {"encoder": "encoder.onnx", "language": "de"},
    ),
    "funasr nano": (
        _language_model("encoder_adaptor", "llm", "embedding"), "from_funasr_nano",
        {"encoder_adaptor": "encoder_adaptor.onnx", "llm": "llm.onnx", "embedding": "embedding.onnx", "tokenizer": "Qwen3"},
    ),
    "qwen3 asr": (
        _language_model("conv_frontend", "encoder", "decoder"), "from_qwen3_asr",
        {"conv_frontend": "conv_frontend.onnx", "encoder": "encoder.onnx", "tokenizer": "Qwen3"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", LARGE)
def test_large_kinds_reach_their_loader(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build, method, expected = LARGE[kind]
    build(tmp_path)
    given: dict[str, Any] = {}
    signature = inspect.signature(getattr(sherpa_onnx.OfflineRecognizer, method))

    def opened(_: Any, /, **arguments: Any) -> object:
        signature.bind(**arguments)  # an argument that the real one has not would fail here
        given.update(arguments)
        return object()

    monkeypatch.setattr(sherpa_onnx.OfflineRecognizer, method, classmethod(opened))
    tongue = "?language=de" if {"src_lang", "language"} & set(expected) else ""
    spec = parse_model(f"sherpa:{tmp_path}{tongue}", threads=3)
    assert find_layout(spec).kind == kind
    open_recognizer(spec)
    assert {name: Path(str(given[name])).name for name in expected} == expected
    assert (given["num_threads"], given["provider"]) == (3, "cpu")
    assert ("tokens" in given) is ("tokenizer" not in given)
    if "tokenizer" in given:
        int8 = find_layout(parse_model(f"sherpa:{tmp_path}", precision="int8"))
        assert all(path.name.endswith((".int8.onnx", "Qwen3")) for path in int8.parts.values())


def test_a_missing_part_of_a_speech_language_model_is_named(tmp_path: Path) -> None:
    _language_model("conv_frontend", "encoder", "decoder")(tmp_path)
    (tmp_path / "decoder.onnx").unlink()
    (tmp_path / "decoder.int8.onnx").unlink()
    with pytest.raises(ModelError, match=r"holds no decoder\*\.onnx"):
        open_recognizer(parse_model(f"sherpa:{tmp_path}"))


def test_a_kind_that_is_nobodys_is_named_with_its_type(tmp_path: Path) -> None:
    _graph(tmp_path / "model.onnx", {"model_type": "theirs"})
    (tmp_path / "tokens.txt").write_text("a 0\n")
    with pytest.raises(ModelError, match="'theirs'"):
        open_recognizer(parse_model(f"sherpa:{tmp_path}"))


# --- providers -------------------------------------------------------------------------------------------------------
def test_a_gpu_that_the_build_has_not_is_marked(sherpa_model: Directory) -> None:
    """sherpa-onnx says so on standard error and goes on, on the CPU."""
    if not any(b"SHERPA_ONNX_ENABLE_GPU=ON" in library for library in sherpa_load._libraries()):
        pytest.skip("this build runs on GPUs")
    audit = open_recognizer(parse_model(f"sherpa:{sherpa_model('offline nemo ctc')}", device="cuda")).audit()
    assert not audit.ok
    why = r"cuda was asked for, cpu executed \(executed on: CPU 100 % of the nodes; .*SHERPA_ONNX_ENABLE_GPU"
    assert re.match(why, str(audit.reason))
    assert audit.device == "cpu"


def test_an_npu_by_a_provider_that_fell_back_is_marked(sherpa_model: Directory) -> None:
    spec = parse_model(f"sherpa:{sherpa_model('offline nemo ctc')}?provider=openvino", device="npu")
    audit = open_recognizer(spec).audit()
    assert not audit.ok
    assert "npu was asked for, cpu executed" in str(audit.reason)
    assert "OpenVINO" in str(audit.reason)


@pytest.mark.parametrize(
    ("options", "device", "kind", "message"),
    [
        ("?provider=warp", "cpu", InputError, "no provider 'warp'"),
        ("?provider=qnn", "npu", RecognizerError, "built without qnn"),
        ("", "npu", InputError, "by a provider"),
        ("?provider=trt", "cuda", InputError, "streaming models alone"),
    ],
)
def test_what_would_end_the_process_is_refused(
    options: str, device: str, kind: type[Exception], message: str, sherpa_model: Directory
) -> None:
    with pytest.raises(kind, match=message):
        open_recognizer(parse_model(f"sherpa:{sherpa_model('offline nemo ctc')}{options}", device=device))


def test_nothing_said_is_no_fallback(sherpa_model: Directory) -> None:
    spec: RecognizerSpec = parse_model(f"sherpa:{sherpa_model('offline nemo ctc')}")
    audit = open_recognizer(spec).audit()
    assert audit.ok
    assert audit.executed_on == ()
    assert fell_back("") == ()
    assert fell_back("Failed to enable TensorRT : x. Fallback to cuda")[0].provider == "CUDAExecutionProvider"
