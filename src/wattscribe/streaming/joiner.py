"""The joiner: an encoder frame and a predictor vector → a score for each token; any number of rows in one call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wattscribe.errors import ModelError
from wattscribe.graph import session
from wattscribe.streaming import layout
from wattscribe.streaming.layout import Array

Scores = NDArray[np.float32]

_TOLERANCE = 1e-4
"""Rows alone and together differ by rounding (other kernels); quantised together, by whole steps."""


class Joiner:
    """A loaded joiner: inputs encoder_out [N, D] and decoder_out [N, D], output logit [N, V].

    `one_scale`: rows of a call are to change one another through the scale that they share.
    """

    def __init__(self, net: Any, path: Path, *, one_scale: bool = False) -> None:
        inputs, outputs = layout.ports(net.get_inputs(), path), layout.ports(net.get_outputs(), path)
        if len(inputs) != 2 or any(p.dtype != "float32" for p in inputs):
            names = ", ".join(p.name for p in inputs)
            raise ModelError(
                f"takes {names}, not encoder_out and decoder_out", where=path, fix="Export it in sherpa-onnx's layout"
            )
        self.net, self.path = net, path
        by_name = {p.name: p for p in inputs}
        self._encoder = by_name.get("encoder_out", inputs[0])
        self._predictor = by_name.get("decoder_out", inputs[1])
        self._rank = len(self._encoder.shape)
        self._names = [outputs[0].name]
        self._together, self._one_scale = True, one_scale
        self._run = session.run_first
        metadata = net.get_modelmeta().custom_metadata_map
        self.dim = layout.number(metadata, "joiner_dim", path)

    def check_widths(self, encoder: tuple[str, int], predictor: tuple[str, int]) -> int:
        """Try one row; returns the vocabulary's size. Raises ModelError that names both files where widths differ."""
        for port, (file, width) in ((self._encoder, encoder), (self._predictor, predictor)):
            own = port.shape[1] if self._rank == 3 else port.shape[-1]
            takes = own if isinstance(own, int) else self.dim
            if self.dim not in (None, takes):
                raise ModelError(
                    f"metadata says joiner_dim={self.dim}, but its input {port.name!r} takes {takes} values",
                    where=self.path,
                    fix="Export it again: its metadata belong to another one",
                )
            if takes is not None and takes != width:
                raise ModelError(
                    f"its input {port.name!r} takes {takes} values, but {file} gives {width}",
                    where=self.path,
                    fix="Take encoder, decoder and joiner from one export",
                )
        frames, vectors = (
            np.sin(np.arange(3 * n, dtype=np.float32) ** 1.5).reshape(3, n) for n in (encoder[1], predictor[1])
        )
        apart = np.concatenate([self._ask(frames[i : i + 1], vectors[i : i + 1]) for i in range(3)])
        self._run = session.run
        session.require_numbers(apart, self.path, infinite=True)
        self._together = self._one_scale or self._leaves_rows_alone(frames, vectors, apart)
        return int(apart.shape[1])

    def _leaves_rows_alone(self, frames: Array, vectors: Array, apart: Scores) -> bool:
        """Whether rows in one call get what each gets alone."""
        try:
            return bool(np.allclose(self._ask(frames, vectors), apart, atol=_TOLERANCE))
        except ModelError:  # an export for one row at a time
            return False

    def run_one(self, frames: Array, vector: Array) -> Scores:
        """[N, D] frames with the one predictor vector [D] → [N, V] scores, writable."""
        return self.run(frames, np.repeat(vector[None], len(frames), axis=0))

    def run(self, frames: Array, vectors: Array) -> Scores:
        """[N, D] frames and [N, D] predictor vectors → [N, V] scores, writable."""
        if self._together or len(frames) == 1:
            return self._ask(frames, vectors)
        return np.concatenate([self._ask(frames[i : i + 1], vectors[i : i + 1]) for i in range(len(frames))])

    def calls(self, rows: int) -> int:
        """Invocations that `run` takes for so many rows: one, unless rows of one call change one another's scores."""
        return 1 if self._together else rows

    def _ask(self, frames: Array, vectors: Array) -> Scores:
        if self._rank == 4:  # exports that keep [N, T, U, D]
            frames, vectors = frames[:, None, None, :], vectors[:, None, None, :]
        elif self._rank == 3:  # NeMo's [N, D, T] and [N, D, U]
            frames, vectors = frames[:, :, None], vectors[:, :, None]
        feeds = {self._encoder.name: frames, self._predictor.name: vectors}
        (scores,) = self._run(self.net, self.path, self._names, feeds)
        return scores.reshape(len(frames), -1)  # type: ignore[no-any-return]
