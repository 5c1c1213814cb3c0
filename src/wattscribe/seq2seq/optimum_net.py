"""Encoder–decoders in optimum's layout, Moonshine's .ort files among them: a cache of its own for every layer.

encoder_model: features → last_hidden_state. The decoder fills its caches in a first run without any (decoder_model, or the merged
one with use_cache_branch false) and runs with them from then on; what it attends to of the audio stays as the first run left it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wattscribe.errors import ModelError
from wattscribe.graph.session import Running, open_session
from wattscribe.seq2seq.network_io import Scores, Tokens

_PAST, _PRESENT = "past_key_values.", "present."
_HIDDEN, _BRANCH = "encoder_hidden_states", "use_cache_branch"
_CACHES = "Export it with caches: decoder and decoder-with-past, or a merged decoder"


class OptimumNet:
    """The networks; `first` is the decoder without caches, None where one decoder is both."""

    vocabulary: int
    candidates: int | None = None
    rewindable = False
    """Decoders with caches are traced with one token, some without the mask that several need."""

    def __init__(self, parts: Mapping[str, Path], *, threads: int, places: int) -> None:
        self.places = places
        self._paths = parts
        self._encoder = _opened(parts["encoder"], threads)
        self.later = _opened(parts["decoder"], threads)
        self.first = _opened(parts["first_decoder"], threads) if "first_decoder" in parts else self.later
        self.pasts = [port.name for port in self.later.get_inputs() if port.name.startswith(_PAST)]
        if not self.pasts:
            raise ModelError("takes no past keys and values: it keeps no caches", where=parts["decoder"], fix=_CACHES)
        if self.first is self.later and _BRANCH not in self.inputs(self.later):
            raise ModelError("has no first run without caches", where=parts["decoder"], fix=_CACHES)
        shape = self.later.get_outputs()[0].shape
        self.vocabulary = shape[-1] if isinstance(shape[-1], int) else 0

    @property
    def raw(self) -> bool:
        """Whether it takes samples and not mel bands."""
        return len(self._encoder.get_inputs()[0].shape) == 2

    @property
    def bands(self) -> int:
        size = self._encoder.get_inputs()[0].shape[1]
        return size if isinstance(size, int) else 80

    @property
    def window_frames(self) -> int | None:
        """Feature frames that the encoder was frozen to; None: any number."""
        size = self._encoder.get_inputs()[0].shape[-1]
        return size if isinstance(size, int) else None

    @property
    def any_length(self) -> bool:
        return self.window_frames is None

    @property
    def one_token(self) -> bool:
        """Whether the decoder with caches was traced for one token at a time."""
        return isinstance(self.later.get_inputs()[0].shape[-1], int)

    @staticmethod
    def inputs(session: Any) -> dict[str, Any]:
        return {port.name: port for port in session.get_inputs()}

    def encode(self, features: NDArray[Any]) -> OptimumEncoded:
        """(rows, bands, frames), or (rows, samples) of one length."""
        given = self._encoder.get_inputs()
        feeds: dict[str, NDArray[Any]] = {given[0].name: features}
        mask = np.ones((len(features), features.shape[-1]), np.int64)
        feeds |= {port.name: mask for port in given[1:] if "mask" in port.name}
        hidden = self._run("encoder", self._encoder, feeds, ["last_hidden_state"])[0]
        return OptimumEncoded(self, hidden, mask)

    def _run(self, part: str, session: Any, feeds: Mapping[str, Any], outputs: list[str] | None) -> list[Any]:
        with Running(self._paths[part], "failed while running"):
            return session.run(outputs, feeds)  # type: ignore[no-any-return]

    def run_decoder(self, session: Any, feeds: Mapping[str, Any]) -> list[Any]:
        part = "decoder" if session is self.later else "first_decoder"
        return self._run(part, session, feeds, None)


def _opened(path: Path, threads: int) -> Any:
    return open_session(path, threads=threads, ready=path if path.suffix == ".ort" else None)


class OptimumEncoded:
    """Rows of one call of the encoder."""

    def __init__(self, net: OptimumNet, hidden: NDArray[np.float32], mask: NDArray[np.int64]) -> None:
        self._net, self._hidden, self._mask = net, hidden, mask
        self.frames = hidden.shape[1]
        self._cache: dict[str, NDArray[np.float32]] = {}

    def restart(self) -> None:
        self._cache = {}

    def keep(self, rows: Sequence[int]) -> None:
        if list(rows) == list(range(len(self._hidden))):
            return
        self._hidden, self._mask = self._hidden[list(rows)], self._mask[list(rows)]
        self._cache = {name: cache[list(rows)] for name, cache in self._cache.items()}

    def step(self, tokens: Tokens) -> Scores:
        net = self._net
        if self._cache and net.one_token and tokens.shape[1] > 1:
            return [self.step(tokens[:, at : at + 1]) for at in range(tokens.shape[1])][-1]
        session = net.later if self._cache else net.first
        known = net.inputs(session)
        feeds: dict[str, Any] = {"input_ids": np.ascontiguousarray(tokens, np.int64)}
        if _HIDDEN in known:
            feeds[_HIDDEN] = self._hidden
        if "encoder_attention_mask" in known:
            feeds["encoder_attention_mask"] = self._mask  # of samples: Moonshine's decoder makes frames of them
        if _BRANCH in known:
            feeds[_BRANCH] = np.array([bool(self._cache)])
        if "cache_position" in known:
            start = next((cache.shape[2] for name, cache in self._cache.items() if ".decoder." in name), 0)
            feeds["cache_position"] = np.arange(start, start + tokens.shape[1], dtype=np.int64)
        feeds |= self._cache or {name: self._nothing(known[name], len(tokens)) for name in net.pasts if name in known}
        outputs = dict(zip((port.name for port in session.get_outputs()), net.run_decoder(session, feeds), strict=True))
        for name in net.pasts:
            cache = outputs.get(name.replace(_PAST, _PRESENT))
            if cache is not None and (".decoder." in name or name not in self._cache):
                self._cache[name] = cache
        logits = outputs["logits"]
        net.vocabulary = logits.shape[-1]
        return np.ascontiguousarray(logits[:, -1])

    def _nothing(self, value: Any, rows: int) -> NDArray[np.float32]:
        """What stands for a cache in the run that fills it and does not read it."""
        return np.zeros([rows if at == 0 else size if isinstance(size, int) else 0 if "decoder" in value.name else 1
                         for at, size in enumerate(value.shape)], np.float32)  # fmt: skip
