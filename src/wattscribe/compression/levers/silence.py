"""Silence behind the speech, heard once and for all: a Whisper's keys and values of it become constants of the encoder's file.

A Whisper was trained on windows of 30 s, most of which end in silence that the frames of speech look at. Take it away and the
text changes, in noise most of all; compute it and five sixths of the work on an utterance of 5 s are silence. But what silence
answers hardly depends on the speech before it: here it is computed once, from silence alone, and stands behind the frames of
speech wherever they are looked at, in the encoder's self-attention and in the decoder's cross-attention.

With a `stride` one silent frame stands for so many. A softmax would give it too little, so the logarithm of the stride is added
to its score: its keys are moved along the direction in which queries measure 1, which least squares find for each head
(`benchmarks.whisper --part silence` prints how nearly they do).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wattscribe.compression.calibrate import Summed, with_outputs
from wattscribe.compression.levers.layers import kept_layers
from wattscribe.compression.levers.tools import Asked
from wattscribe.graph.session import open_session, run
from wattscribe.models.directory import CROSS
from wattscribe.seq2seq.decoder_graph import CROSS_QUERIES
from wattscribe.seq2seq.mel import log_mel
from wattscribe.seq2seq.network import MICROSOFT

Floats = NDArray[np.float32]
SILENCE = ".silence"
"""Ends the names of what silence answers."""
DAMPING = 1e-4
"""Of the queries' mean square: what they hardly do must not decide."""


def remember(asked: Asked, stride: int) -> None:
    """Every attention of the encoder, and the decoder's to the encoder, look at one silent frame in `stride` behind their own.

    Raises InputError for an encoder whose attention is written out.
    """
    metadata = {entry.key: entry.value for entry in asked.model.metadata_props}
    bands, whole = int(metadata["n_mels"]), 2 * int(metadata["n_audio_ctx"])
    attentions = [each for each in asked.model.graph.node if _is_attention(each)]
    if not attentions:
        raise asked.nothing("has no attention in one operator, as `wattscribe export` writes it")
    looked_at = [name for each in attentions for name in each.input[1:3]]
    answers = _of_silence(asked.model, bands, whole, _floor(asked, bands, whole), [*looked_at, *CROSS])
    if stride > 1:
        _weigh(asked, attentions, answers, np.log(stride), heads=int(metadata["n_text_head"]))
    graph = asked.model.graph
    behind = _Behind(graph.input[0].name, stride)
    nodes = []
    for node in graph.node:
        if _is_attention(node):
            for place in (1, 2):
                name = node.input[place]
                node.input[place] = f"{name}.long"
                nodes.append(behind.joined(name, f"{name}.long", answers[name], axis=1))
        for place, name in enumerate(node.output):
            if name in CROSS:
                node.output[place] = node.name = f"{name}.heard"
        nodes.append(node)
    nodes += [behind.joined(f"{name}.heard", name, answers[name], axis=2) for name in CROSS]
    copies = [type(node).FromString(node.SerializeToString()) for node in (*behind.nodes, *nodes)]
    del graph.node[:]
    graph.node.extend(copies)
    graph.initializer.extend(behind.constants)


def _is_attention(node: Any) -> bool:
    return node.op_type == "MultiHeadAttention" and node.domain == MICROSOFT and len(node.input) >= 3


def _floor(asked: Asked, bands: int, whole: int) -> float:
    """What the features of silence are behind speech like this: they end 8 decades below the loudest."""
    return float(np.median([log_mel(audio, whole, bands).min() for audio in asked.calibration.speech.audio]))


def _of_silence(model: Any, bands: int, whole: int, floor: float, names: list[str]) -> dict[str, Floats]:
    """What a window of nothing else makes of these values."""
    copied = type(model)()
    copied.CopyFrom(model)
    path = Path("encoder.onnx")
    session = open_session(path, model=with_outputs(copied, names))
    silence = np.full((1, bands, whole), floor, np.float32)
    return dict(zip(names, run(session, path, names, {"mel": silence}), strict=True))


def _weigh(asked: Asked, attentions: list[Any], answers: dict[str, Floats], score: float, heads: int) -> None:
    """Move the keys of silence so that their scores rise by `score`."""
    queries = [node.input[0] for node in attentions]
    sums = asked.calibration.queries("encoder", queries)
    for node in attentions:
        attributes = {each.name: each for each in node.attribute}
        scale = attributes["scale"].f if "scale" in attributes else 0.0
        count = attributes["num_heads"].i
        direction = measuring_one(sums[node.input[0]], count)
        answers[node.input[1]] += score * direction / (scale or (len(direction) / count) ** -0.5)
    names = [CROSS_QUERIES.format(layer=layer) for layer in kept_layers(asked.model)]
    sums = asked.calibration.queries("decoder", names)
    for place, name in enumerate(names):
        answers[CROSS[0]][place] += score * measuring_one(sums[name], heads)


def measuring_one(sums: Summed, heads: int) -> Floats:
    """Of each head the vector whose product with its queries is nearest to 1, head behind head."""
    width = len(sums.total) // heads
    directions = []
    for head in range(heads):
        part = slice(head * width, (head + 1) * width)
        gram = sums.gram[part, part] + DAMPING * np.trace(sums.gram[part, part]) / width * np.eye(width)
        directions.append(np.linalg.solve(gram, sums.total[part]))
    return np.concatenate(directions).astype(np.float32)


class _Behind:
    """Nodes and constants that put silence behind what was heard; `nodes` come first: they ask for the features' shape alone."""

    def __init__(self, features: str, stride: int) -> None:
        self._stride = stride
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        one = self._constant("one", np.array([1]))
        self._begin = self._op(
            "Div", self._op("Add", self._op("Shape", features, start=2), one), self._constant("two", np.array([2]))
        )
        if stride > 1:
            rounded = self._op("Add", self._begin, self._constant("rest", np.array([stride - 1])))
            self._begin = self._op("Div", rounded, self._constant("stride", np.array([stride])))
        rows, ones = self._op("Shape", features, end=1), self._constant("ones", np.array([1, 1]))
        self._rows = {1: self._op("Concat", rows, ones, axis=0), 2: self._op("Concat", one, rows, ones, axis=0)}

    def joined(self, name: str, output: str, silent: Floats, *, axis: int) -> Any:
        """The node that makes `output` of `name`, whose frames are on `axis`, and the silent ones behind it."""
        from onnx import helper

        kept = silent.take(range(0, silent.shape[axis], self._stride), axis=axis)
        where = self._constant(f"axis_{axis}", np.array([axis]))
        end = self._constant(f"end_{axis}", np.array([kept.shape[axis]]))
        rest = self._op("Slice", self._constant(f"{output}{SILENCE}", kept), self._begin, end, where)
        rows = self._op("Expand", rest, self._rows[axis])
        return helper.make_node("Concat", [name, rows], [output], name=output, axis=axis)

    def _op(self, kind: str, *inputs: str, **attributes: int) -> str:
        from onnx import helper

        output = f"silence.{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=output, **attributes))
        return output

    def _constant(self, name: str, values: NDArray[Any]) -> str:
        from onnx import numpy_helper

        name = name if name.endswith(SILENCE) else f"silence.{name}"
        if all(each.name != name for each in self.constants):
            self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name
