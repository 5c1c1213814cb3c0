"""What is written loads in onnxruntime 1.17 and stands by itself; what others wrote newer is refused with both versions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from tests.compression import builders
from tests.streaming import models
from wattscribe.compression.candidate import read_candidate
from wattscribe.compression.levers import apply
from wattscribe.compression.step import Step
from wattscribe.errors import InputError, ModelError
from wattscribe.graph.portable import IR_VERSION, OPSET, portable, whole
from wattscribe.streaming import open_transducer
from wattscribe.streaming.files import find_files

NETWORKS = ("encoder", "decoder", "joiner")


def with_weights_outside(source: Path, target: Path, name: str = "{}.onnx.data", ir: int = 10) -> Path:
    """The directory as torch's exporter writes it: newer stamps, every weight in a second file."""
    target.mkdir()
    for each in NETWORKS:
        model = onnx.load(source / f"{each}.onnx")
        model.ir_version = ir
        onnx.save(
            model, target / f"{each}.onnx", save_as_external_data=True, location=name.format(each), size_threshold=0
        )
    (target / "tokens.txt").write_bytes((source / "tokens.txt").read_bytes())
    return target


@pytest.mark.parametrize("name", ["{}.onnx.data", "{}.onnx_data", "{}.weights"])
def test_weights_in_a_second_file_run_and_are_written_whole(tmp_path: Path, name: str) -> None:
    plain = builders.build(tmp_path / "plain")
    outside = with_weights_outside(plain, tmp_path / "outside", name)
    audio = [builders.sound(i, 2.0) for i in range(4)]
    expected = [each.text for each in open_transducer(plain).transcribe(audio)]
    assert len("".join(expected)) > 20
    assert [each.text for each in open_transducer(outside).transcribe(audio)] == expected
    candidate = read_candidate(outside)
    candidate.write(tmp_path / "written")
    assert [each.text for each in open_transducer(tmp_path / "written").transcribe(audio)] == expected
    assert sorted(path.name for path in (tmp_path / "written").iterdir()) == sorted(
        [*(f"{each}.onnx" for each in NETWORKS), "tokens.txt"]
    )
    sizes = find_files(outside).model_bytes, sum(path.stat().st_size for path in outside.glob("[edj]*"))
    assert sizes[0] == pytest.approx(sizes[1], rel=0.02)


def test_constants_of_single_operators_outside_are_named_with_what_to_do(tmp_path: Path) -> None:
    value = numpy_helper.from_array(np.ones(500, np.float32), "c")
    graph = helper.make_graph(
        [helper.make_node("Constant", [], ["c"], value=value), helper.make_node("Add", ["x", "c"], ["y"])], "g",
        [models.value("x", [500])], [models.value("y", [500])],
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    onnx.save(
        made, tmp_path / "m.onnx", save_as_external_data=True, location="w", size_threshold=0, convert_attribute=True
    )
    with pytest.raises(ModelError, match=r"second file.*onnx\.save"):
        whole(tmp_path / "m.onnx")


def _of_opset(opset: int, *nodes: onnx.NodeProto) -> onnx.ModelProto:
    graph = helper.make_graph(
        list(nodes), "g", [models.value("x", [4, 8])], [models.value("y", [4, 8])],
        [numpy_helper.from_array(np.ones((4, 2), np.float32), "s")],
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    made.ir_version = 11
    return made


def test_a_newer_stamp_than_the_graph_needs_is_lowered() -> None:
    model = _of_opset(22, helper.make_node("Relu", ["x"], ["r"]), helper.make_node("Cast", ["r"], ["y"], to=1))
    assert portable(model)
    assert (model.ir_version, model.opset_import[0].version) == (IR_VERSION, OPSET)
    assert not portable(model)


def test_an_operator_of_a_newer_opset_keeps_it() -> None:
    """QuantizeLinear in blocks came with opset 21."""
    model = _of_opset(
        21,
        helper.make_node("QuantizeLinear", ["x", "s"], ["q"], axis=1, block_size=4, output_dtype=2),
        helper.make_node("DequantizeLinear", ["q", "s"], ["y"], axis=1, block_size=4),
    )
    assert portable(model)
    assert (model.ir_version, model.opset_import[0].version) == (IR_VERSION, 21)


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("newer")
    return builders.bench_parts(with_weights_outside(builders.build(folder / "plain"), folder / "outside", ir=11))


@pytest.mark.parametrize(
    ("lever", "component"),
    [("int8", "encoder"), ("blockwise", "joiner"), ("lookup-int8", "predictor"), ("fp16", "all"), ("int8-conv", "encoder"),
     ("fold", "encoder"), ("share-equal", "encoder"), ("prune-width", "encoder"), ("low-rank", "encoder")],
)  # fmt: skip
def test_levers_write_what_onnxruntime_1_17_loads(newer: Any, lever: str, component: str) -> None:
    candidate, calibration, _ = newer
    try:
        made = apply(candidate, Step(lever=lever, component=component), calibration)
    except InputError as error:
        pytest.skip(f"the toy has nothing for it: {error}")
    for name in made.networks:
        model = made.model(name)
        assert model.ir_version <= IR_VERSION
        assert all(each.version <= OPSET for each in model.opset_import if each.domain == "")
        assert not any(each.external_data for each in model.graph.initializer)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda model: setattr(model, "ir_version", 99), r"is of ONNX IR version 99; onnxruntime [\d.]+ takes \d+ at"),
        (
            lambda model: setattr(model.opset_import[0], "version", 90),
            r"is of opset 90 of ai\.onnx; onnxruntime [\d.]+",
        ),
    ],
)
def test_what_is_newer_than_this_onnxruntime_is_refused_with_both_versions(
    tmp_path: Path, change: Any, said: str
) -> None:
    folder = models.build(tmp_path)
    model = onnx.load(folder / "encoder.onnx")
    change(model)
    (folder / "encoder.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=said) as caught:
        open_transducer(folder)
    assert "newer onnxruntime" in str(caught.value)
