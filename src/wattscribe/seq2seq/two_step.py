"""The vocabulary in two steps: a cheap pass over 4- or 2-bit codes of all rows picks candidates, exact scores of these decide.

Most rows of the table are then not read at full width. Candidates have the scores that they had; all others −∞, so greedy
search chooses the same token wherever the best one is among the candidates, in sherpa-onnx too. It was for all tokens of real
speech that were looked at (docs/whisper.md): counted, not proven, as the bound that the codes' errors give (Cauchy and Schwarz)
held for none. Beam search leaves the unlikely words out of the sum that makes probabilities.

Only the order of the cheap scores counts. So what all rows have in common, the mean row, is left out of the codes: it adds the
same to every score, and is nine tenths of a row's length in a Whisper. What differs most between rows is divided by how much
it does, and the hidden state multiplied by as much.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wattscribe.errors import InputError, ModelError
from wattscribe.models.directory import LOGITS, SCORES
from wattscribe.seq2seq.network import MICROSOFT, import_onnx

Floats = NDArray[np.float32]

CANDIDATES = 32
"""Room for what may never be said too, which is taken out afterwards."""
KEY = "vocabulary_candidates"
"""Of the decoder's metadata: rows that are scored exactly."""
BLOCKS = (128, 64, 32, 16)
"""Values that share a scale: the most that divide a row."""
BITS = 4
ALLOWED_BITS = (4, 2)
_REACH = (1.0, 0.85, 0.75, 0.65, 0.55, 0.45)
"""Of 2-bit codes: the lowest level as a part of the value furthest from zero, whichever errs least."""
_INTEGERS = 4
"""accuracy_level of MatMulNBits: multiply in 8-bit integers."""
_ROWS = "two_step.rows"
"""The node that reads the candidates' rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _LastProduct:
    """The last product as `export` writes it."""

    table: str
    """Initializer (vocabulary, width): float32, float16 or int8."""
    hidden: str
    """(N, t, width), float."""
    scores: str
    """What it makes: the output, or what the output is made of."""
    eight: tuple[str, str, str, str] | None = None
    """Of 8-bit products: hidden state as integers, its step and its zero point; the step of each row."""


def two_step(model: Any, candidates: int = CANDIDATES, bits: int = BITS) -> Any:
    """Change the ModelProto of a decoder that `export` wrote; returns it. `bits` of the codes: 4 or 2.

    Raises ModelError for a graph whose last product is another, InputError for a number of candidates that is none.
    """
    if bits not in ALLOWED_BITS:
        raise InputError(f"codes of {bits} bits pick no candidates", fix="Use 4 or 2")
    onnx = import_onnx()
    product = _last_product(model.graph)
    table = _array(model.graph, product.table)
    rows, width = table.shape
    if not 0 < candidates < rows:
        raise InputError(f"{candidates} candidates of {rows} rows", fix=f"Give 1 to {rows - 1}")
    block = next((size for size in BLOCKS if width % size == 0), None)
    if block is None:
        raise ModelError(f"rows of {width} values have no blocks", fix="Leave the vocabulary whole")
    values = table.astype(np.float32)
    if product.eight is not None:
        values *= _array(model.graph, product.eight[3])[:, None]
    differing, spread = apart(values)
    codes, scales = codes_of(differing, block, bits)
    graph = _Graph(model.graph, onnx)
    graph.drop(product.scores)
    hidden = graph.op("Mul", product.hidden, graph.weight("two_step.spread", spread), name="two_step.spread_hidden")
    graph.weight("two_step.codes", codes)
    graph.weight("two_step.scales", scales)
    cheap = graph.op(
        "MatMulNBits", hidden, "two_step.codes", "two_step.scales", name="two_step.cheap",
        domain=MICROSOFT, K=width, N=rows, bits=bits, block_size=block, accuracy_level=_INTEGERS,
    )  # fmt: skip
    count = graph.weight("two_step.count", np.array([candidates], np.int64))
    graph.op("TopK", cheap, count, name="two_step.best", more=("two_step.candidates",), axis=-1)
    exact = _exact(graph, product)
    never = graph.weight("two_step.never", np.array([-np.inf], np.float32))
    others = graph.op("Expand", never, graph.op("Shape", cheap, name="two_step.shape"), name="two_step.others")
    graph.op("ScatterElements", others, "two_step.candidates", exact, name=product.scores, axis=-1)
    graph.lift_rows(product.table)
    graph.to_end(LOGITS)
    graph.prune()
    _write_candidates(model, onnx, candidates)
    return model


def rows_of(model: Any) -> str:
    """The table of which `two_step` left single rows to be read."""
    return next(str(node.input[0]) for node in model.graph.node if node.name == _ROWS)


def candidates_of(metadata: Mapping[str, str]) -> int | None:
    """Rows that a decoder with this metadata scores exactly; None: all."""
    return int(metadata[KEY]) if metadata.get(KEY, "").isdigit() else None


def scores_of(last: Any) -> str:
    """What the vocabulary's product makes, given the node of the output: that, or what a last step puts in part out of reach."""
    return SCORES if last is not None and last.op_type == "Add" and last.input[0] == SCORES else LOGITS


def _last_product(graph: Any) -> _LastProduct:
    """Raises ModelError."""
    makers = {name: node for node in graph.node for name in node.output}
    stored = {tensor.name for tensor in graph.initializer}

    def maker(name: str, *kinds: str) -> Any:
        node = makers.get(name)
        return node if node is not None and node.op_type in kinds else None

    scores = scores_of(makers.get(LOGITS))
    last = maker(scores, "Transpose", "Mul")
    product = last and maker(last.input[0], "MatMul")
    turned = product and maker(product.input[1], "Transpose")
    if turned is not None:  # table × hiddenᵀ
        lifted = maker(product.input[0], "Cast")
        table = lifted.input[0] if lifted is not None else product.input[0]
        if table in stored:
            return _LastProduct(table=table, hidden=turned.input[0], scores=scores)
    cast = last and maker(last.input[0], "Cast")
    sums = cast and maker(cast.input[0], "MatMulInteger")
    steps = sums and len(last.input) > 1 and maker(last.input[1], "Mul")
    turned = sums and maker(sums.input[1], "Transpose")
    eight = sums and maker(sums.input[0], "DynamicQuantizeLinear")
    if steps and turned and eight and turned.input[0] in stored:
        eights = (*eight.output, steps.input[1])
        return _LastProduct(table=turned.input[0], hidden=eight.input[0], scores=scores, eight=eights)
    raise ModelError(
        "its vocabulary is not the last product that `export` writes, in float32, float16 or int8",
        fix="Take this step before others that change the vocabulary, on a decoder of `wattscribe export`",
    )


def _array(graph: Any, name: str) -> NDArray[Any]:
    from onnx import numpy_helper

    return np.asarray(numpy_helper.to_array(next(tensor for tensor in graph.initializer if tensor.name == name)))


def apart(values: Floats) -> tuple[Floats, Floats]:
    """What rows (vocabulary, width) differ by, in units of how much they do in each column, and these units (width,): with them
    times the hidden state it makes scores of the same order."""
    spread = values.std(axis=0, dtype=np.float64)
    spread = np.where(spread > 0, spread, 1.0)
    differing = (values - values.mean(axis=0, dtype=np.float64)) / spread
    return differing.astype(np.float32), spread.astype(np.float32)


def codes_of(values: Floats, block: int, bits: int = BITS) -> tuple[NDArray[np.uint8], Floats]:
    """Rows in so many bits, a scale a block, as MatMulNBits takes them: what is furthest from zero has the code 0, the lowest."""
    rows, width = values.shape
    blocks = values.reshape(rows, width // block, block)
    far = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=2)[..., None], axis=2)
    middle = 1 << (bits - 1)
    scales = np.where(far == 0, 1.0, far / -middle).astype(np.float32)
    codes = _levels(blocks, scales, middle)
    if bits == 2:
        least = _error(blocks, codes, scales)
        for reach in _REACH[1:]:
            less = np.where(far == 0, 1.0, reach * far / -middle).astype(np.float32)
            other = _levels(blocks, less, middle)
            error = _error(blocks, other, less)
            better = error < least
            codes, least = np.where(better, other, codes), np.where(better, error, least)
            scales = np.where(better, less, scales)
    stored = (codes + middle).astype(np.uint8)
    packed = np.zeros((*stored.shape[:2], block * bits // 8), np.uint8)
    for place in range(8 // bits):
        packed |= stored[..., place :: 8 // bits] << (bits * place)
    return packed, scales[..., 0]


def values_of(codes: NDArray[np.uint8], scales: Floats, bits: int) -> Floats:
    """What `codes_of` stands for: (rows, width)."""
    split = np.stack([codes >> (bits * place) & (1 << bits) - 1 for place in range(8 // bits)], axis=-1)
    levels = split.reshape(*scales.shape, -1).astype(np.float32) - (1 << (bits - 1))
    return np.asarray((levels * scales[..., None]).reshape(len(codes), -1), np.float32)


def _levels(blocks: Floats, scales: Floats, middle: int) -> NDArray[np.int8]:
    return np.asarray(np.clip(np.rint(blocks / scales), -middle, middle - 1), np.int8)


def _error(blocks: Floats, codes: NDArray[np.int8], scales: Floats) -> Floats:
    """Of each block."""
    return np.asarray(((codes * scales - blocks) ** 2).sum(axis=2, keepdims=True), np.float32)


def _exact(graph: _Graph, product: _LastProduct) -> str:
    """(N, t, candidates): by the same arithmetic as all rows were scored."""
    chosen = "two_step.candidates"
    row, column = graph.weight("two_step.row", np.array([-2])), graph.weight("two_step.column", np.array([-1]))
    rows = graph.op("Gather", product.table, chosen, name=_ROWS, axis=0)
    if product.eight is None:
        if graph.halved(product.table):
            rows = graph.op("Cast", rows, name="two_step.lifted", to=1)
        hidden = graph.op("Unsqueeze", product.hidden, column, name="two_step.hidden")
        return graph.op("Squeeze", graph.op("MatMul", rows, hidden, name="two_step.scores"), column,
                        name="two_step.exact")  # fmt: skip
    whole, step, zero, steps = product.eight
    turned = graph.op("Transpose", rows, name="two_step.turned", perm=[0, 1, 3, 2])
    hidden = graph.op("Unsqueeze", whole, row, name="two_step.hidden")
    sums = graph.op("MatMulInteger", hidden, turned, zero, name="two_step.sums")
    lifted = graph.op("Cast", graph.op("Squeeze", sums, row, name="two_step.flat"), name="two_step.float", to=1)
    own = graph.op("Gather", steps, chosen, name="two_step.row_steps", axis=0)
    return graph.op("Mul", lifted, graph.op("Mul", step, own, name="two_step.steps"), name="two_step.exact")


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

    def drop(self, value: str) -> None:
        """The node that made it."""
        for node in [node for node in self._graph.node if value in node.output]:
            self._graph.node.remove(node)

    def to_end(self, value: str) -> None:
        """The node that makes it, behind what was added."""
        for node in [node for node in self._graph.node if value in node.output]:
            self._graph.node.remove(node)
            self._graph.node.append(node)

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
