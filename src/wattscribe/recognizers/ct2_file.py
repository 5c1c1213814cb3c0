"""The variables of a CTranslate2 model.bin: names, shapes and stored types, without reading the weights.

Layout (CTranslate2's model_spec.py, `_serialize`): version, specification name and revision, then per variable its name, rank,
dimensions, type id, byte count and bytes; strings carry a 16-bit length with a closing zero.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import BinaryIO

from wattscribe.errors import ModelError

DTYPES = ("float32", "int8", "int16", "int32", "float16", "bfloat16")
"""Type id → name."""

_READABLE_FROM = 4
"""Earlier versions store no type ids (they predate Whisper)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One stored tensor."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    nbytes: int

    @property
    def elements(self) -> int:
        return prod(self.shape)

    @property
    def rows(self) -> int:
        return self.shape[0] if self.shape else 1

    @property
    def is_weight(self) -> bool:
        """Neither a scalar option nor the scales of a quantised matrix, which come and go with the type."""
        return len(self.shape) >= 1 and not self.name.endswith("_scale") and self.dtype not in ("int16", "int32")

    @property
    def is_matrix(self) -> bool:
        """What CTranslate2 quantises: the weights of linear layers, embeddings and convolutions."""
        return len(self.shape) >= 2 and self.name.endswith("weight")


def read_variables(path: Path) -> list[Variable]:
    """Raises ModelError when the file is missing, truncated or of a version without types."""
    try:
        with path.open("rb") as file:
            version = _number(file, "<I")
            _text(file)
            if version < _READABLE_FROM:
                raise ModelError(
                    f"is of version {version}, which stores no types", where=path, fix="Convert the model again"
                )
            _number(file, "<I")
            return [_variable(file) for _ in range(_number(file, "<I"))]
    except (OSError, struct.error, UnicodeDecodeError, IndexError) as error:
        raise ModelError(
            f"is no readable CTranslate2 model ({error})", where=path, fix="Convert the model again"
        ) from error


def _variable(file: BinaryIO) -> Variable:
    name = _text(file)
    rank = _number(file, "<B")
    shape = struct.unpack(f"<{rank}I", file.read(4 * rank))
    dtype = DTYPES[_number(file, "<B")]
    nbytes = _number(file, "<I")
    file.seek(nbytes, 1)
    return Variable(name=name, shape=shape, dtype=dtype, nbytes=nbytes)


def _number(file: BinaryIO, kind: str) -> int:
    return int(struct.unpack(kind, file.read(struct.calcsize(kind)))[0])


def _text(file: BinaryIO) -> str:
    return file.read(_number(file, "<H")).rstrip(b"\0").decode()
