"""The vocabulary in two steps: candidates keep their scores, others have none, and what was read is counted."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.known import known
from tests.seq2seq.test_runtime import heard, texts
from wattscribe.energy.files import of_directory
from wattscribe.errors import InputError, ModelError
from wattscribe.recognizers import Audio, open_recognizer, parse_model
from wattscribe.seq2seq.two_step import apart, codes_of, two_step, values_of
from wattscribe.seq2seq.whisper_net import WhisperNet

onnx = pytest.importorskip("onnx")
CANDIDATES = 40
MARKS = {"fp32": "", "fp16": ".fp16", "int8": ".int8"}


@pytest.fixture(scope="module")
def changed(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two-step")
    for path in exported.iterdir():
        if path.name.startswith("decoder"):
            onnx.save(two_step(onnx.load(path), CANDIDATES), folder / path.name)
        else:
            shutil.copy(path, folder / path.name)
    return folder


@pytest.mark.parametrize("precision", MARKS)
def test_candidates_keep_their_scores(exported: Path, changed: Path, precision: str) -> None:
    """Also of a prompt of several tokens, and of several streams."""
    mel = np.random.default_rng(0).standard_normal((2, 80, 400), np.float32)
    found = []
    for folder in (exported, changed):
        net = WhisperNet(folder / "encoder.onnx", folder / f"decoder{MARKS[precision]}.onnx", threads=1)
        encoded = net.encode(mel)
        found.append([encoded.step(np.array([[1, 2, 3], [4, 5, 6]])).copy(), encoded.step(np.array([[7], [8]])).copy()])
    for whole, chosen in zip(*found, strict=True):
        kept = np.isfinite(chosen)
        assert (kept.sum(axis=1) == CANDIDATES).all()
        np.testing.assert_allclose(chosen[kept], whole[kept], rtol=1e-4, atol=1e-5)
        assert (chosen.argmax(axis=1) == whole.argmax(axis=1)).all()


def test_texts_stay_and_rows_are_counted(exported: Path, changed: Path, clips: list[Audio]) -> None:
    own, cheap = heard(exported, clips), heard(changed, clips)
    assert [each.text for each in cheap] == [each.text for each in own]
    assert texts(changed, clips, batch_size=3) == [each.text for each in own]
    for one, other in zip(own, cheap, strict=True):
        before, after = known(one.counts), known(other.counts)
        assert after.vocabulary_rows == after.predictor_rows * CANDIDATES < before.vocabulary_rows


def test_sherpa_onnx_runs_it(exported: Path, changed: Path, clips: list[Audio]) -> None:
    pytest.importorskip("sherpa_onnx", reason="needs wattscribe[sherpa]")
    for folder in (exported, changed):
        recognizer = open_recognizer(parse_model(f"sherpa:{folder}"))
        found = [each.text for each in recognizer.transcribe(clips)]
        if folder == exported:
            expected = found
    assert found == expected


@pytest.mark.parametrize("precision", MARKS)
def test_its_vocabulary_reads_less(exported: Path, changed: Path, precision: str) -> None:
    """Codes of four bits and their scales for all rows, and the candidates' rows; every other part as before."""
    whole, cheap = (of_directory(folder, precision=precision) for folder in (exported, changed))
    for one, other in zip(whole.components, cheap.components, strict=True):
        if one.name != "vocabulary":
            assert (other.total_macs, other.call_bytes) == (one.total_macs, pytest.approx(one.call_bytes, rel=0.01))
    table, rows, width = cheap.component("vocabulary"), known(whole.vocabulary), 64
    assert table.call_bytes == pytest.approx(rows * width / 2 + 4 * rows * width / 64, rel=0.01)
    size = {"fp32": 4, "fp16": 2, "int8": 1}[precision]
    scales = 4 * CANDIDATES if precision == "int8" else 0
    assert table.row_bytes == pytest.approx((CANDIDATES + 1) * width * size + scales)


@pytest.mark.parametrize("bits", [4, 2])
def test_what_all_rows_share_takes_no_place_of_the_codes(bits: int) -> None:
    """Rows as a Whisper's: nine tenths of them are the same, and the hidden state lies along one column in which they hardly
    differ. The best row is among few, which it is not where the rows are coded as they are."""
    rng = np.random.default_rng(0)
    rows, width = 4000, 128
    common, spread = 0.1 * rng.standard_normal(width), np.full(width, 0.02)
    common[7], spread[7] = 0.4, 0.002
    table = (common + spread * rng.standard_normal((rows, width))).astype(np.float32)
    hidden = rng.standard_normal((200, width)).astype(np.float32)
    hidden[:, 7] -= 60.0
    best = (hidden @ table.T).argmax(axis=1)

    def worst_place(values: np.ndarray, unit: np.ndarray | float) -> int:
        scores = (hidden * unit) @ values_of(*codes_of(values, 128, bits), bits).T
        return int((scores > scores[np.arange(200), best][:, None]).sum(axis=1).max())

    few = {4: 16, 2: 128}[bits]
    assert worst_place(*apart(table)) < few < worst_place(table, 1.0)


@pytest.mark.parametrize(("bits", "block", "most"), [(4, 64, 0.12), (2, 32, 0.5)])
def test_onnxruntime_multiplies_what_the_codes_say(bits: int, block: int, most: float) -> None:
    """Codes and scales as MatMulNBits takes them, and near the values that they stand for."""
    import onnxruntime

    rng = np.random.default_rng(bits)
    table, x = (rng.standard_normal(shape).astype(np.float32) for shape in ((48, 64), (1, 3, 64)))
    codes, scales = codes_of(table, block, bits)
    rows = values_of(codes, scales, bits)
    assert np.linalg.norm(rows - table) < most * np.linalg.norm(table)
    make, kind = onnx.helper, onnx.TensorProto.FLOAT
    node = make.make_node("MatMulNBits", ["x", "codes", "scales"], ["y"], domain="com.microsoft",
                          K=64, N=48, bits=bits, block_size=block)  # fmt: skip
    graph = make.make_graph(
        [node], "g", [make.make_tensor_value_info("x", kind, [1, 3, 64])], [make.make_tensor_value_info("y", kind, None)],
        [onnx.numpy_helper.from_array(codes, "codes"), onnx.numpy_helper.from_array(scales, "scales")],
    )  # fmt: skip
    sets = [make.make_opsetid("", 17), make.make_opsetid("com.microsoft", 1)]
    model = make.make_model(graph, opset_imports=sets, ir_version=8)
    (found,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})
    np.testing.assert_allclose(found, x @ rows.T, rtol=1e-3, atol=1e-3)


def test_what_cannot_be_changed_is_refused(exported: Path) -> None:
    model = onnx.load(exported / "decoder.onnx")
    with pytest.raises(InputError, match="codes of 3 bits"):
        two_step(model, 4, 3)
    with pytest.raises(InputError, match="0 candidates of"):
        two_step(model, 0)
    changed = two_step(model, 4)
    with pytest.raises(ModelError, match="not the last product that `export` writes"):
        two_step(changed, 4)
