"""No file of a model ends in a traceback, a hang or an empty text: it runs, or is refused in one line.

The graphs that kill onnxruntime itself are those of `tests/cli/test_apart.py`.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import model_attacks as attacks
from wattscribe import first_run
from wattscribe.errors import ModelError
from wattscribe.graph import wire
from wattscribe.graph.model import INITIALIZER, NODE, Node
from wattscribe.graph.read import read_model
from wattscribe.graph.write import encode_node, encode_tensor, tensor
from wattscribe.profiling import workload_of
from wattscribe.recognizers.ct2_file import read_variables, require_numbers
from wattscribe.recognizers.onnx_facts import audit_onnx
from wattscribe.records import RecognizerSpec
from wattscribe.streaming import open_transducer
from wattscribe.testing.transducers import Size, write

LONGEST_LINE = 3000


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    attacks.prepare(folder)
    return folder


@pytest.mark.parametrize("kind", attacks.USES)
def test_a_sound_model_is_taken(kind: str, room: Path) -> None:
    assert attacks.said(attacks.USES[kind], room / "sound") is None


@pytest.mark.parametrize(("kind", "examples"), [("read", 100), ("ct2", 100), ("transcribe", 12), ("profile", 12)])
def test_an_unsound_model_runs_or_is_refused_in_one_line(
    kind: str, examples: int, room: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_run, "LONGEST_S", 2.0)
    attack = attacks.attack_of(kind)

    @settings(max_examples=examples, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(seed=st.integers(0, 1 << 30))
    def draw(seed: int) -> None:
        said = attack(room, random.Random(seed))
        assert said is None or ("\n" not in said and len(said) < LONGEST_LINE)

    draw()


def test_an_unsound_configuration_is_counted_or_refused_in_one_line(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="needs wattscribe[hf]")
    for seed in range(6):
        said = attacks.configuration_attack(tmp_path, random.Random(seed))
        assert said is None or ("\n" not in said and len(said) < LONGEST_LINE)


def test_more_layers_than_any_model_has_are_not_built(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="needs wattscribe[hf]")
    (tmp_path / "config.json").write_text(
        json.dumps({**attacks.CONFIGURATION, "encoder_layers": 10**9}), encoding="utf-8"
    )
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match="says encoder_layers=1000000000"):
        workload_of(str(tmp_path))


def test_nothing_but_our_line_is_printed_of_a_graph_that_cannot_run(
    room: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """onnxruntime's own wrapper prints that it tries again."""
    import onnxruntime

    def fails(*_: object) -> None:
        raise RuntimeError("Invalid tensor data type 32775.")

    monkeypatch.setattr(onnxruntime.InferenceSession, "_create_inference_session", fails)
    for use in (attacks.USES["transcribe"], attacks.USES["profile"]):
        said = attacks.said(use, room / "sound")
        assert said is not None
        assert "Invalid tensor data type" in said
    assert capsys.readouterr() == ("", "")


def node(kind: str, inputs: list[str], outputs: list[str], **attributes: object) -> bytes:
    made = Node(op_type=kind, name=outputs[0], inputs=tuple(inputs), outputs=tuple(outputs), attributes=attributes)  # type: ignore[arg-type]
    return wire.field(NODE, encode_node(made))


def model(graph: bytes) -> bytes:
    return wire.field(1, 8) + wire.field(7, graph) + wire.field(8, wire.field(2, 13))


def weight(**fields: bytes | int | str) -> bytes:
    """A TensorProto `w` with these fields: dims, data_type, raw_data, location."""
    found = wire.field(1, fields.get("dims", 2)) + wire.field(2, fields.get("kind", 1)) + wire.field(8, "w")
    if "raw" in fields:
        found += wire.field(9, fields["raw"])
    for key in ("location", "offset", "length"):
        if key in fields:
            found += wire.field(13, wire.field(1, key) + wire.field(2, fields[key]))
    return wire.field(INITIALIZER, found)


def nested(depth: int) -> bytes:
    graph = node("Identity", ["x"], ["y"])
    for _ in range(depth):
        inner = wire.field(1, "body") + wire.field(6, graph) + wire.field(20, 5)
        made = wire.field(2, "y") + wire.field(4, "If") + wire.field(5, inner)
        graph = wire.field(NODE, made)
    return graph


@pytest.mark.parametrize(
    ("graph", "words"),
    [
        (weight(dims=-1, raw=b""), "shape"),
        (weight(dims=1 << 50, raw=b""), "shape"),
        (weight(raw=7), "bytes"),
        (weight(location="w.bin", offset="1" * 400), "no place"),
        (weight(location="w.bin", offset="-8"), "no place"),
        (weight(location="w.bin", length="x"), "no place"),
        (weight(location="../w.bin"), "outside"),
        (node("Identity", ["a"], ["b"]) + node("Identity", ["b"], ["a"]), "out of itself"),
        (node("Identity", ["a"], ["b"]) + node("Identity", ["x"], ["b"]), "two operators"),
        (nested(2000), "nested"),
    ],
    ids=[
        "negative",
        "huge",
        "number for bytes",
        "offset",
        "negative offset",
        "length",
        "outside",
        "cycle",
        "twice",
        "nested",
    ],
)
def test_what_no_graph_can_be_is_named(graph: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(model(graph))
    (tmp_path / "w.bin").write_bytes(bytes(64))
    with pytest.raises(ModelError, match=words):
        read_model(path)


def test_operators_may_stand_in_any_order(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(model(node("Identity", ["b"], ["c"]) + node("Identity", ["a"], ["b"])))
    assert [each.outputs for each in read_model(path).graph.nodes] == [("c",), ("b",)]


def test_a_weight_that_is_shorter_than_its_shape_is_named(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(model(weight(dims=3, raw=b"12345678")))
    with pytest.raises(ModelError, match="8 bytes, 12 expected"):
        read_model(path).graph.initializers["w"].array()


def with_metadata(path: Path, **entries: str) -> None:
    """Entries that come last hold."""
    added = [wire.field(14, wire.field(1, key) + wire.field(2, value)) for key, value in entries.items()]
    path.write_bytes(path.read_bytes() + b"".join(added))


@pytest.mark.parametrize("value", ["1" * 5000, "99999999", "-1", "²", "nan", "0", ""])
def test_numbers_of_metadata_are_numbers(value: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "m", attacks.SIZE)
    with_metadata(folder / "encoder.onnx", decode_chunk_len=value)
    with pytest.raises(ModelError, match=r"decode_chunk_len=.* is not a positive whole number"):
        open_transducer(folder)


def test_a_segment_that_is_no_speech_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "m", Size(width=4, layers=1, frames=1 << 15))
    with pytest.raises(ModelError, match="no speech features"):
        open_transducer(folder)


def spoiled(data: bytes, name: str, value: float) -> bytes:
    """The model with a weight of its own values replaced by `value`."""
    found = read_model(_written(data)).graph.initializers[name]
    new = np.full(found.shape, value, np.float32)
    return data.replace(bytes(found.data or b""), new.tobytes(), 1)


def _written(data: bytes) -> Path:
    import tempfile

    path = Path(tempfile.mkdtemp()) / "m.onnx"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(("file", "name"), [("encoder", "W_in"), ("decoder", "E"), ("joiner", "W")])
def test_weights_that_are_no_numbers_never_end_in_an_empty_text(file: str, name: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "m", attacks.SIZE)
    path = folder / f"{file}.onnx"
    path.write_bytes(spoiled(path.read_bytes(), name, float("nan")))
    with pytest.raises(ModelError, match="not numbers"):
        open_transducer(folder).transcribe([attacks.AUDIO])
    spec = RecognizerSpec(runtime="sherpa", model=str(folder), precision="stored")
    with pytest.raises(ModelError, match=f"{name} are not numbers"):
        audit_onnx(spec, [path], device="cpu")


def test_weights_of_ctranslate2_that_are_no_numbers_are_named(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    for dtype, value in (("float32", np.nan), ("float16", np.nan), ("float32", np.inf)):
        values = np.ones((20, 8), dtype)
        values[3, 3] = value
        path.write_bytes(attacks.ct2_file({**attacks.WHISPER, "decoder/embeddings/weight": values}))
        with pytest.raises(ModelError, match="decoder/embeddings/weight are not numbers"):
            require_numbers(path, read_variables(path))


def test_a_variable_whose_bytes_do_not_fit_its_shape_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    data = attacks.ct2_file({"w": np.zeros((2, 2), np.float32)})
    path.write_bytes(data.replace((2).to_bytes(4, "little") * 2, (2).to_bytes(4, "little") + (9).to_bytes(4, "little")))
    with pytest.raises(ModelError, match="takes 16 bytes"):
        read_variables(path)


def test_a_graph_without_inputs_is_not_counted(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    constant = wire.field(INITIALIZER, encode_tensor(tensor("w", np.zeros(2, np.float32))))
    path.write_bytes(model(constant + node("Identity", ["w"], ["y"])))
    with pytest.raises(ModelError, match="no inputs"):
        workload_of(str(path))


def test_a_graph_of_another_shape_is_told_in_our_words(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever kind of error a graph leads to where its shapes are relied on."""
    from wattscribe.streaming import transducer

    def fails(*_: object, **__: object) -> None:
        raise IndexError("tuple index\nout of range")

    monkeypatch.setattr(transducer, "open_encoder", fails)
    with pytest.raises(ModelError, match=r"\(IndexError: tuple index out of range\)"):
        open_transducer(room / "sound")
