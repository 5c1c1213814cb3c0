"""The predictor: from the tokens so far to a vector for the joiner; stateless (the last few tokens) or recurrent (LSTM)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wattscribe.errors import ModelError
from wattscribe.graph import session
from wattscribe.models.vocabulary import BLANK
from wattscribe.streaming import layout, nemo
from wattscribe.streaming.layout import Array, Port
from wattscribe.streaming.nemo import Nemo

Vector = NDArray[np.float32]

_TOLERANCE = 1e-4
"""As in joiner.py."""


class Predictor:
    """A loaded predictor (sherpa-onnx calls it the decoder).

    Stateless: input y [N, context] → [N, D]. Recurrent: y [N, 1] and states, each fed by an output; `facts` where it is NeMo's.
    """

    def __init__(self, net: Any, path: Path, *, one_scale: bool = False, facts: Nemo | None = None) -> None:
        metadata: Mapping[str, str] = net.get_modelmeta().custom_metadata_map
        inputs, outputs = layout.ports(net.get_inputs(), path), layout.ports(net.get_outputs(), path)
        tokens = next((p for p in inputs if len(p.shape) == 2 and p.dtype in ("int64", "int32")), None)
        if tokens is None:
            raise ModelError(
                "no input takes tokens [batch, context]", where=path, fix="Export it in sherpa-onnx's layout"
            )
        self.net, self.path = net, path
        self._tokens = tokens
        self._lengths: Port | None = None
        """An input for the number of tokens, in NeMo's layout."""
        if facts is None:
            self.blank, self.context = BLANK, self._context(metadata)
            self.states = layout.match_states(
                [p for p in inputs if p is not tokens],
                [p for p in outputs[1:] if p.dtype == "float32"],
                batch=tokens.shape[0],
                metadata=metadata,
                path=path,
            )
        else:
            self.blank, self.context = facts.blank, 1
            self._lengths, self.states = nemo.predictor_states(inputs, outputs, facts, path)
        self.vocabulary = layout.number(metadata, "vocab_size", path)
        self._names = [outputs[0].name, *(spec.output for spec in self.states)]
        self._run = session.run_first
        probe, _ = self._ask([self.blank_context()], [self.initial_states()])
        self._run = session.run
        self.dim = int(probe.shape[1])
        self._together = True
        self._together = one_scale or self._leaves_rows_alone()

    def _context(self, metadata: Mapping[str, str]) -> int:
        stated, fixed = layout.number(metadata, "context_size", self.path), self._tokens.shape[1]
        if stated is None and isinstance(fixed, str):
            return layout.required(metadata, "context_size", self.path)
        if stated is not None and isinstance(fixed, int) and stated != fixed:
            raise ModelError(
                f"metadata says context_size={stated}, but its input {self._tokens.name!r} takes {fixed} tokens",
                where=self.path,
                fix="Export the model again: its metadata belong to another one",
            )
        return stated if stated is not None else int(fixed)

    def blank_context(self) -> tuple[int, ...]:
        """What a stream starts from: as sherpa-onnx, −1 (no token) before one blank."""
        return (-1,) * (self.context - 1) + (self.blank,)

    def initial_states(self) -> tuple[Array, ...]:
        return tuple(spec.zeros() for spec in self.states)

    def run(
        self, contexts: Sequence[tuple[int, ...]], states: Sequence[tuple[Array, ...]]
    ) -> tuple[Vector, list[tuple[Array, ...]]]:
        """Several hypotheses' last tokens and states → [N, D] and the next states of each, in `calls(N)` calls."""
        if self._together or len(contexts) == 1:
            return self._ask(contexts, states)
        parts = [self._ask([context], [state]) for context, state in zip(contexts, states, strict=True)]
        return np.concatenate([vector for vector, _ in parts]), [after for _, (after,) in parts]

    def calls(self, rows: int) -> int:
        """Invocations that `run` takes for so many rows: one, unless rows of one call change one another."""
        return 1 if self._together else rows

    def _leaves_rows_alone(self) -> bool:
        """Whether two hypotheses in one call get what each gets alone."""
        contexts = [self.blank_context(), (BLANK,) * self.context]  # any other token where the blank is not 0
        states = [self.initial_states()] * 2
        apart = np.concatenate([self._ask([context], [self.initial_states()])[0] for context in contexts])
        try:
            return bool(np.allclose(self._ask(contexts, states)[0], apart, atol=_TOLERANCE))
        except ModelError:  # an export for one hypothesis at a time
            return False

    def _ask(
        self, contexts: Sequence[tuple[int, ...]], states: Sequence[tuple[Array, ...]]
    ) -> tuple[Vector, list[tuple[Array, ...]]]:
        feeds: dict[str, Array] = {self._tokens.name: np.array(contexts, dtype=self._tokens.dtype)}
        if self._lengths is not None:
            feeds[self._lengths.name] = np.full(len(contexts), self.context, self._lengths.dtype)
        for index, spec in enumerate(self.states):
            axis = spec.batch_axis or 0
            parts = [state[index] for state in states]
            feeds[spec.name] = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=axis)
        outputs = self._run(self.net, self.path, self._names, feeds)
        vectors: Vector = outputs[0].reshape(len(contexts), -1)
        session.require_numbers(vectors, self.path)
        if not self.states:
            return vectors, [() for _ in contexts]
        apart = [
            np.split(value, len(contexts), axis=spec.batch_axis or 0)
            for spec, value in zip(self.states, outputs[1:], strict=True)
        ]
        return vectors, [tuple(rows[i] for rows in apart) for i in range(len(contexts))]
