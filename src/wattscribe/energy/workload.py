"""What one invocation of each component costs in bytes and operations: counted from the model, never guessed.

A component reads its weights once per invocation, whatever the number of rows (frames, hypotheses, streams) in it; its
arithmetic, activations and embedding rows scale with the rows. Keeping the two apart is what makes batching visible.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from wattscribe import records
from wattscribe.errors import InputError, ModelError

Kind = Literal["transducer", "encoder-decoder", "ctc", "module"]
MOST = 1e18
"""Of any figure: a million million times a large model's."""


DRAFT = "draft_"
"""Begins the names of the components of a model that offers drafts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightTensor:
    """One constant of the model, as stored."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    size_bytes: int
    call_bytes: float
    """Bytes read per invocation, whatever its rows: size × uses (a recurrent matrix: × time steps)."""
    row_bytes: float = 0.0
    """Bytes read per row: the embedding rows that a lookup fetches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One network of a recognizer. `macs`, `activation_*` and `state_bytes` are per row of an invocation."""

    name: str
    weights: tuple[WeightTensor, ...]
    macs: Mapping[str, float]
    """Multiply-accumulates by the dtype of the operation: float32, float16, int8."""
    activation_bytes: float
    """Bytes read and written by matrix operations, convolutions, softmax and norms; what lies between is fused."""
    activation_bytes_unfused: float
    """The same with every operator of the graph run by itself: the upper bound."""
    state_bytes: int = 0
    """State held between invocations; each one reads and writes it once."""
    peak_activation_bytes: int = 0
    """The most that is alive at one time within an invocation."""
    operators: int = 0
    source: str = ""
    """How it was counted: the file, or the preset."""

    @property
    def size_bytes(self) -> int:
        return sum(weight.size_bytes for weight in self.weights)

    @property
    def call_bytes(self) -> float:
        """Weight bytes read per invocation, rows aside."""
        return sum(weight.call_bytes for weight in self.weights)

    @property
    def row_bytes(self) -> float:
        """Weight bytes read per row."""
        return sum(weight.row_bytes for weight in self.weights)

    @property
    def total_macs(self) -> float:
        return sum(self.macs.values())

    @property
    def parameters(self) -> int:
        """Elements of the weight tensors, constants of the graph included."""
        from math import prod

        return sum(prod(weight.shape) for weight in self.weights)

    @property
    def bytes_by_dtype(self) -> dict[str, int]:
        size_by_dtype: Counter[str] = Counter()
        for weight in self.weights:
            size_by_dtype[weight.dtype] += weight.size_bytes
        return dict(size_by_dtype)

    def scaled(self, factor: float) -> Component:
        """The same component with `factor` × the weights and arithmetic: what pruning evenly would leave."""
        if not factor > 0:
            raise InputError(f"a component cannot be scaled by {factor}", fix="Use a factor above 0")
        weights = tuple(
            dataclasses.replace(
                weight,
                size_bytes=round(weight.size_bytes * factor),
                call_bytes=weight.call_bytes * factor,
                row_bytes=weight.row_bytes * factor,
            )
            for weight in self.weights
        )
        macs = {dtype: count * factor for dtype, count in self.macs.items()}
        return dataclasses.replace(self, weights=weights, macs=macs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """All components of a recognizer and what its rates need to know."""

    name: str
    kind: Kind
    components: tuple[Component, ...]
    segment_s: float | None = None
    """Audio that one encoder invocation consumes."""
    windows: bool = False
    """Every utterance is heard in windows of `segment_s`, silence included, as by a Whisper."""
    frames_per_segment: float | None = None
    """Encoder output frames of one invocation."""
    vocabulary: int | None = None
    symbols_per_frame: Literal["one", "many"] = "one"
    """Greedy decoding: at most one token per frame (sherpa-onnx), or any number (classical RNN-T)."""
    notes: tuple[str, ...] = field(default=())

    def component(self, name: str) -> Component:
        for component in self.components:
            if component.name == name:
                return component
        known = ", ".join(component.name for component in self.components)
        raise InputError(f"there is no component {name!r}", where=self.name, fix=f"It has: {known}")

    def replace(self, component: Component) -> Workload:
        """This workload with the component of the same name exchanged."""
        self.component(component.name)
        return dataclasses.replace(
            self, components=tuple(component if own.name == component.name else own for own in self.components)
        )

    def with_draft(self, draft: Workload) -> Workload:
        """This workload and that of the model whose drafts it verifies, the latter's components marked."""
        theirs = (dataclasses.replace(part, name=f"{DRAFT}{part.name}") for part in draft.components)
        notes = (f"drafts come from {draft.name}", *(f"{draft.name}: {note}" for note in draft.notes))
        return dataclasses.replace(self, components=(*self.components, *theirs), notes=(*self.notes, *notes))

    @property
    def size_bytes(self) -> int:
        return sum(component.size_bytes for component in self.components)

    def to_json(self) -> dict[str, Any]:
        """Plain data for the journal and the `--json` output."""
        plain: dict[str, Any] = records.to_json(self)
        return plain

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Workload:
        return records.from_json(cls, value, strict=True)


def as_workload(value: Workload | Mapping[str, Any]) -> Workload:
    """A Workload from itself or from its JSON. Raises ModelError for anything else."""
    if isinstance(value, Workload):
        return value
    try:
        workload = Workload.from_json(value)
    except (TypeError, AttributeError, ValueError, RecursionError) as error:
        raise ModelError(f"this is not a workload: {error}", fix="Write it with Workload.to_json()") from error
    wrong = next((name for name, amount in _amounts(workload) if not 0 <= amount < MOST), None)
    if wrong is not None or workload.segment_s == 0:
        raise ModelError(
            f"this is not a workload: {wrong or 'segment_s'} is not an amount", fix="Write it with Workload.to_json()"
        )
    return workload


def _amounts(workload: Workload) -> Iterator[tuple[str, float]]:
    """Every figure of a workload, with its name."""
    for name in ("segment_s", "frames_per_segment", "vocabulary"):
        if (stated := getattr(workload, name)) is not None:
            yield name, stated
    for part in workload.components:
        for field_ in dataclasses.fields(part):
            if isinstance(value := getattr(part, field_.name), (int, float)):
                yield f"{part.name}.{field_.name}", value
        yield from ((f"{part.name}.macs", value) for value in part.macs.values())
        for weight in part.weights:
            amounts = (weight.size_bytes, weight.call_bytes, weight.row_bytes, *weight.shape)
            yield from ((f"{part.name}.{weight.name}", value) for value in amounts)
