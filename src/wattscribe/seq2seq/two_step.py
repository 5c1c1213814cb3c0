"""The vocabulary in two steps: a cheap pass over 4-bit codes of all rows picks candidates, exact scores of these decide.

Most rows of the table are then not read at full width. Candidates have the scores that they had; all others −∞, so greedy
search chooses the same token wherever the best one is among the candidates, in sherpa-onnx too. It was for all of 1769 tokens of
real speech, never behind place 14 of the cheap pass (benchmarks/results/whisper.md): counted, not proven, as the bound that the
codes' errors give (Cauchy and Schwarz) held for none. Beam search leaves the unlikely words out of the sum that makes
probabilities.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wattscribe.errors import InputError, ModelError
from wattscribe.seq2seq.network import MICROSOFT, import_onnx

CANDIDATES = 32
"""Room for what may never be said too: a runtime takes those out afterwards."""
KEY = "vocabulary_candidates"
"""Of the decoder's metadata: rows that are scored exactly."""
LOGITS = "logits"
_BLOCKS = 128, 64, 32, 16
"""Values that share a scale: as many as divide a row."""
BITS, MIDDLE = 4, 8
_INTEGERS = 4
"""accuracy_level of MatMulNBits: multiply in 8-bit integers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _LastProduct:
    """The last product as `export` writes it."""

    table: str
    """Initializer (vocabulary, width): float32, float16 or int8."""
    hidden: str
    """(N, t, width), float."""
    eight: tuple[str, str, str, str] | None = None
    """Of 8-bit products: hidden state as integers, its step and its zero point; the step of each row."""


def two_step(model: Any, candidates: int = CANDIDATES) -> Any:
    """Change the ModelProto of a decoder that `export` wrote; returns it.

    Raises ModelError for a graph whose last product is another, InputError for a number of candidates that is none.
    """
    onnx = import_onnx()
    product = _last_product(model.graph)
    table = _array(model.graph, product.table)
    rows, width = table.shape
    if not 0 < candidates < rows:
        raise InputError(f"{candidates} candidates of {rows} rows", fix=f"Give 1 to {rows - 1}")
    block = next((size for size in _BLOCKS if width % size == 0), None)
    if block is None:
        raise ModelError(f"rows of {width} values have no blocks", fix="Leave the vocabulary whole")
    values = table.astype(np.float32)
    if product.eight is not None:
        values *= _array(model.graph, product.eight[3])[:, None]
    codes, scales = codes_of(values, block)
    graph = _Graph(model.graph, onnx)
    graph.drop_output()
    graph.weight("vocabulary.codes", codes)
    graph.weight("vocabulary.scales", scales)
    cheap = graph.op(
        "MatMulNBits", product.hidden, "vocabulary.codes", "vocabulary.scales", name="vocabulary.cheap",
        domain=MICROSOFT, K=width, N=rows, bits=BITS, block_size=block, accuracy_level=_INTEGERS,
    )  # fmt: skip
    count = graph.weight("vocabulary.count", np.array([candidates], np.int64))
    graph.op("TopK", cheap, count, name="vocabulary.best", more=("vocabulary.candidates",), axis=-1)
    exact = _exact(graph, product)
    never = graph.weight("vocabulary.never", np.array([-np.inf], np.float32))
    others = graph.op("Expand", never, graph.op("Shape", cheap, name="vocabulary.shape"), name="vocabulary.others")
    graph.op("ScatterElements", others, "vocabulary.candidates", exact, name=LOGITS, axis=-1)
    graph.lift_rows(product.table)
    graph.prune()
    _write_candidates(model, onnx, candidates)
    return model


def candidates_of(metadata: Mapping[str, str]) -> int | None:
    """Rows that a decoder with this metadata scores exactly; None: all."""
    return int(metadata[KEY]) if metadata.get(KEY, "").isdigit() else None


def _last_product(graph: Any) -> _LastProduct:
    """Raises ModelError."""
    makers = {name: node for node in graph.node for name in node.output}
    stored = {tensor.name for tensor in graph.initializer}

    def maker(name: str, *kinds: str) -> Any:
        node = makers.get(name)
        return node if node is not None and node.op_type in kinds else None

    last = maker(LOGITS, "Transpose", "Mul")
    product = last and maker(last.input[0], "MatMul")
    turned = product and maker(product.input[1], "Transpose")
    if turned is not None:  # table × hiddenᵀ
        lifted = maker(product.input[0], "Cast")
        table = lifted.input[0] if lifted is not None else product.input[0]
        if table in stored:
            return _LastProduct(table=table, hidden=turned.input[0])
    cast = last and maker(last.input[0], "Cast")
    sums = cast and maker(cast.input[0], "MatMulInteger")
    steps = sums and len(last.input) > 1 and maker(last.input[1], "Mul")
    turned = sums and maker(sums.input[1], "Transpose")
    eight = sums and maker(sums.input[0], "DynamicQuantizeLinear")
    if steps and turned and eight and turned.input[0] in stored:
        return _LastProduct(table=turned.input[0], hidden=eight.input[0], eight=(*eight.output, steps.input[1]))
    raise ModelError(
        "its vocabulary is not the last product that `export` writes, in float32, float16 or int8",
        fix="Take this step before others that change the vocabulary, on a decoder of `wattscribe export`",
    )


def _array(graph: Any, name: str) -> NDArray[Any]:
    from onnx import numpy_helper

    return np.asarray(numpy_helper.to_array(next(tensor for tensor in graph.initializer if tensor.name == name)))


def codes_of(values: NDArray[np.float32], block: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Rows in four bits, a scale a block, as MatMulNBits takes them: the value furthest from zero has the code 0, −8 scales."""
    rows, width = values.shape
    blocks = values.reshape(rows, width // block, block)
    far = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=2)[..., None], axis=2)
    scales = np.where(far == 0, 1.0, far / -MIDDLE).astype(np.float32)
    codes = np.clip(np.rint(blocks / scales) + MIDDLE, 0, 2**BITS - 1).astype(np.uint8)
    return codes[..., ::2] | codes[..., 1::2] << BITS, scales[..., 0]


def _exact(graph: _Graph, product: _LastProduct) -> str:
    """(N, t, candidates): by the same arithmetic as all rows were scored."""
    chosen = "vocabulary.candidates"
    row, column = graph.weight("vocabulary.row", np.array([-2])), graph.weight("vocabulary.column", np.array([-1]))
    rows = graph.op("Gather", product.table, chosen, name="vocabulary.rows", axis=0)
    if product.eight is None:
        if graph.halved(product.table):
            rows = graph.op("Cast", rows, name="vocabulary.lifted", to=1)
        hidden = graph.op("Unsqueeze", product.hidden, column, name="vocabulary.hidden")
        return graph.op("Squeeze", graph.op("MatMul", rows, hidden, name="vocabulary.scores"), column,
                        name="vocabulary.exact")  # fmt: skip
    whole, step, zero, steps = product.eight
    turned = graph.op("Transpose", rows, name="vocabulary.turned", perm=[0, 1, 3, 2])
    hidden = graph.op("Unsqueeze", whole, row, name="vocabulary.hidden")
    sums = graph.op("MatMulInteger", hidden, turned, zero, name="vocabulary.sums")
    lifted = graph.op("Cast", graph.op("Squeeze", sums, row, name="vocabulary.flat"), name="vocabulary.float", to=1)
    own = graph.op("Gather", steps, chosen, name="vocabulary.row_steps", axis=0)
    return graph.op("Mul", lifted, graph.op("Mul", step, own, name="vocabulary.steps"), name="vocabulary.exact")


class _Graph:
    """A GraphProto that operators are added to."""

    def __init__(self, graph: Any, onnx: Any) -> None:
        self._graph, self._onnx = graph, onnx

    def op(
        self, kind: str, *inputs: str, name: str, domain: str = "", more: tuple[str, ...] = (), **settings: Any
    ) -> str:
        node = self._onnx.helper.make_node(kind, inputs, [name, *more], name=name, domain=domain, **settings)
        self._graph.node.append(node)
        return name

    def weight(self, name: str, values: NDArray[Any]) -> str:
        self._graph.initializer.append(self._onnx.numpy_helper.from_array(values, name))
        return name

    def halved(self, table: str) -> bool:
        tensor = next(stored for stored in self._graph.initializer if stored.name == table)
        return bool(tensor.data_type == self._onnx.TensorProto.FLOAT16)

    def drop_output(self) -> None:
        """The node that made the scores."""
        for node in [node for node in self._graph.node if LOGITS in node.output]:
            self._graph.node.remove(node)

    def lift_rows(self, table: str) -> None:
        """Rows of a half-precision table are lifted where they are looked up: as a whole it would stand in memory in 32 bits."""
        lifted = {node.output[0] for node in self._graph.node if node.op_type == "Cast" and node.input[0] == table}
        for at, node in enumerate(self._graph.node):
            if node.op_type == "Gather" and node.input[0] in lifted:
                node.input[0], after = table, node.output[0]
                node.output[0] = f"{after}.half"
                self._graph.node.insert(at + 1, self._onnx.helper.make_node("Cast", [node.output[0]], [after], to=1))
                return

    def prune(self) -> None:
        """Nodes and weights that nothing needs any more."""
        needed = {output.name for output in self._graph.output}
        for node in reversed(list(self._graph.node)):
            if needed.isdisjoint(node.output):
                self._graph.node.remove(node)
            else:
                needed.update(node.input)
        for tensor in [tensor for tensor in self._graph.initializer if tensor.name not in needed]:
            self._graph.initializer.remove(tensor)


def _write_candidates(model: Any, onnx: Any, candidates: int) -> None:
    properties = {entry.key: entry.value for entry in model.metadata_props}
    onnx.helper.set_model_props(model, {**properties, KEY: str(candidates)})
    if not any(opset.domain == MICROSOFT for opset in model.opset_import):
        model.opset_import.append(onnx.helper.make_opsetid(MICROSOFT, 1))
