"""The encoder for one stream: a state for each layer, heads read in place, and the bits of the graph as it was exported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

from tests.streaming import models
from tests.streaming.test_ahead import LAYERS, layered
from wattscribe.compression.candidate import read_candidate
from wattscribe.compression.lift import lifted
from wattscribe.errors import InputError
from wattscribe.graph.read import read_model
from wattscribe.graph.simplify import quantised
from wattscribe.models import REFERENCE
from wattscribe.streaming import open_transducer, opening
from wattscribe.streaming.encoder import Encoder


def pair(path: Path, *, alone: bool = True) -> tuple[Encoder, Encoder]:
    """The rewritten encoder and the one that was exported."""
    changed, apart = opening.open_encoder(path, threads=1, rewriting=True, alone=alone)
    return Encoder(changed, path, streams_apart=apart), Encoder(
        opening.open_encoder(path, threads=1, rewriting=False)[0], path
    )


def same_bits(one: Encoder, other: Encoder, calls: int = 6) -> None:
    slots, rng = (one.slot(), other.slot()), np.random.default_rng(2)
    for call in range(calls):
        features = rng.standard_normal(one.segment_shape).astype(np.float32)
        found = []
        for slot in slots:
            slot.features[0] = features
            found.append(slot.run(call * one.layout.shift_frames).copy())
        assert np.array_equal(found[0], found[1])
    flat = [np.sort(np.concatenate([state.ravel() for state in slot.states])) for slot in slots]
    assert np.array_equal(flat[0], flat[1])


@pytest.mark.parametrize("quantised", [False, True])
def test_a_joined_state_becomes_a_state_for_each_layer(tmp_path: Path, quantised: bool) -> None:
    path = layered(tmp_path / "encoder.onnx", seed=7, stacked=True, quantised=quantised)
    one, other = pair(path)
    assert {spec.name for spec in one.layout.states} == {"seen", *(f"cache/{n}" for n in range(LAYERS))}
    assert len(other.layout.states) == 2
    same_bits(one, other)


def blocks(path: Path) -> Path:
    """The shipped encoder with every linear map in blocks of 4 bits."""
    model = MatMulNBitsQuantizer(
        onnx.load_from_string(lifted(read_candidate(REFERENCE)).networks["encoder"]), bits=4, block_size=256,
        is_symmetric=True, accuracy_level=4, op_types_to_quantize=("MatMul",),
    )  # fmt: skip
    model.process()
    onnx.save(model.model.model, path)
    return path


@pytest.mark.parametrize("precision", ["int8", "fp16", "blocks"])
def test_the_shipped_encoder_moves_less_and_gives_the_same_bits(tmp_path: Path, precision: str) -> None:
    path = blocks(tmp_path / "encoder.onnx") if precision == "blocks" else REFERENCE / f"encoder.{precision}.onnx"
    one, other = pair(path)
    assert (len(one.layout.states), len(other.layout.states)) == (16, 2)
    same_bits(one, other)
    saved = {}
    for rewriting in (True, False):
        saved[rewriting] = tmp_path / f"{rewriting}.onnx"
        opening.open_encoder(path, threads=1, rewriting=rewriting, saved=saved[rewriting])
    turned = {
        rewriting: sum(node.op_type == "Transpose" for node in onnx.load(file).graph.node)
        for rewriting, file in saved.items()
    }
    layers, heads = 8, 0 if precision == "fp16" else 3
    assert turned[False] - turned[True] >= layers * (1 + heads)


@pytest.mark.parametrize("lifted_by", [(), ("Cast",), ("Transpose", "Cast")])
def test_float_products_are_seen_however_their_weights_are_lifted(tmp_path: Path, lifted_by: tuple[str, ...]) -> None:
    """Known shapes would have their bias fused, and other last bits."""
    path = blocks(tmp_path / "encoder.onnx")
    assert quantised(read_model(path))
    model = onnx.load(path)
    weight = "plain"
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.eye(4, dtype=np.float32), weight))
    for kind in lifted_by:
        settings = {"to": onnx.TensorProto.FLOAT} if kind == "Cast" else {}
        model.graph.node.append(onnx.helper.make_node(kind, [weight], [weight + kind], **settings))
        weight += kind
    model.graph.node.append(onnx.helper.make_node("MatMul", ["x", weight], ["extra"]))
    onnx.save(model, path)
    assert not quantised(read_model(path))


def test_streams_that_may_share_calls_keep_the_joined_state() -> None:
    one, _ = pair(REFERENCE / "encoder.fp16.onnx", alone=False)
    assert one.layout.batchable
    assert len(one.layout.states) == 2


def test_a_stream_saved_for_another_batch_size_is_refused() -> None:
    alone, shared = (open_transducer(REFERENCE, precision="fp16", batch_size=size) for size in (1, 2))
    stream = alone.stream()
    stream.accept(models.sound(9000, 1))
    with pytest.raises(InputError, match="another batch size"):
        shared.stream(stream.save())
