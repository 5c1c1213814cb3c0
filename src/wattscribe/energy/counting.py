"""From one ONNX file to a Component: which constants each executed node reads, and what it computes and moves.

Rules, each a line of the energy model:
- a constant is read once per execution of each node that uses it (loop iterations count, each on its own);
- what depends on constants alone is folded, as every runtime does: its readers read the constants behind it;
- a lookup (Gather) reads the rows that it delivers; a slice of a constant reads the slice;
- the recurrent matrix of an LSTM, GRU or RNN is read once per time step, its input matrix once per invocation;
- the dtype of an operation is that of its integer kernel, or of both operands where both come from DequantizeLinear;
  weights in blocks (MatMulNBits) multiply in int8 at accuracy level 4, else in float32, whatever the weights' own bits.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import prod

from wattscribe.energy import binding, operators
from wattscribe.energy.execute import Executed, execute
from wattscribe.energy.liveness import peak_bytes
from wattscribe.energy.workload import Component, WeightTensor
from wattscribe.errors import ModelError
from wattscribe.graph.model import BITS, SPARSE, Graph, Model, Node, Tensor
from wattscribe.graph.names import by_name

Shape = tuple[int, ...]
INT8_LEVEL = 4
"""accuracy_level of MatMulNBits at which onnxruntime multiplies in int8 (ContribOperators.md); 1 or not set: float32."""
_RECURRENT_WEIGHT = 2  # the position of R among the inputs of LSTM, GRU and RNN


@dataclass(slots=True)
class _Reads:
    call_bytes: float = 0.0
    row_bytes: float = 0.0


@dataclass(slots=True)
class _Tally:
    """What the walk over the executed nodes adds up."""

    reads: dict[str, _Reads] = field(default_factory=lambda: defaultdict(_Reads))
    macs: Counter[str] = field(default_factory=Counter)
    fused: float = 0.0
    unfused: float = 0.0
    operators: int = 0


def component(model: Model, name: str, *, dims: Mapping[str, int], rows: int = 1) -> Component:
    """`counted` without the shapes of the outputs."""
    return counted(model, name, dims=dims, rows=rows)[0]


def counted(
    model: Model, name: str, *, dims: Mapping[str, int], rows: int = 1, inputs: Mapping[str, float] | None = None
) -> tuple[Component, dict[str, Shape]]:
    """Count one invocation of `model` with `rows` rows, everything per row divided by them; and its outputs' shapes.

    `dims` binds the free input dimensions, `inputs` fills inputs with a value. Raises ModelError when the graph cannot be
    executed.
    """
    if any(number == SPARSE for graph in model.graph.graphs() for number, _ in graph.rest):
        raise ModelError("sparse initializers are not supported", where=model.path, fix="Export with dense weights")
    executed = execute(model, dims, inputs)
    run = _Run(model=model, dims=dims, rows=rows, constants=_Constants(model.graph), nodes=by_name(model))
    return _component(run, name, executed), _outputs(model, executed, run.nodes)


def parted(
    model: Model, names: tuple[str, str], last: Container[str], *, dims: Mapping[str, int], inputs: Mapping[str, float]
) -> tuple[tuple[Component, Component], dict[str, Shape]]:
    """As `counted`, in two: all but the nodes that make the values `last`, and those nodes with the weights that they read."""
    executed = execute(model, dims, inputs)
    run = _Run(model=model, dims=dims, rows=1, constants=_Constants(model.graph), nodes=by_name(model))

    def is_last(event: Executed) -> bool:
        node = run.nodes.get(event.node)
        return node is not None and any(name in last for name in node.outputs)

    parted_off = _component(run, names[1], [event for event in executed if is_last(event)], read_only=True)
    theirs = {weight.name for weight in parted_off.weights}
    rest = _component(run, names[0], [event for event in executed if not is_last(event)])
    rest = replace(rest, weights=tuple(weight for weight in rest.weights if weight.name not in theirs))
    return (rest, replace(parted_off, state_bytes=0)), _outputs(model, executed, run.nodes)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """A graph that was executed, and how."""

    model: Model
    dims: Mapping[str, int]
    rows: int
    constants: _Constants
    nodes: Mapping[str, Node]


def _component(run: _Run, name: str, executed: list[Executed], *, read_only: bool = False) -> Component:
    """What these executions read, compute and move; `read_only`: with the weights alone that they read."""
    model, rows, constants, nodes = run.model, run.rows, run.constants, run.nodes
    tally = _Tally()
    for event in executed:
        _count(event, nodes.get(event.node), constants, tally)
    for tensor in () if read_only else _unseen(model):
        tally.reads[tensor.name].call_bytes += tensor.nbytes
    weights = tuple(
        WeightTensor(
            name=tensor.name,
            dtype=tensor.dtype,
            shape=tensor.shape,
            size_bytes=tensor.nbytes,
            call_bytes=tally.reads[tensor.name].call_bytes,
            row_bytes=tally.reads[tensor.name].row_bytes / rows,
        )
        for tensor in constants.tensors.values()
        if not read_only or tensor.name in tally.reads
    )
    return Component(
        name=name,
        weights=weights,
        macs={dtype: count / rows for dtype, count in tally.macs.items()},
        activation_bytes=tally.fused / rows,
        activation_bytes_unfused=tally.unfused / rows,
        state_bytes=_state_bytes(model, run.dims) // rows,
        peak_activation_bytes=peak_bytes(model.graph, executed, nodes, constants.sources) // rows,
        operators=tally.operators,
        source=f"{model.path.name}: executed once, {tally.operators} operators",
    )


def _outputs(model: Model, executed: list[Executed], nodes: Mapping[str, Node]) -> dict[str, Shape]:
    wanted = {value.name for value in model.graph.outputs}
    shapes: dict[str, Shape] = {}
    for event in executed:
        node = nodes.get(event.node)
        names = [] if node is None else [name for name in node.outputs if name]
        shapes.update((name, shape) for name, (_, shape) in zip(names, event.outputs, strict=False) if name in wanted)
    return shapes


class _Constants:
    """Every constant of a graph, and behind each value that depends on constants alone, the constants it comes from."""

    def __init__(self, graph: Graph) -> None:
        self.tensors: dict[str, Tensor] = {}
        self.sources: dict[str, frozenset[str]] = {}
        self.made_by: dict[str, str] = {}
        """Value → operator type of the node that makes it."""
        self._scan(graph)

    def _scan(self, graph: Graph) -> None:
        for tensor in graph.initializers.values():
            self._add(tensor.name, tensor)
        for node in graph.nodes:
            for output in node.outputs:
                self.made_by[output] = node.op_type
            if node.op_type == "Constant":
                self._constant(node)
            elif node.op_type not in operators.CONTROL and self._is_constant(node):
                behind = frozenset().union(*(self.sources[value] for value in node.inputs if value))
                self.sources.update(dict.fromkeys(node.outputs, behind))
            for _, inner in node.subgraphs():
                self._scan(inner)

    def _is_constant(self, node: Node) -> bool:
        given = [value for value in node.inputs if value]
        return bool(given) and all(value in self.sources for value in given)

    def _constant(self, node: Node) -> None:
        tensor = node.attributes.get("value")
        if isinstance(tensor, Tensor):
            self._add(node.outputs[0], tensor)
        else:  # a scalar or a short list in the attribute itself: part of the code, not of the weights
            self.sources[node.outputs[0]] = frozenset()

    def _add(self, value: str, tensor: Tensor) -> None:
        if not tensor.name or tensor.name != value:
            tensor = Tensor(name=value, dtype=tensor.dtype, shape=tensor.shape)
        if tensor.dtype != "string":
            self.tensors[value] = tensor
        self.sources[value] = frozenset((value,)) if tensor.dtype != "string" else frozenset()

    def behind(self, value: str) -> list[Tensor]:
        return [self.tensors[name] for name in sorted(self.sources.get(value, ()))]


def _count(event: Executed, node: Node | None, constants: _Constants, tally: _Tally) -> None:
    """Add one execution. A node without a counterpart in the file (inlined from a function) has no constants."""
    if event.op_type in operators.CONTROL:
        return
    attributes = {} if node is None else node.attributes
    given = [value for value in node.inputs if value] if node is not None else []
    if node is not None and given and all(value in constants.sources for value in given):
        return  # folded
    tally.operators += 1
    inputs = _aligned(event, node)
    outputs = [shape for _, shape in event.outputs]
    work = operators.macs(event.op_type, attributes, [item and item[1] for item in inputs], outputs)
    if work:
        tally.macs[_operation_dtype(event, node, constants)] += work
    moved = sum(map(_nbytes, event.outputs))
    names = node.inputs if node is not None and len(node.inputs) == len(inputs) else ("",) * len(inputs)
    for index, (value, item) in enumerate(zip(names, inputs, strict=True)):
        if value in constants.sources:
            _read(value, index, event, inputs, constants, tally)
        elif item is not None:
            moved += _nbytes(item)
    if event.op_type not in operators.VIEWS:
        tally.unfused += moved
        if operators.is_matrix(event.op_type) or event.op_type in operators.REDUCTIONS:
            tally.fused += moved


def _aligned(event: Executed, node: Node | None) -> list[tuple[str, Shape] | None]:
    """The event's inputs in the operator's own positions; absent optional inputs are None."""
    present = list(event.inputs)
    if node is None:
        return list(present)
    given = [value for value in node.inputs if value]
    if len(given) != len(present):
        return list(present)
    stream = iter(present)
    return [next(stream) if value else None for value in node.inputs]


def _read(
    value: str,
    index: int,
    event: Executed,
    inputs: list[tuple[str, Shape] | None],
    constants: _Constants,
    tally: _Tally,
) -> None:
    """Charge the constants behind the input `index` of one executed node."""
    lookup = event.op_type in operators.ROW_LOOKUPS and index == 0
    part, steps = 1.0, 1
    if lookup or (event.op_type == "Slice" and index == 0):
        table = prod(inputs[0][1]) if inputs[0] is not None else 0
        delivered = sum(prod(shape) for _, shape in event.outputs[:1])
        part = min(1.0, delivered / table) if table else 1.0
    elif event.op_type in operators.RECURRENT_GATES and index == _RECURRENT_WEIGHT and inputs[0] is not None:
        steps = inputs[0][1][0]
    for tensor in constants.behind(value):
        if lookup:
            tally.reads[tensor.name].row_bytes += tensor.nbytes * part
        else:
            tally.reads[tensor.name].call_bytes += tensor.nbytes * part * steps


def _operation_dtype(event: Executed, node: Node | None, constants: _Constants) -> str:
    """The dtype in which the operator multiplies."""
    if event.op_type in operators.INTEGER_OPS:
        return "int8"
    if event.op_type == "MatMulNBits" and node is not None:
        return "int8" if node.attributes.get("accuracy_level") == INT8_LEVEL else "float32"
    if node is not None:
        operands = [value for value in node.inputs[:2] if value]
        if len(operands) == 2 and all(constants.made_by.get(value) == "DequantizeLinear" for value in operands):
            return "int8"
        for value in operands:  # a CPU lifts half precision to float32; the model asks for what its weights are
            for tensor in constants.behind(value):
                if tensor.dtype in ("float16", "bfloat16"):
                    return tensor.dtype
    return event.inputs[0][0] if event.inputs else "float32"


def _unseen(model: Model) -> Iterator[Tensor]:
    """Constants handed to model-local functions, whose inlined nodes cannot be distinguished: read once each."""
    constants = _Constants(model.graph)
    for node in model.graph.all_nodes():
        if node.op_type in model.functions:
            for value in node.inputs:
                yield from constants.behind(value)


def _state_bytes(model: Model, dims: Mapping[str, int]) -> int:
    """Bytes of what a later invocation takes over from this one."""
    return sum(_nbytes((value.dtype or "", shape)) for value, shape in binding.states(model, dims))


def _nbytes(item: tuple[str, Shape]) -> int:
    return prod(item[1]) * BITS.get(item[0], 32) // 8
