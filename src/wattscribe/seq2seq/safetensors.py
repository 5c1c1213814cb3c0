"""Weights of a *.safetensors checkpoint, mapped from disk: a tensor is read when it is asked for, and nothing is executed.

The format (huggingface/safetensors, README "Format"): eight bytes with the length of a JSON header, the header (name → dtype,
shape, offsets), then the bytes. Large checkpoints are several files with model.safetensors.index.json beside them.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wattscribe.errors import ModelError
from wattscribe.text_files import parse_json, read_bytes

INDEX = "model.safetensors.index.json"
_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
_MOST_HEADER_BYTES = 100_000_000
"""Of the format's own reader."""
_AGAIN = "Copy or download the checkpoint again"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where one tensor lies."""

    data: memoryview
    dtype: str
    shape: tuple[int, ...]


class Weights:
    """The tensors of a checkpoint by name."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._places: dict[str, _Place] = {}
        for path in _files(directory):
            self._places.update(_read(path))

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def shape(self, name: str) -> tuple[int, ...]:
        """Raises ModelError where the checkpoint has no such tensor."""
        return self._place(name).shape

    def array(self, name: str) -> NDArray[np.float32]:
        """The tensor as float32, whatever it is stored as. Raises ModelError where it is missing or holds no numbers."""
        place = self._place(name)
        stored = np.frombuffer(place.data, _DTYPES[place.dtype]).reshape(place.shape)
        upper = place.dtype == "BF16"  # the upper half of a float32
        values = (stored.astype(np.uint32) << 16).view(np.float32) if upper else np.asarray(stored, np.float32)
        if not np.isfinite(values).all():
            raise ModelError(f"its weights {name} are not numbers (NaN)", where=self.directory, fix=_AGAIN)
        return values

    def _place(self, name: str) -> _Place:
        place = self._places.get(name)
        if place is None:
            raise ModelError(f"its weights lack {name}", where=self.directory, fix="Use a Whisper checkpoint, whole")
        return place


def _files(directory: Path) -> list[Path]:
    index = directory / INDEX
    if index.is_file():
        try:
            named = parse_json(read_bytes(index))["weight_map"].values()
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise ModelError(f"is no index of weights ({error})", where=index, fix=_AGAIN) from None
        files = [directory / Path(str(name)).name for name in sorted(set(named))]
    else:
        files = sorted(directory.glob("*.safetensors"))
    missing = [path.name for path in files if not path.is_file()]
    if missing or not files:
        what = f"its weights {missing[0]} are missing" if missing else "holds no *.safetensors weights"
        raise ModelError(what, where=directory, fix="Give a directory written by save_pretrained, or a hub model")
    return files


def _read(path: Path) -> dict[str, _Place]:
    with path.open("rb") as file:
        try:
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        except ValueError:  # empty
            raise ModelError("is empty", where=path, fix=_AGAIN) from None
    try:
        return dict(_places(data))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"is no safetensors file, or is cut off ({error})", where=path, fix=_AGAIN) from None


def _places(data: memoryview) -> Mapping[str, _Place]:
    length = int.from_bytes(data[:8], "little")
    if not 2 <= length <= min(_MOST_HEADER_BYTES, len(data) - 8):
        raise ValueError("no header")
    header: dict[str, Any] = parse_json(bytes(data[8 : 8 + length]))
    body, places = data[8 + length :], {}
    for name, about in header.items():
        if name == "__metadata__" or about["dtype"] not in _DTYPES:
            continue
        start, end = about["data_offsets"]
        shape = tuple(int(size) for size in about["shape"])
        if (
            not 0 <= start <= end <= len(body)
            or end - start != prod(shape) * np.dtype(_DTYPES[about["dtype"]]).itemsize
        ):
            raise ValueError(f"{name} lies outside of it")
        places[name] = _Place(data=body[start:end], dtype=about["dtype"], shape=shape)
    return places
