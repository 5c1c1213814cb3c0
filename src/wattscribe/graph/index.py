"""Who makes and who uses each value of a graph, what of it is constant, and what nothing needs.

One index for both kinds of graphs here: those of `graph.model`, and onnx.ModelProto where onnxruntime's own tools change them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Generic, TypeVar

from numpy.typing import NDArray

from wattscribe.graph.model import Graph, Node, Tensor

Values = NDArray[Any]
N = TypeVar("N", bound=Any)
"""A Node, or an onnx.NodeProto: both have `op_type`, `domain`, `input` and `output`."""
C = TypeVar("C", bound=Any)
"""A Tensor, or an onnx.TensorProto."""


class Index(Generic[N, C]):
    """`nodes` in their order; `users` lists a node once for each input that takes the value."""

    def __init__(
        self, nodes: Iterable[N], constants: Mapping[str, C], outputs: Iterable[str], read: Callable[[C], Values]
    ) -> None:
        self.constants = dict(constants)
        self.outputs = set(outputs)
        """Values that the graph gives."""
        self._read = read
        self._maker: dict[str, tuple[int, N]] = {}
        self.users: dict[str, list[N]] = defaultdict(list)
        self.nodes: list[N] = list(nodes)
        for place, node in enumerate(self.nodes):
            self._enter(place, node)

    def _enter(self, place: int, node: N) -> None:
        self._maker.update(dict.fromkeys(node.output, (place, node)))
        for name in node.input:
            self.users[name].append(node)

    def maker(self, name: str, *kinds: str) -> N | None:
        """The node that makes the value; where `kinds` are given, only one of ONNX's own operators of these types."""
        _, maker = self._maker.get(name, (0, None))
        return maker if maker is None or not kinds or (maker.op_type in kinds and not maker.domain) else None

    def places(self) -> dict[str, int]:
        """Value → where the node stands that makes it."""
        return {name: place for name, (place, _) in self._maker.items()}

    def only_user(self, name: str, *kinds: str) -> N | None:
        """The value's one user, where it has exactly one, of one of these types, and is no output of the graph."""
        users = self.users.get(name, [])
        if len(users) != 1 or name in self.outputs or (kinds and users[0].op_type not in kinds):
            return None
        return users[0]

    def constant(self, name: str) -> Values | None:
        """The value of a weight or of a Constant, None for what is computed."""
        stored = self.constants.get(name)
        return None if stored is None else self._read(stored)

    def scalar(self, name: str) -> float | None:
        """The value of a constant with one element."""
        value = self.constant(name)
        return None if value is None or value.size != 1 else float(value.reshape(-1)[0])

    def after(self, name: str) -> set[int]:
        """Where every node stands that the value reaches."""
        return self._followed(name, lambda value: self.users.get(value, ()), lambda node: node.output)

    def before(self, name: str) -> set[int]:
        """Where every node stands on which the value depends."""
        return self._followed(
            name, lambda value: [self._maker[value][1]] if value in self._maker else (), lambda node: node.input
        )

    def between(self, start: str, end: str) -> set[int]:
        """The nodes on a way from one value to the other."""
        return self.after(start) & self.before(end)

    def _followed(self, name: str, step: Callable[[str], Iterable[N]], ends: Callable[[N], Iterable[str]]) -> set[int]:
        reached: set[int] = set()
        waiting = [name]
        while waiting:
            for node in step(waiting.pop()):
                place = self._maker[node.output[0]][0]
                if place not in reached:
                    reached.add(place)
                    waiting += ends(node)
        return reached


def index_of(graph: Graph) -> Index[Node, Tensor]:
    """The index of a graph that stays as it is."""
    return Index(graph.nodes, constants_of(graph), (port.name for port in graph.outputs), Tensor.array)


def constants_of(graph: Graph) -> dict[str, Tensor]:
    """Weights, and what Constant nodes hold, by the value that they are."""
    constants = dict(graph.initializers)
    for node in graph.nodes:
        value = node.attributes.get("value") if node.op_type == "Constant" and not node.domain else None
        if isinstance(value, Tensor):
            constants[node.outputs[0]] = value
    return constants


def live_nodes(nodes: Iterable[N], outputs: Collection[str]) -> list[N]:
    """The nodes on which the outputs depend, in order."""
    needed, kept = set(outputs), []
    for node in reversed(list(nodes)):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(node.input)
            needed.update(inner_names([node]))
    return kept[::-1]


def spliced(graph: Graph, output: str, source: str) -> tuple[Node, ...]:
    """Without the node that makes the graph's `output` of `source`, which then is `output` itself, and what only it needed.

    All of them where there is no such node.
    """
    if not any(node.outputs == (output,) and source in node.inputs for node in graph.nodes):
        return graph.nodes
    others = (node for node in graph.nodes if output not in node.outputs)
    renamed = (replace(node, outputs=(output,), raw=None) if node.outputs == (source,) else node for node in others)
    return tuple(live_nodes(renamed, {port.name for port in graph.outputs}))


def in_order(nodes: Sequence[N]) -> list[N] | None:
    """Each after those that it reads, else in the order given; None where values are made out of themselves."""
    produced = {name for node in nodes for name in node.output}
    readers: dict[str, list[int]] = defaultdict(list)
    waiting: list[int] = []
    for number, node in enumerate(nodes):
        needed = {name for name in node.input if name in produced}
        waiting.append(len(needed))
        for name in needed:
            readers[name].append(number)
    ready = [number for number, count in enumerate(waiting) if not count]
    for number in ready:  # grows on the way
        for name in dict.fromkeys(nodes[number].output):
            for reader in readers[name]:
                waiting[reader] -= 1
                if not waiting[reader]:
                    ready.append(reader)
    return [nodes[number] for number in ready] if len(ready) == len(nodes) else None


def inner_names(nodes: Iterable[N]) -> set[str]:
    """Values that the bodies of If, Loop and Scan take, perhaps from outside."""
    return {name for node in nodes for inner in _inside(node) for name in inner.input}


def _inside(node: Any) -> Iterator[Any]:
    """Every node in the graphs that a node holds."""
    if isinstance(node, Node):
        bodies = [graph.nodes for _, graph in node.subgraphs()]
    else:
        bodies = [attribute.g.node for attribute in node.attribute] + [
            graph.node for attribute in node.attribute for graph in attribute.graphs
        ]
    for body in bodies:
        for inner in body:
            yield inner
            yield from _inside(inner)
