"""The vocabulary's matrix: read row by row as the embedding, and whole for the scores of every token. It is stored once.

What executes: MatMulInteger or MatMulNBits for the scores; for the embedding a lookup of the same codes and a few operators on
one row, since GatherBlockQuantized reads another layout of codes than MatMulNBits does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wattscribe.compression.levers.tools import Asked
from wattscribe.compression.levers.weights import block_codes, known_moments, rounding_of
from wattscribe.compression.linears import Index, Weights, add_constant, pack, replace_nodes, sweep
from wattscribe.compression.rounding import gptq
from wattscribe.errors import InputError
from wattscribe.models.directory import LOGITS
from wattscribe.seq2seq.network import STEPS, quantise
from wattscribe.seq2seq.two_step import scores_of

BLOCKS = (32, 64, 128)
_AT_ONCE = 4096
"""Tokens whose codes are chosen together: their errors do not touch those of others, and all of them take gigabytes."""
_FLOAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """scores = x · tableᵀ."""

    source: str
    """The value x."""
    scores: str
    weight: Weights
    """[tokens, width]."""
    product: tuple[Any, ...]
    """The nodes from x to the scores."""
    lookups: tuple[Any, ...]
    """The nodes that read single rows of the same weights."""


def table_of(model: Any) -> Table | None:
    """None where the scores are not the product with a matrix of floats."""
    index = Index(model)
    nodes: list[Any] = []
    scores = scores_of(index.maker(LOGITS))
    node = index.maker(scores)
    while node is not None and node.op_type == "Transpose":
        nodes.append(node)
        node = index.maker(node.input[0])
    if node is None or node.op_type != "MatMul":
        return None
    nodes.append(node)
    for at, other in ((0, 1), (1, 0)):
        name, turned = _untransposed(index, node.input[at])
        weight = index.constant(name)
        if weight is None or weight.ndim != 2 or weight.dtype != np.float32:
            continue
        by_token = turned == (at == 1)
        source = node.input[other]
        before = index.maker(source)
        if at == 0 and before is not None and before.op_type == "Transpose":
            nodes.append(before)
            source = before.input[0]
        lookups = tuple(user for user in index.users[name] if user.op_type == "Gather" and user.input[0] == name)
        return Table(
            source=source, scores=scores, weight=weight if by_token else np.ascontiguousarray(weight.T),
            product=tuple(nodes), lookups=lookups if by_token else (),
        )  # fmt: skip
    return None


def _untransposed(index: Index, name: str) -> tuple[str, bool]:
    """The constant behind a value, and whether it is turned on its way."""
    maker = index.maker(name)
    return (maker.input[0], True) if maker is not None and maker.op_type == "Transpose" else (name, False)


def int8(asked: Asked) -> None:
    """Seven bits with a step for each token, multiplied in integers. Option: rounding = gptq | nearest."""
    table = _table(asked)
    codes, steps = asked.calibration.kept(_key(asked, table, 8, 0), lambda: _eight(asked, table))
    add_constant(asked.model, "vocabulary.weight", codes)
    add_constant(asked.model, "vocabulary.scale", steps)
    _rewrite(asked.model, table, _integer_product(table), lambda lookup: _integer_rows(lookup, asked.model))


def _eight(asked: Asked, table: Table) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    plain, steps = quantise(table.weight, axis=1)
    gram = known_moments("vocabulary", table.source, table.weight.shape[1], asked.calibration)
    if gram is None or rounding_of(asked.options) == "nearest":
        return plain, steps
    parts = [
        gptq(np.ascontiguousarray(table.weight[rows].T), steps[rows][None], gram, -STEPS, STEPS).T
        for rows in _slices(len(steps))
    ]
    return np.concatenate(parts).astype(np.int8), steps


def blocks(asked: Asked) -> None:
    """MatMulNBits of 4 bits. Options: block, rounding, accuracy (onnxruntime's accuracy_level: 4 multiplies in int8), rows: 8
    keeps a table of 8 bits for the embedding, of which a token reads one row, so that it costs bytes on disk and no energy."""
    block = int(asked.options.get("block", 32))
    if block not in BLOCKS:
        raise InputError(f"blocks of {block} cannot be run", fix=f"One of {BLOCKS}")
    table = _table(asked)
    packed, scales = asked.calibration.kept(_key(asked, table, 4, block), lambda: _four(asked, table, block))
    add_constant(asked.model, "vocabulary.weight", packed)
    add_constant(asked.model, "vocabulary.scale", scales)
    product = _blocks_product(table, block, int(asked.options.get("accuracy", 4)))
    rows = int(asked.options.get("rows", 4))
    if rows not in (4, 8):
        raise InputError(f"rows of {rows} bits cannot be looked up", fix="Use 4 or 8")
    if rows == 8:
        embedded, steps = quantise(table.weight, axis=1)
        add_constant(asked.model, "embedding.weight", embedded)
        add_constant(asked.model, "embedding.scale", steps)
        _rewrite(asked.model, table, product, lambda lookup: _integer_rows(lookup, asked.model, "embedding"))
    else:
        width = table.weight.shape[1]
        _rewrite(asked.model, table, product, lambda lookup: _block_rows(lookup, asked.model, width, block))
    if not any(imported.domain == "com.microsoft" for imported in asked.model.opset_import):
        opset = asked.model.opset_import.add()
        opset.domain, opset.version = "com.microsoft", 1


def _four(asked: Asked, table: Table, block: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    gram = known_moments("vocabulary", table.source, table.weight.shape[1], asked.calibration)
    packed, scales = [], []
    for rows in _slices(len(table.weight)):
        weight = np.ascontiguousarray(table.weight[rows].T)
        codes, scale, _ = block_codes(weight, gram, 4, block, rounding_of(asked.options))
        packed.append(pack(codes + 8, 4, block))
        scales.append(np.ascontiguousarray(scale.T, np.float32))
    return np.concatenate(packed), np.concatenate(scales)


def _slices(count: int) -> Iterator[slice]:
    for start in range(0, count, _AT_ONCE):
        yield slice(start, min(count, start + _AT_ONCE))


def _table(asked: Asked) -> Table:
    table = table_of(asked.model) if asked.component == "vocabulary" else None
    if table is None:
        raise asked.nothing("has no matrix of floats that scores the vocabulary")
    return table


def _key(asked: Asked, table: Table, bits: int, block: int) -> tuple[Any, ...]:
    return (
        "vocabulary",
        bits,
        block,
        rounding_of(asked.options),
        hash(table.weight[:: max(1, len(table.weight) // 64)].tobytes()),
    )


def _rewrite(model: Any, table: Table, product: list[Any], rows: Callable[[Any], list[Any]]) -> None:
    """Put the product, and for each lookup what answers its rows, in the place of what was there."""
    groups: list[tuple[Any, Any]] = [((lookup,), rows(lookup)) for lookup in table.lookups]
    replace_nodes(model, [(table.product, product), *groups])
    sweep(model)


def _integer_product(table: Table) -> list[Any]:
    from onnx import helper

    make = helper.make_node
    quantised = [f"{table.source}.quantised", f"{table.source}.step", f"{table.source}.zero"]
    return [
        make("DynamicQuantizeLinear", [table.source], quantised, name="vocabulary/quantise"),
        make("Transpose", ["vocabulary.weight"], ["vocabulary.turned"], name="vocabulary/turn", perm=[1, 0]),
        make(
            "MatMulInteger",
            [quantised[0], "vocabulary.turned", quantised[2]],
            ["vocabulary.sums"],
            name="vocabulary/sums",
        ),
        make("Cast", ["vocabulary.sums"], ["vocabulary.float"], name="vocabulary/float", to=_FLOAT),
        make("Mul", [quantised[1], "vocabulary.scale"], ["vocabulary.steps"], name="vocabulary/steps"),
        make("Mul", ["vocabulary.float", "vocabulary.steps"], [table.scores], name="vocabulary/scores"),
    ]


def _integer_rows(lookup: Any, model: Any, table: str = "vocabulary") -> list[Any]:
    from onnx import helper

    make, tokens, out = helper.make_node, lookup.input[1], lookup.output[0]
    add_constant(model, "vocabulary.last", np.array([-1], np.int64))
    return [
        make("Gather", [f"{table}.weight", tokens], [f"{out}/codes"], name=f"{out}/look"),
        make("Cast", [f"{out}/codes"], [f"{out}/float"], name=f"{out}/cast", to=_FLOAT),
        make("Gather", [f"{table}.scale", tokens], [f"{out}/steps"], name=f"{out}/look_step"),
        make("Unsqueeze", [f"{out}/steps", "vocabulary.last"], [f"{out}/column"], name=f"{out}/unsqueeze"),
        make("Mul", [f"{out}/float", f"{out}/column"], [out], name=f"{out}/scale"),
    ]


def _blocks_product(table: Table, block: int, accuracy: int) -> list[Any]:
    from onnx import helper

    tokens, width = table.weight.shape
    return [
        helper.make_node(
            "MatMulNBits", [table.source, "vocabulary.weight", "vocabulary.scale"], [table.scores], name="vocabulary/scores",
            domain="com.microsoft", K=width, N=tokens, bits=4, block_size=block, accuracy_level=accuracy,
        )
    ]  # fmt: skip


def _block_rows(lookup: Any, model: Any, width: int, block: int) -> list[Any]:
    """A row's codes, two a byte, the low four bits first, less the middle of their range, times the scale of their block."""
    from onnx import helper

    make, tokens, out = helper.make_node, lookup.input[1], lookup.output[0]
    for name, values in (
        ("sixteenth", np.float32(1 / 16)), ("sixteen", np.float32(16)), ("middle", np.float32(8)),
        ("last", np.array([-1], np.int64)), ("in_blocks", np.array([0, 0, 0, block], np.int64)),
        ("whole_row", np.array([0, 0, -1], np.int64)), ("first", np.array([0], np.int64)),
        ("width", np.array([width], np.int64)),
    ):  # fmt: skip
        add_constant(model, f"vocabulary.{name}", np.asarray(values))
    nodes = [
        make("Gather", ["vocabulary.weight", tokens], [f"{out}/bytes"], name=f"{out}/look"),
        make("Cast", [f"{out}/bytes"], [f"{out}/float"], name=f"{out}/cast", to=_FLOAT),
        make("Mul", [f"{out}/float", "vocabulary.sixteenth"], [f"{out}/parts"], name=f"{out}/part"),
        make("Floor", [f"{out}/parts"], [f"{out}/high"], name=f"{out}/floor"),
        make("Mul", [f"{out}/high", "vocabulary.sixteen"], [f"{out}/above"], name=f"{out}/lift"),
        make("Sub", [f"{out}/float", f"{out}/above"], [f"{out}/low"], name=f"{out}/rest"),
        make("Unsqueeze", [f"{out}/low", "vocabulary.last"], [f"{out}/low_column"], name=f"{out}/low_last"),
        make("Unsqueeze", [f"{out}/high", "vocabulary.last"], [f"{out}/high_column"], name=f"{out}/high_last"),
        make("Concat", [f"{out}/low_column", f"{out}/high_column"], [f"{out}/pairs"], name=f"{out}/pair", axis=-1),
        make("Reshape", [f"{out}/pairs", "vocabulary.in_blocks"], [f"{out}/codes"], name=f"{out}/by_block"),
        make("Sub", [f"{out}/codes", "vocabulary.middle"], [f"{out}/signed"], name=f"{out}/sign"),
        make("Gather", ["vocabulary.scale", tokens], [f"{out}/steps"], name=f"{out}/look_step"),
        make("Unsqueeze", [f"{out}/steps", "vocabulary.last"], [f"{out}/column"], name=f"{out}/unsqueeze"),
        make("Mul", [f"{out}/signed", f"{out}/column"], [f"{out}/scaled"], name=f"{out}/scale"),
    ]
    if width % block == 0:
        return [*nodes, make("Reshape", [f"{out}/scaled", "vocabulary.whole_row"], [out], name=f"{out}/row")]
    cut = ["vocabulary.first", "vocabulary.width", "vocabulary.last"]
    return [
        *nodes,
        make("Reshape", [f"{out}/scaled", "vocabulary.whole_row"], [f"{out}/filled"], name=f"{out}/row"),
        make("Slice", [f"{out}/filled", *cut], [out], name=f"{out}/cut"),
    ]
