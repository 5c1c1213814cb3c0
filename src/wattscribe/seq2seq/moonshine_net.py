"""Moonshine in sherpa-onnx's layout: four graphs told by the places of their inputs (sherpa-onnx offline-moonshine-model.cc)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wattscribe.graph.session import Running, open_session
from wattscribe.seq2seq.network_io import Scores, Tokens

_PARTS = ("preprocessor", "encoder", "first_decoder", "decoder")


class MoonshineNet:
    """preprocess, encode, uncached_decode, cached_decode."""

    candidates: int | None = None
    rewindable = False

    def __init__(self, parts: Mapping[str, Path], *, threads: int, places: int) -> None:
        self.places, self._paths = places, parts
        self._nets = {part: open_session(parts[part], threads=threads) for part in _PARTS}
        shape = self._nets["decoder"].get_outputs()[0].shape
        self.vocabulary = shape[-1] if isinstance(shape[-1], int) else 0

    @property
    def any_length(self) -> bool:
        return True

    def encode(self, features: NDArray[Any]) -> MoonshineEncoded:
        """(rows, samples) of one length."""
        (preprocessed,) = self.run("preprocessor", [features])[:1]
        (frames,) = self.run("encoder", [preprocessed, np.array([preprocessed.shape[1]])])[:1]
        return MoonshineEncoded(self, frames)

    def run(self, part: str, values: Sequence[NDArray[Any]]) -> list[Any]:
        session = self._nets[part]
        inputs = session.get_inputs()
        feeds = {port.name: value.astype(_DTYPES[port.type]) for port, value in zip(inputs, values, strict=False)}
        with Running(self._paths[part], "failed while running"):
            return session.run(None, feeds)  # type: ignore[no-any-return]


_DTYPES: Mapping[str, Any] = {"tensor(int32)": np.int32, "tensor(int64)": np.int64, "tensor(float)": np.float32}


class MoonshineEncoded:
    """Rows of one call of the encoder."""

    def __init__(self, net: MoonshineNet, encoded: NDArray[np.float32]) -> None:
        self._net, self._encoded, self.frames = net, encoded, encoded.shape[1]
        self._caches: list[NDArray[np.float32]] = []
        self._fed = 0

    def restart(self) -> None:
        self._caches, self._fed = [], 0

    def keep(self, rows: Sequence[int]) -> None:
        if list(rows) != list(range(len(self._encoded))):
            self._encoded = self._encoded[list(rows)]
            self._caches = [cache[list(rows)] for cache in self._caches]

    def step(self, tokens: Tokens) -> Scores:
        for at in range(tokens.shape[1]):
            self._fed += 1
            part = "decoder" if self._caches else "first_decoder"
            given: list[NDArray[Any]] = [tokens[:, at : at + 1], self._encoded, np.array([self._fed]), *self._caches]
            logits, *self._caches = self._net.run(part, given)
        return np.ascontiguousarray(logits[:, -1], np.float32)
