"""A Whisper in sherpa-onnx's layout, its caches kept in place: buffers are bound once, and a step moves the new rows alone."""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Callable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wattscribe.errors import ModelError
from wattscribe.graph.session import Running, open_session
from wattscribe.models.directory import CROSS
from wattscribe.seq2seq.decoder_graph import CACHES, UPDATED
from wattscribe.seq2seq.network_io import Scores, Tokens
from wattscribe.seq2seq.turned import Opened, open_decoder
from wattscribe.seq2seq.two_step import candidates_of
from wattscribe.text_files import whole as whole_number

Cross = tuple[NDArray[np.float32], ...]
"""Keys and values, (layers, rows, frames, width) each."""
Recall = Callable[[str, Callable[[], Cross]], Cross]
"""Features, by a digest, and the run of the encoder that answers → arrays of one's own, from that run or an earlier one."""


class WhisperNet:
    """encoder.onnx and decoder.onnx."""

    recall: Recall | None = None

    def __init__(self, encoder: Path, decoder: Path, *, threads: int) -> None:
        self._paths = encoder, decoder
        self._encoder = open_session(encoder, threads=threads, planned=False)  # tiny.en: 25 MB less
        self.metadata: Mapping[str, str] = dict(self._encoder.get_modelmeta().custom_metadata_map)
        if not self.metadata.get("model_type", "").startswith("whisper"):
            kind = self.metadata.get("model_type") or "unknown"
            raise ModelError(
                f"is an encoder of type {kind!r}, not a Whisper's",
                where=encoder,
                fix=f"A transducer needs joiner*.onnx too. {_EXPORT}",
            )
        _require(encoder, self._encoder, {"mel"}, set(CROSS))
        self._decoder: Opened = open_decoder(decoder, threads=threads, heads=self.number("n_text_head"))
        _require(decoder, self._decoder.session, {"tokens", "offset", *CACHES}, {"logits", *UPDATED})
        self.candidates = candidates_of(self._decoder.session.get_modelmeta().custom_metadata_map)
        self.rewindable = (
            self._decoder.turned
        )  # sherpa-onnx's own export masks as many places as tokens: behind others, one
        self.places, self.vocabulary = self.number("n_text_ctx"), self.number("n_vocab")

    def number(self, key: str) -> int:
        """A whole number of the metadata. Raises ModelError."""
        value = whole_number(self.metadata.get(key, ""))
        if value is None:
            raise ModelError(f"its metadata say no {key}", where=self._paths[0], fix=_EXPORT)
        return value

    @property
    def window_frames(self) -> int:
        """Feature frames of a whole window; the longest that the encoder takes."""
        return 2 * self.number("n_audio_ctx")

    @property
    def any_length(self) -> bool:
        """Whether the encoder takes shorter windows too."""
        return not isinstance(self._encoder.get_inputs()[0].shape[2], int)

    def encode(self, features: NDArray[Any]) -> WhisperEncoded:
        """(rows, bands, frames) → keys and values of every layer."""
        frames = -(-features.shape[2] // 2)
        if self.recall is None:
            return WhisperEncoded(self, *self._cross(features), frames=frames)
        key = hashlib.sha256(features.tobytes()).hexdigest()
        return WhisperEncoded(self, *self.recall(key, lambda: self._cross(features)), frames=frames)

    def _cross(self, features: NDArray[Any]) -> Cross:
        binding = self._encoder.io_binding()
        binding.bind_cpu_input("mel", features)
        for name in CROSS:
            binding.bind_output(name, "cpu")
        with Running(self._paths[0], "failed while running"):
            self._encoder.run_with_iobinding(binding)
        keys, values = map(_where_it_lies, binding.get_outputs())
        return keys, values

    @property
    def decoder(self) -> Opened:
        return self._decoder

    @property
    def decoder_path(self) -> Path:
        return self._paths[1]


def _where_it_lies(value: Any) -> NDArray[np.float32]:
    """An output of onnxruntime without a copy: 30 s of keys and values are 18 MB of tiny.en's peak, and 180 of large's."""
    shape = value.shape()
    buffer: Any = (ctypes.c_float * prod(shape)).from_address(value.data_ptr())
    buffer.owner = value  # which frees the memory
    return np.frombuffer(buffer, np.float32).reshape(shape)


_EXPORT = "Export a Whisper with `wattscribe export hf:MODEL`, or sherpa-onnx's scripts/whisper/export-onnx.py"


def _require(path: Path, session: Any, inputs: set[str], outputs: set[str]) -> None:
    given = {port.name for port in session.get_inputs()}, {port.name for port in session.get_outputs()}
    missing = sorted(inputs - given[0]) + sorted(outputs - given[1])
    if missing:
        raise ModelError(f"has no {missing[0]}: it keeps no caches", where=path, fix=_EXPORT)


class WhisperEncoded:
    """Rows of one call of the encoder, with buffers of their own."""

    def __init__(self, net: WhisperNet, keys: NDArray[np.float32], values: NDArray[np.float32], *, frames: int) -> None:
        """`frames` went through the encoder; the decoder may look at silence behind them that did not."""
        self._net, self.frames, self.rows = net, frames, keys.shape[1]
        layers, width = keys.shape[0], net.number("n_text_state")
        shape = (layers, self.rows, net.places, width)
        self._cross = net.decoder.handed(keys, values)
        twice = 1 if net.decoder.in_place else 2
        self._caches: list[list[NDArray[np.float32]]] = [
            [np.zeros(shape, np.float32) for _ in CACHES] for _ in range(twice)
        ]
        self._offset = 0
        self._bound_at = 0

    def restart(self) -> None:
        self._offset = 0

    def back(self, count: int) -> None:
        self._offset -= count  # what stands behind is not looked at, and written over

    def keep(self, rows: Sequence[int]) -> None:
        chosen, filled = list(rows), self._offset
        if chosen == list(range(self.rows)):
            return
        other = len(chosen) != self.rows
        if other:
            self._cross = self._net.decoder.kept(self._cross, chosen)
        self.rows = len(chosen)
        for which, pair in enumerate(self._caches):
            for place, cache in enumerate(pair):
                new = np.zeros((cache.shape[0], self.rows, *cache.shape[2:]), np.float32) if other else cache
                if which == self._bound_at:
                    new[:, :, :filled] = cache[:, chosen, :filled]
                pair[place] = new

    def step(self, tokens: Tokens) -> Scores:
        return self.steps(tokens)[:, -1]

    def steps(self, tokens: Tokens) -> Scores:
        session = self._net.decoder.session
        count = tokens.shape[1]
        logits = np.empty((self.rows, count, self._net.vocabulary), np.float32)
        binding = session.io_binding()
        for name, array in self._cross.items():
            binding.bind_cpu_input(name, array)
        binding.bind_cpu_input("tokens", np.ascontiguousarray(tokens, np.int64))
        binding.bind_cpu_input("offset", np.array([self._offset], np.int64))
        source = self._caches[self._bound_at]
        self._bound_at = (self._bound_at + 1) % len(self._caches)
        target = self._caches[self._bound_at]
        for name, buffer in zip(CACHES, source, strict=True):
            binding.bind_cpu_input(name, buffer)
        for name, buffer in zip((*UPDATED, "logits"), (*target, logits), strict=True):
            binding.bind_output(name, "cpu", 0, np.float32, buffer.shape, buffer.ctypes.data)
        with Running(self._net.decoder_path, "failed while running"):
            session.run_with_iobinding(binding)
        self._offset += count
        return logits
