"""What is exported runs in onnxruntime, in our runtime and in unmodified sherpa-onnx, and says what the model says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from tests.training.conftest import tiny_config
from wattscribe.cli import main
from wattscribe.errors import InputError, TrainingError
from wattscribe.training.checkpoint import save_model
from wattscribe.training.config import EncoderConfig, JoinerConfig, LayerConfig, PredictorConfig, TransducerConfig
from wattscribe.training.decode import greedy_transducer
from wattscribe.training.export import cache_shape, export
from wattscribe.training.features import log_mels
from wattscribe.training.model import TransducerModel, build

TAIL_S = 0.8


def varied_model(vocabulary: int, *, scale: float = 6.0, **changes: Any) -> TransducerModel:
    """Random weights, scaled so that an untrained model emits some tokens and some blanks."""
    torch.manual_seed(3)
    narrow = LayerConfig(heads=1, head_width=6, feed_forward=10, conv_kernel=5, conv_width=10)
    wide = LayerConfig(heads=2, head_width=8, feed_forward=24, conv_kernel=3, conv_width=16)
    encoder = EncoderConfig(width=16, time_stack=4, segment=8, left_context=8, layers=(wide, narrow), dropout=0.0)
    encoder = replace(encoder, **changes.pop("encoder", {}))
    settings = {"predictor": PredictorConfig(embedding=12), "joiner": JoinerConfig(width=12), **changes}
    model = build(TransducerConfig(vocabulary=vocabulary, encoder=encoder, **settings)).eval()
    model.encoder.set_statistics(torch.full((80,), -8.0), torch.full((80,), 4.0))
    with torch.no_grad():
        for parameter in model.joiner.parameters():
            parameter.mul_(scale)
        if model.joiner.blank_out is None:
            model.joiner.out.bias[0] += 1.0
        else:
            model.joiner.from_encoder.weight.mul_(3)
            model.joiner.from_predictor.weight.mul_(0.5)
            model.joiner.out.bias.zero_()
            model.joiner.blank_out.bias.fill_(-1.0)
    return model


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, vocabulary: Any) -> Any:
    """Stateless predictor, causal convolutions, layers of different widths, all precisions."""
    model, folder = varied_model(len(vocabulary)), tmp_path_factory.mktemp("exported")
    export(model, vocabulary, folder, precisions=("fp32", "fp16", "int8"))
    return model, folder


@pytest.fixture(scope="module")
def exported_lstm(tmp_path_factory: pytest.TempPathFactory, vocabulary: Any) -> Any:
    """LSTM predictor, factorised blank, ReLU joiner, plain Emformer with right context."""
    layer = LayerConfig(heads=2, head_width=8, feed_forward=24, conv_kernel=0)
    model = varied_model(
        len(vocabulary), scale=2.5, encoder={"layers": (layer, layer), "right_context": 2},
        predictor=PredictorConfig(kind="lstm", embedding=8, hidden=10, layers=2),
        joiner=JoinerConfig(width=12, activation="relu", blank_width=5),
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("lstm")
    export(model, vocabulary, folder)
    return model, folder


def session(path: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def speech(seed: int = 0, seconds: float = 3.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    slow = np.interp(
        np.arange(int(16_000 * seconds)), np.arange(0, 16_000 * seconds, 1600), rng.random(int(10 * seconds))
    )
    return (rng.standard_normal(len(slow)) * slow * 0.3).astype(np.float32)


def stream(model: TransducerModel, path: Path, mels: np.ndarray) -> np.ndarray:
    """Frames of whole segments by the exported encoder, two different streams in one call: (2, frames, width)."""
    net, shape, config = session(path), cache_shape(model.config.encoder), model.config.encoder
    attn = np.zeros((shape.layers, shape.left, 2, shape.width), np.float32)
    cnn = np.zeros((shape.layers, shape.rows, 2, shape.width), np.float32)
    frames = []
    for start in range(0, mels.shape[1] - config.window_frames + 1, config.segment_frames):
        feeds = {"x": mels[:, start : start + config.window_frames], "attn_cache": attn, "cnn_cache": cnn,
                 "processed_lens": np.full(2, start)}  # fmt: skip
        out, attn, cnn = net.run(None, feeds)
        frames.append(out)
    return np.concatenate(frames, 1)


@pytest.mark.parametrize("which", ["exported", "exported_lstm"])
def test_onnx_equals_torch(which: Any, request: pytest.FixtureRequest) -> None:
    model, folder = request.getfixturevalue(which)
    mels = np.stack([log_mels(speech(seed)) for seed in (1, 2)])
    found = stream(model, folder / "encoder.onnx", mels)
    with torch.no_grad():
        wanted = model.joiner.from_encoder(model.encoder(torch.from_numpy(mels))).numpy()
        said, heard = (
            torch.randn(5, 12 + model.config.joiner.blank_width),
            torch.randn(5, 12 + model.config.joiner.blank_width),
        )
        scores = model.joiner.scores(heard, said).numpy()
    np.testing.assert_allclose(found, wanted[:, : found.shape[1]], atol=1e-4)
    assert found.shape[1] >= 64
    answer = session(folder / "joiner.onnx").run(None, {"encoder_out": heard.numpy(), "decoder_out": said.numpy()})[0]
    np.testing.assert_allclose(answer, scores, atol=1e-4)


def test_stateless_decoder_equals_torch_and_takes_minus_one_for_blank(exported: Any) -> None:
    model, folder = exported
    net = session(folder / "decoder.onnx")
    history = np.array([[0, 0], [0, 5], [7, 3]])
    with torch.no_grad():
        wanted = model.joiner.from_predictor(model.predictor.windowed(torch.from_numpy(history))).numpy()
    np.testing.assert_allclose(net.run(None, {"y": history})[0], wanted, atol=1e-4)
    first = net.run(None, {"y": np.array([[-1, 0]])})[0]
    np.testing.assert_allclose(first, wanted[:1], atol=1e-5)


def test_lstm_decoder_and_blank_head_equal_torch(exported_lstm: Any) -> None:
    model, folder = exported_lstm
    net = session(folder / "decoder.onnx")
    h = c = np.zeros((2, 1, 10), np.float32)
    outs = []
    for token in (0, 4, 9, 2):
        out, h, c = net.run(None, {"y": np.array([[token]]), "h": h, "c": c})
        outs.append(out)
    with torch.no_grad():
        wanted = model.joiner.from_predictor(model.predictor(torch.tensor([[4, 9, 2]])))[0].numpy()
    np.testing.assert_allclose(np.concatenate(outs), wanted, atol=1e-4)
    heard, said = np.random.default_rng(0).standard_normal((2, 3, 17)).astype(np.float32)
    feeds = {"encoder_out": heard, "decoder_out": said}
    alone, whole = (
        session(folder / "blank.onnx").run(None, feeds)[0],
        session(folder / "joiner.onnx").run(None, feeds)[0],
    )
    np.testing.assert_allclose(alone[:, 0], whole[:, 0], atol=1e-5)
    np.testing.assert_allclose(np.exp(whole).sum(1), 1, atol=1e-4)


@pytest.mark.parametrize(("precision", "allowed"), [("fp16", 0.05), ("int8", 0.6)])
def test_other_precisions_are_near(exported: Any, precision: Any, allowed: Any) -> None:
    model, folder = exported
    mels = np.stack([log_mels(speech(seed)) for seed in (1, 2)])
    exact = stream(model, folder / "encoder.onnx", mels)
    near = stream(model, folder / f"encoder.{precision}.onnx", mels)
    assert 0 < np.abs(near - exact).max() < allowed * np.abs(exact).max()
    for name in ("encoder", "decoder", "joiner"):
        onnx.checker.check_model(str(folder / f"{name}.{precision}.onnx"))  # nodes in order, too


@pytest.mark.parametrize("which", ["exported", "exported_lstm"])
def test_every_file_loads_in_onnxruntime_1_17(request: pytest.FixtureRequest, which: Any) -> None:
    """IR version 9 and opset 20 are the newest that it takes; torch stamps what it was built with."""
    _, folder = request.getfixturevalue(which)
    files = sorted(folder.glob("*.onnx"))
    assert len(files) >= 3
    for path in files:
        model = onnx.load(path)
        assert model.ir_version <= 9, path.name
        assert all(each.version <= 20 for each in model.opset_import if each.domain == ""), path.name


def test_metadata_are_sherpas_and_ours(exported: Any) -> None:
    _, folder = exported
    meta = session(folder / "encoder.onnx").get_modelmeta().custom_metadata_map
    assert meta["model_type"] == "conformer"
    assert (meta["T"], meta["decode_chunk_len"], meta["pad_length"]) == ("32", "32", "0")
    assert meta["wattscribe_time_stack"] == "4"
    assert session(folder / "decoder.onnx").get_modelmeta().custom_metadata_map["context_size"] == "2"
    assert session(folder / "joiner.onnx").get_modelmeta().custom_metadata_map["joiner_dim"] == "12"
    blob = b"".join(path.read_bytes() for path in folder.glob("*.onnx"))
    assert str(Path.home()).encode() not in blob
    assert str(Path(__file__).parent).encode() not in blob
    assert b"site-packages" not in blob


def test_unmodified_sherpa_onnx_gives_the_same_text(exported: Any, vocabulary: Any) -> None:
    sherpa = pytest.importorskip("sherpa_onnx", reason="the extra `sherpa` is not installed")
    _, folder = exported
    files = {name: str(folder / f"{file}.onnx") for name, file in (("encoder",) * 2, ("decoder",) * 2, ("joiner",) * 2)}
    recognizer = sherpa.OnlineRecognizer.from_transducer(tokens=str(folder / "tokens.txt"), num_threads=1, **files)
    from wattscribe.streaming import open_transducer

    ours = open_transducer(folder)
    said = set()
    for seed in range(6):
        samples = np.concatenate([speech(seed), np.zeros(int(16_000 * TAIL_S), np.float32)])
        heard = recognizer.create_stream()
        heard.accept_waveform(16_000, samples)
        heard.input_finished()
        while recognizer.is_ready(heard):
            recognizer.decode_stream(heard)
        text = recognizer.get_result(heard)
        assert ours.transcribe([samples])[0].text.split() == text.split()
        said.add(text)
    assert len(said) > 3
    assert max(map(len, said)) > 10
    assert all(said)


def test_our_runtime_says_what_torch_says(exported_lstm: Any, vocabulary: Any) -> None:
    """Also with an LSTM predictor, a head for blank, and right context."""
    from wattscribe.streaming import open_transducer

    model, folder = exported_lstm
    ours = open_transducer(folder)
    for seed in range(3):
        samples = np.concatenate([speech(seed), np.zeros(16_000, np.float32)])
        text = ours.transcribe([samples])[0].text
        mels = log_mels(samples)
        heard = model.config.encoder
        whole = (len(mels) - heard.window_frames) // heard.segment_frames + 1
        used = torch.from_numpy(mels)[None, : (whole - 1) * heard.segment_frames + heard.window_frames]
        (tokens,) = greedy_transducer(model, used, torch.tensor([whole * heard.segment_frames]))
        assert tokens
        # The runtime also hears the last, padded segment.
        assert text.startswith(vocabulary.decode(tokens))
        assert len(set(tokens)) > 1


def test_what_cannot_be_exported_is_said(vocabulary: Any, tmp_path: Path) -> None:
    without = build(tiny_config(len(vocabulary), encoder={"left_context": 0}))
    with pytest.raises(InputError, match="left context 0"):
        export(without, vocabulary, tmp_path)
    with pytest.raises(InputError, match="vocabulary has 25 units, the model 30"):
        export(build(tiny_config(30)), vocabulary, tmp_path)
    with pytest.raises(InputError, match="no precision 'int3'"):
        export(build(tiny_config(len(vocabulary))), vocabulary, tmp_path, precisions=("int3",))


def test_an_export_to_a_file_is_said_without_advice_on_disks(vocabulary: Any, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("precious")
    model = build(tiny_config(len(vocabulary)))
    for place in (tmp_path / "out", tmp_path / "out" / "below"):
        with pytest.raises(TrainingError, match="a file stands where a folder is wanted"):
            export(model, vocabulary, place)


def test_a_damaged_checkpoint_is_one_line(vocabulary: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_model(tmp_path / "model", build(tiny_config(len(vocabulary))), vocabulary, {})
    facts, tokens = tmp_path / "model" / "model.json", tmp_path / "model" / "tokens.txt"
    whole = facts.read_text()

    def said() -> str:
        assert main(["export", str(tmp_path), "-o", str(tmp_path / "out")]) == 2
        error = capsys.readouterr().err.strip()
        assert "\n" not in error
        return error

    for content in ("[]", "3", '{"model": []}', '{"model": {"encoder": 3}}', "{"):
        facts.write_text(content)
        assert str(facts.parent) in said()
    facts.write_text(whole.replace('"kind": "stateless"', '"kind": "gru"'))
    assert f"{facts}: model.predictor.kind = 'gru'" in said()
    facts.write_text(whole)
    tokens.write_bytes(b"\xff\xfe 0\n")
    assert f"{tokens}: the vocabulary cannot be read" in said()
