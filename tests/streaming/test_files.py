"""Reading ONNX without the onnx package, and what the runtime says about directories that are not whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from tests.streaming import models
from wattscribe.errors import InputError, ModelError
from wattscribe.graph import session
from wattscribe.graph.read import read_model
from wattscribe.graph.row_scales import by_row
from wattscribe.graph.simplify import RULES, simplified
from wattscribe.models import REFERENCE
from wattscribe.streaming import open_transducer, opening
from wattscribe.streaming.encoder import tail_for
from wattscribe.streaming.files import find_files
from wattscribe.streaming.layout import Port, match_states
from wattscribe.units import FRAME_SHIFT_S


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return models.build(tmp_path / "model", seed=1)


def one_line(error: BaseException, *parts: str) -> None:
    """Every message is one line that names the file, the fault and the remedy."""
    message = str(error)
    assert "\n" not in message
    for part in parts:
        assert part in message, message
    assert ". " in message, f"no remedy: {message}"


# --- rewriting ------------------------------------------------------------------------------------------------------
@pytest.mark.data
def test_the_rewritten_zipformer_gives_the_same_bits() -> None:
    path = models.ZIPFORMER / "encoder.int8.onnx"
    changed, applied = simplified(read_model(path))
    assert set(applied) == set(RULES)
    assert all(applied.values()), applied
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    nets = [onnxruntime.InferenceSession(source, options) for source in (str(path), changed)]
    kinds = {"tensor(int64)": np.int64, "tensor(float)": np.float32}
    states = [{p.name: np.zeros(p.shape, kinds[p.type]) for p in net.get_inputs()} for net in nets]
    rng = np.random.default_rng(0)
    for _ in range(4):
        segment = (rng.standard_normal((1, 45, 80)) * 3 - 8).astype(np.float32)
        answers = []
        for net, state in zip(nets, states, strict=True):
            state["x"] = segment
            values = net.run(None, state)
            answers.append(values)
            for port, value in zip(net.get_outputs()[1:], values[1:], strict=True):
                state[port.name.removeprefix("new_")] = value
        assert all(np.array_equal(a, b) for a, b in zip(*answers, strict=True))


@pytest.mark.parametrize("opset", [13, 17, 18, 20])
def test_rows_quantised_by_themselves_do_not_change_one_another(tmp_path: Path, opset: int) -> None:
    made = models.joiner(np.random.default_rng(0), quantised=True)
    made.opset_import[0].version = opset
    onnx.save(made, tmp_path / "joiner.onnx")
    changed = by_row(read_model(tmp_path / "joiner.onnx"))
    assert changed is not None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    plain, apart = (
        onnxruntime.InferenceSession(source, options) for source in (str(tmp_path / "joiner.onnx"), changed)
    )
    rng = np.random.default_rng(1)
    rows = [
        {k: rng.standard_normal((1, models.DIM)).astype(np.float32) * s for k in ("encoder_out", "decoder_out")}
        for s in (0.0, 0.1, 1, 3)
    ]
    alone = np.concatenate([plain.run(None, row)[0] for row in rows])
    stacked = {key: np.concatenate([row[key] for row in rows]) for key in rows[0]}
    assert np.array_equal(apart.run(None, stacked)[0], alone)
    assert not np.array_equal(plain.run(None, stacked)[0], alone), "without it they do"


# --- directories ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["encoder.onnx", "decoder.onnx", "joiner.onnx", "tokens.txt"])
def test_a_missing_file_is_named(directory: Path, name: str) -> None:
    (directory / name).unlink()
    with pytest.raises(ModelError) as caught:
        open_transducer(directory)
    one_line(caught.value, str(directory), name.split(".")[0], "missing")


def test_the_blank_head_of_a_factorised_joiner_is_named_and_not_mistaken_for_the_joiner(directory: Path) -> None:
    (directory / "joiner_blank.onnx").write_bytes((directory / "joiner.onnx").read_bytes())
    files = find_files(directory)
    assert files.joiner.name == "joiner.onnx"
    assert any("joiner_blank" in note for note in files.notes)


def test_no_directory_and_no_such_precision(tmp_path: Path, directory: Path) -> None:
    with pytest.raises(InputError, match="no such directory"):
        open_transducer(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no precision 'int3'"):
        open_transducer(directory, precision="int3")


def test_precision_is_chosen_by_file_and_says_where_there_is_none(directory: Path) -> None:
    (directory / "joiner.int8.onnx").write_bytes((directory / "joiner.onnx").read_bytes())
    assert find_files(directory).joiner.name == "joiner.onnx"
    int8 = find_files(directory, "int8")
    assert int8.joiner.name == "joiner.int8.onnx"
    assert len(int8.notes) == 2
    assert "there is no int8 encoder: encoder.onnx (fp32) runs" in int8.notes
    (directory / "joiner-epoch-9.onnx").write_bytes(b"")
    with pytest.raises(ModelError) as caught:
        find_files(directory)
    one_line(caught.value, "2 files could be the joiner", "joiner-epoch-9.onnx")


def test_mismatched_vocabulary(directory: Path) -> None:
    models.write_tokens(directory, models.VOCAB - 1)
    with pytest.raises(ModelError) as caught:
        open_transducer(directory)
    one_line(caught.value, str(directory), "scores 15 tokens, but tokens.txt lists 14")


def test_mismatched_joiner_width(directory: Path) -> None:
    onnx.save(models.joiner(np.random.default_rng(0), dim=models.DIM + 1), directory / "joiner.onnx")
    with pytest.raises(ModelError) as caught:
        open_transducer(directory)
    one_line(caught.value, "joiner.onnx", "takes 13 values, but encoder.onnx gives 12")


def edit(path: Path, change: Any) -> None:
    model = onnx.load(path)
    change(model)
    onnx.save(model, path)


def set_metadata(model: onnx.ModelProto, key: str, value: str | None) -> None:
    kept = {p.key: p.value for p in model.metadata_props if p.key != key}
    del model.metadata_props[:]
    helper.set_model_props(model, {**kept, **({} if value is None else {key: value})})


@pytest.mark.parametrize(
    ("file", "key", "value", "fault"),
    [
        ("encoder.onnx", "decode_chunk_len", None, "metadata 'decode_chunk_len' is missing"),
        ("encoder.onnx", "decode_chunk_len", "x", "decode_chunk_len='x' is not a positive whole number"),
        ("encoder.onnx", "decode_chunk_len", "10", "decode_chunk_len=10 is more than T=9"),
        ("encoder.onnx", "decode_chunk_len", "5", "decode_chunk_len=5 is no multiple of the 4 frames of a call"),
        ("encoder.onnx", "decode_chunk_len", "²", "decode_chunk_len='²' is not a positive whole number"),
        ("encoder.onnx", "T", "12", "metadata says T=12, but its input 'x' takes 9 frames"),
        ("encoder.onnx", "feature", "whisper", "Whisper features"),
        ("decoder.onnx", "context_size", "3", "context_size=3, but its input 'y' takes 2 tokens"),
        ("decoder.onnx", "vocab_size", "99", "joiner.onnx scores 15 tokens, but decoder.onnx knows 99"),
        ("joiner.onnx", "joiner_dim", "many", "joiner_dim='many' is not"),
        ("joiner.onnx", "joiner_dim", "99", "joiner_dim=99, but its input"),
    ],
)
def test_missing_or_wrong_metadata(directory: Path, file: str, key: str, value: str | None, fault: str) -> None:
    edit(directory / file, lambda model: set_metadata(model, key, value))
    with pytest.raises(ModelError) as caught:
        open_transducer(directory)
    one_line(caught.value, file if "scores" not in fault else str(directory), fault)


def test_a_state_that_no_output_feeds(directory: Path) -> None:
    def drop(model: onnx.ModelProto) -> None:
        model.graph.output.pop()

    edit(directory / "encoder.onnx", drop)
    with pytest.raises(ModelError) as caught:
        open_transducer(directory)
    one_line(caught.value, "encoder.onnx", "state input 'c'", "fed by no output")


@pytest.mark.parametrize(
    ("dtype", "shape", "fault"),
    [
        ("float32", (1, "N", 99), "comes back as"),
        ("int64", (1, "N", 8), "comes back as"),
        ("float32", ("N", 8), "comes back as"),
    ],
)
def test_a_state_that_comes_back_in_another_shape(dtype: str, shape: tuple[int, ...], fault: str) -> None:
    state, back = Port(name="h", dtype="float32", shape=(1, "N", 8)), Port(name="new_h", dtype=dtype, shape=shape)
    with pytest.raises(ModelError) as caught:
        match_states([state], [back], batch="N", metadata={}, path=Path("encoder.onnx"))
    one_line(caught.value, "encoder.onnx", "'h'", "'new_h'", fault)


def test_a_dimension_comes_from_the_metadata_or_is_asked_for() -> None:
    state, back = (Port(name=n, dtype="float32", shape=("left", "N", 8)) for n in ("h", "new_h"))
    (spec,) = match_states([state], [back], batch="N", metadata={"left": "5"}, path=Path("encoder.onnx"))
    assert (spec.shape, spec.batch_axis) == ((5, 1, 8), 1)
    with pytest.raises(ModelError) as caught:
        match_states([state], [back], batch="N", metadata={}, path=Path("encoder.onnx"))
    one_line(caught.value, "encoder.onnx", "dimension 'left'", "metadata left=SIZE")


def test_an_encoder_that_cannot_be_executed_names_the_node(directory: Path) -> None:
    def spoil(model: onnx.ModelProto) -> None:
        node = next(n for n in model.graph.node if n.op_type == "Tanh")
        node.op_type, node.domain, node.name = "Frobnicate", "", "the_node"

    edit(directory / "encoder.onnx", spoil)
    with pytest.raises(ModelError) as caught:
        open_transducer(directory)
    one_line(caught.value, "encoder.onnx", "Frobnicate")


def test_an_encoder_that_fails_while_running_names_the_node(directory: Path) -> None:
    def spoil(model: onnx.ModelProto) -> None:
        shape = next(i for i in model.graph.initializer if i.name == "shape_0")
        shape.CopyFrom(numpy_helper.from_array(np.array([1, -1, 5], np.int64), "shape_0"))
        next(n for n in model.graph.node if "next_h" in n.output).name = "the_reshape"

    edit(directory / "encoder.onnx", spoil)
    with pytest.raises(ModelError) as caught:
        open_transducer(directory)
    one_line(caught.value, "encoder.onnx", "failed while running", "the_reshape")


def test_an_input_that_nothing_makes_is_named(directory: Path) -> None:
    def spoil(model: onnx.ModelProto) -> None:
        next(n for n in model.graph.node if n.op_type == "Tanh").input[0] = "nowhere"

    edit(directory / "encoder.onnx", spoil)
    with pytest.raises(ModelError) as caught:
        open_transducer(directory)
    one_line(caught.value, "encoder.onnx", "nowhere")


@pytest.mark.parametrize("name", ["encoder.onnx", "decoder.onnx", "joiner.onnx"])
@pytest.mark.parametrize(("make", "fault"), [
    (lambda path: path.write_bytes(b""), "is empty"),
    (lambda path: path.mkdir(), "is not a file"),
    (lambda path: path.symlink_to("gone"), "is a link to nothing"),
])  # fmt: skip
def test_what_only_looks_like_a_model_file(directory: Path, name: str, make: Any, fault: str) -> None:
    (directory / name).unlink()
    make(directory / name)
    with pytest.raises(ModelError) as caught:
        open_transducer(directory)
    one_line(caught.value, name, fault)


@pytest.mark.parametrize(
    ("message", "left"),
    [
        (
            "Load model from a/encoder.onnx failed:/b/onnxruntime/core/graph/model_load_utils.h:48 void "
            "onnxruntime::model_load_utils::ValidateOpsetForDomain(const std::unordered_map<std::string, int>&, "
            "const onnxruntime::logging::Logger&, bool, const std::string&, int) ONNX Runtime supports opset 26.",
            "ONNX Runtime supports opset 26",
        ),
        (
            "Load model from a/encoder.onnx failed:/b/onnxruntime/core/graph/model.cc:181 onnxruntime::Model::Model("
            "onnx::ModelProto&&, const onnxruntime::ModelOptions&) Unsupported model IR version: 99",
            "Unsupported model IR version: 99",
        ),
        (
            "running Gather node. Name:'' Status Message: virtual OrtValue* onnxruntime::IExecutionFrame::Output(int, "
            "const onnxruntime::TensorShape*) The output has shape {1,8}",
            "running Gather node. Name:'' Status Message: The output has shape {1,8}",
        ),
    ],
)  # fmt: skip
def test_messages_hold_no_cpp_signature(message: str, left: str) -> None:
    assert session._one_line(message) == left


def test_an_offline_encoder_is_not_taken_for_a_streaming_one(directory: Path) -> None:
    def strip(model: onnx.ModelProto) -> None:
        for name in ("h", "c"):
            port = next(i for i in model.graph.input if i.name == name)
            model.graph.input.remove(port)
            model.graph.initializer.append(numpy_helper.from_array(np.zeros((1, 1, models.DIM), np.float32), name))
        while len(model.graph.output) > 1:
            model.graph.output.pop()

    edit(directory / "encoder.onnx", strip)
    with pytest.raises(ModelError) as caught:
        open_transducer(directory)
    one_line(caught.value, "encoder.onnx", "carries no states")


# --- audio ----------------------------------------------------------------------------------------------------------
def test_audio_that_is_not_what_the_runtime_takes(directory: Path) -> None:
    transducer = open_transducer(directory)
    stream = transducer.stream()
    spoiled = np.zeros(100, np.float32)
    spoiled[7] = np.nan
    cases: list[tuple[Any, int, str]] = [
        (spoiled, 16000, "sample 7 is nan"),
        (np.zeros(100, np.int16), 16000, "samples are int16"),
        (np.zeros((2, 100), np.float32), 16000, "shape (2, 100)"),
        (np.zeros(100, np.float32), 8000, "samples at 8000 Hz"),
    ]
    for samples, rate, fault in cases:
        with pytest.raises(InputError) as caught:
            stream.accept(samples, rate)
        one_line(caught.value, fault)
    stream.accept(np.zeros(0, np.float32))
    assert stream.finish().text == ""
    with pytest.raises(InputError, match="stream is finished"):
        stream.accept(np.zeros(10, np.float32))
    assert transducer.transcribe([np.zeros(0, np.float32)])[0].text == ""


@pytest.mark.parametrize(
    "options", [{"decoding": "best"}, {"beam": 0}, {"blank_penalty": -1.0}, {"tail_s": float("nan")}, {"tail_s": -1.0}]
)
def test_options_out_of_range(directory: Path, options: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        open_transducer(directory, **options)
    one_line(caught.value, *(str(value) for value in options.values() if value == value))


def test_the_shipped_model_is_found_by_its_name_unless_a_directory_here_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_files("reference", "int8").directory == REFERENCE
    (tmp_path / "reference").mkdir()
    with pytest.raises(ModelError, match="encoder"):
        find_files("reference")


@pytest.mark.parametrize("segment", [9, 32, 45, 77, 128, 269])
@pytest.mark.parametrize("right_context", [0, 13])
def test_the_tail_completes_the_segment_of_the_last_sound(segment: int, right_context: int) -> None:
    """With 0.8 s for every model, one of 1.28 s a segment loses the end of most utterances."""
    shift = max(1, segment - right_context)
    tail_frames = round(tail_for(segment) / FRAME_SHIFT_S)
    for frames in range(1, 4 * shift):
        segments = -(-(frames + tail_frames - segment) // shift)
        emitted_after = segments * shift - frames
        assert emitted_after >= min(35, tail_frames - segment), frames
    assert tail_for(45) == pytest.approx(0.8)


def test_the_tail_follows_the_model_unless_it_is_stated(directory: Path) -> None:
    assert open_transducer(directory).tail_s == tail_for(models.SEGMENT)
    assert open_transducer(directory, tail_s=0.25).tail_s == 0.25


@pytest.mark.parametrize("at", range(8, 40))
def test_a_shared_scale_is_found_across_the_border_of_two_pieces(
    at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "_PIECE_BYTES", 16)
    path = tmp_path / "model.onnx"
    path.write_bytes(b"." * at + b"DynamicQuantizeLinear" + b"." * 9)
    assert opening.takes_one_scale(path)
    path.write_bytes(b"." * at + b"DynamicQuant" + b"." * 9)
    assert not opening.takes_one_scale(path)
