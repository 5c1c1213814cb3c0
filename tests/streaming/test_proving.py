"""A graph of which onnxruntime dies is found in another process, once, and runs as it was exported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnxruntime.transformers.float16 import convert_float_to_float16

from tests.streaming import models, nemo_models
from wattscribe.graph import proving
from wattscribe.streaming import open_transducer

CRASH = "import os, signal, sys; open({!r}, 'a').write(sys.argv[1] + chr(10)); os.kill(os.getpid(), signal.SIGSEGV)"


def in_float16(folder: Path, *names: str) -> Path:
    """Those networks stored and computed in 16 bits."""
    for name in names:
        half = convert_float_to_float16(onnx.load(folder / f"{name}.onnx"), keep_io_types=True)
        onnx.save(half, folder / f"{name}.onnx")
    return folder


@pytest.fixture
def tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A child that dies of every graph and writes down which; nothing is known of any."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("WATTSCRIBE_GRAPH_CACHE", raising=False)
    monkeypatch.setattr(proving, "_CHILD", CRASH.format(str(tmp_path / "tried")))
    return tmp_path / "tried"


def test_a_deadly_graph_runs_unoptimised_with_a_note_and_is_tried_once(
    tmp_path: Path, tried: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proving, "_RECURRENT", ("Tanh",))
    folder = in_float16(models.build(tmp_path / "m"), "encoder")
    audio = [(np.random.default_rng(0).standard_normal(16000 * 2) * 0.1).astype(np.float32)]
    first, second = open_transducer(folder), open_transducer(folder)
    assert tried.read_text().splitlines() == [str(folder / "encoder.onnx")]
    for each in (first, second):
        (note,) = each.notes
        assert "dies of optimising encoder.onnx" in note
    assert first.encoder.net.get_session_options().graph_optimization_level.name == "ORT_DISABLE_ALL"
    first.settle(1e6, to_keep=True)
    assert first.lookahead.refused is not None
    assert first.transcribe(audio)[0].text == second.transcribe(audio)[0].text != ""


def test_a_float16_lstm_is_tried_and_lives_or_runs_unoptimised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever this onnxruntime does of it: the words are there."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = in_float16(nemo_models.build(tmp_path / "m", layers=2), "encoder", "decoder", "joiner")
    transducer = open_transducer(folder)
    verdicts = [path.read_text() for path in (tmp_path / "cache").rglob("*.txt")]
    assert len(verdicts) == 1, "the decoder alone has an LSTM"
    assert len(transducer.notes) == verdicts.count("dies")
    audio = (np.random.default_rng(0).standard_normal(16000 * 3) * 0.1).astype(np.float32)
    assert transducer.transcribe([audio])[0].tokens


def test_only_recurrent_graphs_with_float16_are_tried(tmp_path: Path, tried: Path) -> None:
    assert open_transducer(nemo_models.build(tmp_path / "n")).notes == []
    assert open_transducer(in_float16(models.build(tmp_path / "m"), "encoder")).notes == []
    assert not tried.exists()
    folder = in_float16(nemo_models.build(tmp_path / "h"), "decoder")
    (note,) = open_transducer(folder).notes
    assert "decoder.onnx" in note


def test_ort_files_run_as_they_are_and_are_never_called_damaged(tmp_path: Path) -> None:
    import onnxruntime

    from wattscribe.errors import ModelError
    from wattscribe.graph.read import read_model
    from wattscribe.recognizers.detect import runtime_of

    source, target = models.build(tmp_path / "onnx"), tmp_path / "ort"
    target.mkdir()
    for name in ("encoder", "decoder", "joiner"):
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = str(target / f"{name}.ort")
        options.add_session_config_entry("session.save_model_format", "ORT")
        onnxruntime.InferenceSession(str(source / f"{name}.onnx"), options)
    (target / "tokens.txt").write_bytes((source / "tokens.txt").read_bytes())
    audio = [(np.random.default_rng(0).standard_normal(16000 * 2) * 0.1).astype(np.float32)]
    assert runtime_of(target) == "onnx"
    found = open_transducer(target).transcribe(audio)[0].text
    assert found == open_transducer(source).transcribe(audio)[0].text != ""
    with pytest.raises(ModelError, match=r"onnxruntime's own format \(\.ort\)"):
        read_model(target / "encoder.ort")
