"""One index for nodes of ours and for onnx.NodeProto."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from wattscribe.compression.linears import Index as ProtoIndex
from wattscribe.compression.linears import sweep
from wattscribe.graph.index import Index, in_order, index_of, inner_names, live_nodes
from wattscribe.graph.read import parse_model


def proto() -> onnx.ModelProto:
    """x → a → (b, c) → y; `unused` makes nothing that is needed; an If takes `w` and `d` from outside."""
    branch = [
        helper.make_graph([helper.make_node("Add", [taken, "w"], [out])], name, [], [_value(out)])
        for name, taken, out in (("then", "c", "p"), ("else", "d", "q"))
    ]
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Split", ["a"], ["b", "c"], num_outputs=2),
        helper.make_node("Constant", [], ["d"], value=numpy_helper.from_array(np.ones(2, np.float32))),
        helper.make_node("Neg", ["a"], ["unused"]),
        helper.make_node("If", ["b"], ["y"], then_branch=branch[0], else_branch=branch[1]),
    ]
    weights = [numpy_helper.from_array(np.float32(3), name) for name in ("w", "v")]
    graph = helper.make_graph(nodes, "g", [_value("x")], [_value("y")], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])


def _value(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [4])


@pytest.fixture(params=["ours", "onnx"])
def found(request: pytest.FixtureRequest) -> Index[Any, Any]:
    if request.param == "onnx":
        return ProtoIndex(proto())
    return index_of(parse_model(proto().SerializeToString(), Path("m.onnx")).graph)


def test_makers_users_and_constants(found: Index[Any, Any]) -> None:
    split = found.maker("c")
    assert split is not None
    assert split.op_type == "Split"
    assert found.maker("c", "Relu") is None
    assert found.maker("x") is None
    assert found.only_user("x", "Relu") is not None
    assert found.only_user("a") is None, "two take it"
    assert found.only_user("y") is None, "it is an output"
    assert found.scalar("w") == 3.0
    assert found.constant("d") is not None
    assert found.scalar("d") is None, "two elements"
    assert found.constant("a") is None


def test_ways_through_the_graph(found: Index[Any, Any]) -> None:
    assert found.places() == {"a": 0, "b": 1, "c": 1, "d": 2, "unused": 3, "y": 4}
    assert found.after("a") == {1, 3, 4}
    assert found.before("y") == {0, 1, 4}
    assert found.between("a", "y") == {1, 4}


def test_what_inner_graphs_take_is_needed(found: Index[Any, Any]) -> None:
    assert {"c", "d", "w"} <= inner_names(found.nodes)
    assert [node.op_type for node in live_nodes(found.nodes, {"y"})] == ["Relu", "Split", "Constant", "If"]
    assert [node.op_type for node in live_nodes(found.nodes, {"b"})] == ["Relu", "Split"]


def test_sweeping_keeps_what_a_branch_takes() -> None:
    model = proto()
    sweep(model)
    assert [node.op_type for node in model.graph.node] == ["Relu", "Split", "Constant", "If"]
    assert [each.name for each in model.graph.initializer] == ["w"]


def test_order(found: Index[Any, Any]) -> None:
    mixed = [found.nodes[place] for place in (4, 1, 0, 2, 3)]
    ordered = in_order(mixed)
    assert ordered is not None
    assert [node.op_type for node in ordered] == ["Relu", "Constant", "Split", "Neg", "If"]
    assert in_order([helper.make_node("Neg", ["p"], ["q"]), helper.make_node("Neg", ["q"], ["p"])]) is None
