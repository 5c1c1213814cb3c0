"""A checkpoint as sherpa-onnx's files: the same scores as Transformers, sherpa-onnx's own text, and errors that can be fixed."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from wattscribe.errors import InputError, ModelError
from wattscribe.models.directory import CROSS
from wattscribe.recognizers import Audio
from wattscribe.seq2seq import network
from wattscribe.seq2seq.decoder_graph import CACHES
from wattscribe.seq2seq.export import export_whisper
from wattscribe.seq2seq.mel import log_mel

PROMPT, REST = 3, 3


def scores(folder: Path, mark: str, mel: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """As sherpa-onnx runs the two: the prompt at once, then token by token, caches handed on."""
    run = [onnxruntime.InferenceSession(str(folder / f"{part}{mark}.onnx")) for part in ("encoder", "decoder")]
    keys, values = run[0].run(None, {"mel": mel})
    about = run[0].get_modelmeta().custom_metadata_map
    sizes = [int(about[key]) for key in ("n_text_layer", "n_text_ctx", "n_text_state")]
    caches = [np.zeros((sizes[0], len(mel), *sizes[1:]), np.float32) for _ in CACHES]
    found, said = [], 0
    for part in (tokens[:, :PROMPT], *(tokens[:, at : at + 1] for at in range(PROMPT, tokens.shape[1]))):
        feeds = {
            "tokens": part,
            "offset": np.array([said]),
            **dict(zip(CACHES, caches, strict=True)),
            **dict(zip(CROSS, (keys, values), strict=True)),
        }
        logits, *caches = run[1].run(None, feeds)
        found.append(logits)
        said += part.shape[1]
    return np.concatenate(found, axis=1)


def within_reach(scores: np.ndarray) -> np.ndarray:
    """Whether a token may be said at all."""
    return scores > -1000


def theirs(folder: Path, mel: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    import torch
    from transformers import WhisperForConditionalGeneration

    model = WhisperForConditionalGeneration.from_pretrained(folder).eval()
    with torch.inference_mode():
        found: np.ndarray = model(
            input_features=torch.tensor(mel), decoder_input_ids=torch.tensor(tokens)
        ).logits.numpy()
    return found


@pytest.fixture(scope="module")
def given() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    return rng.normal(0, 0.5, (2, 80, 600)).astype(np.float32), rng.integers(0, 250, (2, PROMPT + REST))


@pytest.mark.parametrize(("mark", "tolerance"), [("", 2e-5), (".fp16", 3e-3), (".int8", 0.1)])
def test_scores_are_those_of_transformers(
    english: Path, exported: Path, given: tuple[np.ndarray, np.ndarray], mark: str, tolerance: float
) -> None:
    """Relative to the largest score: fp32 by rounding alone, the narrower ones by what their weights lose."""
    own, expected = scores(exported, mark, *given), theirs(english, *given)
    assert own.shape == expected.shape
    may = within_reach(own)
    assert not may.all(), "the checkpoint's special tokens are never said"
    assert may.mean() > 0.8
    assert np.abs(own - expected)[may].max() / np.abs(expected).max() < tolerance


@pytest.mark.parametrize("loudness", [1.0, 1e-6])
def test_zeros_behind_the_audio_are_silence(exported: Path, clips: list[Audio], loudness: float) -> None:
    """As sherpa-onnx fills a window: what it answers is then what it does behind digital silence; a single zero stays."""
    frames = 600
    whole = log_mel(loudness * clips[0], frames)
    spoken = len(clips[0]) // 160 + 3  # the frames behind it hold silence alone
    filled = whole.copy()
    filled[:, spoken:] = 0.0
    encoder = onnxruntime.InferenceSession(str(exported / "encoder.onnx"))
    expected, own = (encoder.run(None, {"mel": mel[None]})[0] for mel in (whole, filled))
    np.testing.assert_allclose(own, expected, atol=1e-5)
    whole[3, 10] = 0.0
    assert np.abs(encoder.run(None, {"mel": whole[None]})[0] - expected).max() > 1e-4


def test_narrower_files_are_smaller(exported: Path) -> None:
    sizes = {mark: (exported / f"decoder{mark}.onnx").stat().st_size for mark in ("", ".fp16", ".int8")}
    assert sizes[".fp16"] < 0.6 * sizes[""]
    assert sizes[".int8"] < 0.4 * sizes[""]


def test_ports_and_metadata_are_what_sherpa_onnx_asks_for(exported: Path) -> None:
    decoder = onnxruntime.InferenceSession(str(exported / "decoder.onnx"))
    assert [each.name for each in decoder.get_inputs()] == ["tokens", *CACHES, *CROSS, "offset"]
    assert [each.type for each in decoder.get_inputs()] == ["tensor(int64)", *["tensor(float)"] * 4, "tensor(int64)"]
    assert [each.name for each in decoder.get_outputs()] == [
        "logits",
        "out_n_layer_self_k_cache",
        "out_n_layer_self_v_cache",
    ]
    encoder = onnxruntime.InferenceSession(str(exported / "encoder.onnx"))
    assert [each.name for each in encoder.get_inputs()] == ["mel"]
    assert [each.name for each in encoder.get_outputs()] == list(CROSS)
    about = encoder.get_modelmeta().custom_metadata_map
    for key in ("n_mels", "n_text_layer", "n_text_ctx", "n_text_state", "n_vocab", "sot", "eot", "blank_id", "translate",
                "transcribe", "is_multilingual", "no_timestamps", "no_speech", "sot_sequence"):  # fmt: skip
        assert key in about
    for path in exported.glob("*.onnx"):
        onnx.checker.check_model(path, full_check=True)


def test_sherpa_onnx_runs_it(english: Path, exported: Path, exported_multilingual: Path, clips: list[Audio]) -> None:
    sherpa = pytest.importorskip("sherpa_onnx", reason="needs wattscribe[sherpa]")
    for folder in (exported, exported_multilingual):
        recognizer = sherpa.OfflineRecognizer.from_whisper(
            encoder=str(folder / "encoder.onnx"),
            decoder=str(folder / "decoder.onnx"),
            tokens=str(folder / "tokens.txt"),
            tail_paddings=300,  # with its 1000 the 6 s that this one hears would be over
        )
        stream = recognizer.create_stream()
        stream.accept_waveform(16000, clips[0])
        recognizer.decode_stream(stream)
        assert stream.result.text


def test_torch_is_not_needed(english: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("torch", "transformers", "safetensors", "huggingface_hub"):
        monkeypatch.setitem(sys.modules, name, None)
    assert [path.name for path in export_whisper(str(english), tmp_path / "out")] == [
        "encoder.onnx", "decoder.onnx", "tokens.txt",
    ]  # fmt: skip


def test_large_weights_lie_beside(
    english: Path, exported: Path, given: tuple[np.ndarray, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "LARGEST_INLINE_BYTES", 10_000)
    written = export_whisper(str(english), tmp_path)
    assert [path.name for path in written] == [
        "encoder.onnx", "encoder.weights", "decoder.onnx", "decoder.weights", "tokens.txt",
    ]  # fmt: skip
    assert (tmp_path / "decoder.onnx").stat().st_size < 100_000
    np.testing.assert_array_equal(scores(tmp_path, "", *given), scores(exported, "", *given))


def test_shards_and_bfloat16_are_read(english: Path, given: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    import torch
    from transformers import WhisperForConditionalGeneration

    source = shutil.copytree(english, tmp_path / "source")
    (source / "model.safetensors").unlink()
    model = WhisperForConditionalGeneration.from_pretrained(english, dtype=torch.bfloat16)
    model.save_pretrained(source, max_shard_size="100KB")
    assert len(list(source.glob("*.safetensors"))) > 1
    export_whisper(str(source), tmp_path / "out")
    model.float().save_pretrained(plain := shutil.copytree(english, tmp_path / "plain"))
    own, expected = scores(tmp_path / "out", "", *given), theirs(plain, *given)
    may = within_reach(own)
    assert np.abs(own - expected)[may].max() / np.abs(expected).max() < 2e-5


def changed(folder: Path, target: Path, name: str, **values: object) -> str:
    shutil.copytree(folder, target)
    settings = json.loads((target / name).read_text())
    (target / name).write_text(json.dumps({**settings, **values}))
    return str(target)


def test_an_export_that_fails_leaves_what_was_there(english: Path, tmp_path: Path) -> None:
    """The decoder's weights are found wanting when the encoder is written already."""
    out = tmp_path / "out"
    export_whisper(str(english), out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    model = changed(english, tmp_path / "bad", "config.json", max_target_positions=7)
    for target in (out, tmp_path / "new"):
        with pytest.raises(ModelError, match=r"bad: its weights decoder\..* are of shape"):
            export_whisper(model, target)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert not (tmp_path / "new").exists()


def test_what_cannot_be_exported_says_why(english: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(ModelError, match="is a wav2vec2, not Whisper"):
        export_whisper(changed(english, tmp_path / "a", "config.json", model_type="wav2vec2"), out)
    with pytest.raises(ModelError, match="decoder_layers=None"):
        export_whisper(changed(english, tmp_path / "b", "config.json", decoder_layers=None), out)
    with pytest.raises(ModelError, match=r"lack model\.decoder\.layers\.2"):
        export_whisper(changed(english, tmp_path / "c", "config.json", decoder_layers=3), out)
    with pytest.raises(ModelError, match="configuration says"):
        export_whisper(changed(english, tmp_path / "d", "config.json", encoder_ffn_dim=128), out)
    with pytest.raises(InputError, match="no precision 'int3'"):
        export_whisper(str(english), out, precisions=("int3",))
    with pytest.raises(InputError, match="no such directory"):
        export_whisper("./nowhere", out)
    cut = shutil.copytree(english, tmp_path / "e")
    whole = (cut / "model.safetensors").read_bytes()
    (cut / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="cut off"):
        export_whisper(str(cut), out)
    assert not list(out.glob("*.onnx"))
