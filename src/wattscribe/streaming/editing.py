"""A graph while it is changed: who makes a value, who uses it, what is constant."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from wattscribe.streaming.onnxfile import Attribute, Graph, Node, OnnxFile, Tensor
from wattscribe.streaming.onnxwrite import rewired, tensor, to_bytes

Values = NDArray[np.generic]


class Editor:
    """Nodes by position; a replaced node's successors stand in its place, so that the order stays topological."""

    def __init__(self, model: OnnxFile) -> None:
        self.model = model
        self._places: list[list[Node]] = [[node] for node in model.graph.nodes]
        self._weights = {each.name: each for each in model.graph.initializers}
        self._added: dict[str, Tensor] = {}
        self._renamed: dict[str, str] = {}
        self.outputs = {each.name for each in model.graph.outputs}
        self._index()

    def _index(self) -> None:
        self._maker: dict[str, tuple[int, Node]] = {}
        self.users: dict[str, list[Node]] = defaultdict(list)
        for place, nodes in enumerate(self._places):
            for node in nodes:
                self._enter(place, node)

    def _enter(self, place: int, node: Node) -> None:
        for name in node.outputs:
            self._maker[name] = (place, node)
        for name in node.inputs:
            self.users[name].append(node)

    def nodes(self) -> list[Node]:
        return [node for nodes in self._places for node in nodes]

    def maker(self, name: str, *kinds: str) -> Node | None:
        """The node that makes the value, where it is of one of these types (any, if none is given)."""
        found = self._maker.get(name)
        if found is None or (kinds and found[1].op_type not in kinds) or found[1].domain:
            return None
        return found[1]

    def only_user(self, name: str, *kinds: str) -> Node | None:
        """The value's one user, where it has exactly one, of one of these types, and is no output of the graph."""
        users = self.users.get(name, [])
        if len(users) != 1 or name in self.outputs or (kinds and users[0].op_type not in kinds):
            return None
        return users[0]

    def constant(self, name: str) -> Values | None:
        """The value of a weight or constant, None for what is computed."""
        if name in self._weights:
            return self._weights[name].array()
        if name in self._added:
            return self._added[name].array()
        made = self.maker(name, "Constant")
        value = None if made is None else made.attributes.get("value")
        return value.array() if isinstance(value, Tensor) else None

    def input_shape(self, name: str) -> tuple[int, ...] | None:
        """The shape of an input of the graph, where all of it is fixed."""
        for port in self.model.graph.inputs:
            if port.name == name and all(isinstance(size, int) for size in port.shape):
                return tuple(size for size in port.shape if isinstance(size, int))
        return None

    def scalar(self, name: str) -> float | None:
        """The value of a constant with one element."""
        value = self.constant(name)
        return None if value is None or value.size != 1 else float(value.reshape(-1)[0])

    def add_constant(self, base: str, values: Values) -> str:
        """A new weight; returns its name."""
        name = f"{base}/wattscribe_{len(self._added)}"
        self._added[name] = tensor(name, values)
        return name

    def replace(self, old: Node, new: list[Node]) -> None:
        """Put `new` where `old` stands; the last of them makes `old`'s outputs."""
        place = self._maker[old.outputs[0]][0]
        position = next(i for i, node in enumerate(self._places[place]) if node is old)
        self._places[place][position : position + 1] = new
        for name in old.inputs:
            self.users[name] = [node for node in self.users[name] if node is not old]
        for node in new:
            self._enter(place, node)

    def use_instead(self, old: str, new: str) -> None:
        """Every user of `old` takes `new`."""
        while users := self.users.get(old):  # a node that takes it twice stands there twice
            self.replace_same(users[0], rewired(users[0], {old: new}))

    def replace_same(self, old: Node, new: Node) -> None:
        """Put one node in another's place."""
        self.replace(old, [new])

    def append(self, new: Node) -> None:
        """One more node at the end."""
        self._places.append([new])
        self._enter(len(self._places) - 1, new)

    def to_bytes(self, ports: Sequence[tuple[int, bytes]] = ()) -> bytes:
        """The model without what nothing needs any more; `ports` as `onnxwrite.to_bytes` takes them."""
        kept = live_nodes(self.nodes(), self.outputs)
        used = {name for node in kept for name in node.inputs} | inner_names(kept) | self.outputs
        dropped = frozenset(name for name in self._weights if name not in used)
        added = [each for name, each in self._added.items() if name in used]
        return to_bytes(self.model, kept, added, dropped, ports)


def live_nodes(nodes: list[Node], outputs: set[str]) -> list[Node]:
    """The nodes on which the outputs depend, in order."""
    needed, kept = set(outputs), []
    for node in reversed(nodes):
        if needed.intersection(node.outputs):
            kept.append(node)
            needed.update(node.inputs)
            needed |= inner_names([node])
    return kept[::-1]


def inner_names(nodes: list[Node]) -> set[str]:
    """Values that the bodies of If, Loop and Scan take from outside."""
    return {
        name
        for node in nodes
        for value in node.attributes.values()
        if isinstance(value, Graph)
        for inner in value.walk()
        for name in inner.inputs
    }


def node(op_type: str, inputs: list[str], output: str, domain: str = "", **attributes: Attribute) -> Node:
    """A new operator with one output, named after it."""
    made: Mapping[str, Attribute] = attributes
    return Node(op_type=op_type, inputs=tuple(inputs), outputs=(output,), name=output, domain=domain, attributes=made)
