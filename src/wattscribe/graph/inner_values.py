"""Run a graph once with every inner value shown: what shape each has, and which never change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from wattscribe.graph import session
from wattscribe.graph.model import INPUT, OUTPUT, Model
from wattscribe.graph.write import encode_port, to_bytes

Array = NDArray[Any]
_RANDOM = ("RandomNormal", "RandomUniform", "Multinomial", "Bernoulli", "Dropout")


class InnerValues:
    """Values by name, of one run on these inputs; `constants` are those that no input reaches."""

    def __init__(self, model: Model, feeds: Mapping[str, Array]) -> None:
        self._model = model
        graph = model.graph
        self._names = [name for node in graph.nodes for name in node.outputs if name]
        ports = [(INPUT, raw.tobytes()) for number, raw in graph.rest if number == INPUT]
        ports += [(OUTPUT, encode_port(name)) for name in self._names]
        self._net = session.open_session(model.path, model=to_bytes(model, graph.nodes, ports=ports), optimised=False)
        self.values = {**self.run(feeds), **feeds}
        self.constants = self._constants()

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Every inner value for other inputs."""
        arrays = session.run(self._net, self._model.path, self._names, feeds)
        return dict(zip(self._names, arrays, strict=True))

    def shape(self, name: str) -> tuple[int, ...]:
        shape: tuple[int, ...] = self.values[name].shape
        return shape

    def _constants(self) -> dict[str, Array]:
        fixed: dict[str, Array] = {name: weight.array() for name, weight in self._model.graph.initializers.items()}
        for node in self._model.graph.nodes:
            reached = [name for name in node.inputs if name and name not in fixed]
            free = reached or node.op_type in _RANDOM or next(node.subgraphs(), None) is not None
            if node.op_type == "Shape" or not free:
                fixed.update({name: self.values[name] for name in node.outputs if name})
        self.values.update(fixed)
        return fixed
