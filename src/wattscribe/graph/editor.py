"""A graph while it is changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from wattscribe.graph.index import Index, Values, constants_of, inner_names, live_nodes
from wattscribe.graph.model import Attribute, Model, Node, Tensor
from wattscribe.graph.write import tensor, to_bytes


class Editor(Index[Node, Tensor]):
    """A replaced node's successors stand in its place, so that the order stays topological."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self._places: list[list[Node]] = [[node] for node in model.graph.nodes]
        self._added: dict[str, Tensor] = {}
        outputs = (port.name for port in model.graph.outputs)
        super().__init__(model.graph.nodes, constants_of(model.graph), outputs, Tensor.array)

    def current(self) -> list[Node]:
        """The nodes as they stand now."""
        return [node for nodes in self._places for node in nodes]

    def input_shape(self, name: str) -> tuple[int, ...] | None:
        """The shape of an input of the graph, where all of it is fixed."""
        shape = next((port.shape for port in self.model.graph.inputs if port.name == name), None)
        sizes = tuple(size for size in shape or () if isinstance(size, int))
        return sizes if shape is not None and len(sizes) == len(shape) else None

    def add_constant(self, base: str, values: Values) -> str:
        """A new weight; returns its name."""
        name = f"{base}/wattscribe_{len(self._added)}"
        self._added[name] = self.constants[name] = tensor(name, values)
        return name

    def replace(self, old: Node, *new: Node) -> None:
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
            inputs = tuple(new if name == old else name for name in users[0].inputs)
            self.replace(users[0], replace(users[0], inputs=inputs, raw=None))

    def append(self, new: Node) -> None:
        """One more node at the end."""
        self._places.append([new])
        self._enter(len(self._places) - 1, new)

    def to_bytes(self, ports: Sequence[tuple[int, bytes]] = ()) -> bytes:
        """The model without what nothing needs any more; `ports` as `write.to_bytes` takes them."""
        kept = live_nodes(self.current(), self.outputs)
        used = {name for node in kept for name in node.inputs} | inner_names(kept) | self.outputs
        return to_bytes(
            self.model,
            kept,
            [weight for name, weight in self._added.items() if name in used],
            self.model.graph.initializers.keys() - used,
            ports,
        )


def node(op_type: str, inputs: Sequence[str], output: str, domain: str = "", **attributes: Attribute) -> Node:
    """A new operator with one output, named after it."""
    settings: Mapping[str, Attribute] = attributes
    return Node(
        op_type=op_type, inputs=tuple(inputs), outputs=(output,), name=output, domain=domain, attributes=settings
    )
