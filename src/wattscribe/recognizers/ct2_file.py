"""The variables of a CTranslate2 model.bin: names, shapes and stored types, without reading the weights.

Layout (CTranslate2's model_spec.py, `_serialize`): version, specification name and revision, then per variable its name, rank,
dimensions, type id, byte count and bytes; strings carry a 16-bit length with a closing zero.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import BinaryIO

import numpy as np

from wattscribe import as_file
from wattscribe.errors import ModelError

DTYPES = ("float32", "int8", "int16", "int32", "float16", "bfloat16")
"""Type id → name."""
BYTES = dict(zip(DTYPES, (4, 1, 2, 4, 2, 2), strict=True))

_EXPONENT = {"float32": ("<u4", 0x7F800000), "float16": ("<u2", 0x7C00), "bfloat16": ("<u2", 0x7F80)}
"""All bits of the exponent are set in NaN and in infinities alone."""
_BLOCK_BYTES = 1 << 22

_READABLE_FROM = 4
"""Earlier versions store no type ids (they predate Whisper)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One stored tensor."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    nbytes: int
    offset_bytes: int
    """Where its bytes lie in the file."""

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
        with as_file.open_bytes(path) as file:
            version = _number(file, "<I")
            _text(file)
            if version < _READABLE_FROM:
                raise ModelError(
                    f"is of version {version}, which stores no types", where=path, fix="Convert the model again"
                )
            _number(file, "<I")
            variables = [_variable(file) for _ in range(_number(file, "<I"))]
            if file.tell() > path.stat().st_size:
                raise EOFError("it ends too early")
            return variables
    except (OSError, EOFError, struct.error, UnicodeDecodeError, IndexError) as error:
        raise ModelError(
            f"is not a readable CTranslate2 model ({error})", where=path, fix="Convert the model again"
        ) from error


def require_numbers(path: Path, variables: Iterable[Variable]) -> None:
    """Raises ModelError where a weight is no number: what is transcribed with it would be empty or nonsense."""
    with as_file.open_bytes(path) as file:
        for variable in variables:
            if variable.dtype not in _EXPONENT:
                continue
            word, mask = _EXPONENT[variable.dtype]
            file.seek(variable.offset_bytes)
            left = variable.nbytes
            while left > 0 and (data := file.read(min(left, _BLOCK_BYTES))):
                left -= len(data)
                bits = np.frombuffer(data, dtype=word, count=len(data) // np.dtype(word).itemsize)
                if ((bits & mask) == mask).any():
                    raise ModelError(
                        f"its weights {variable.name} are not numbers (NaN)", where=path, fix="Convert the model again"
                    )


def _variable(file: BinaryIO) -> Variable:
    name = _text(file)
    rank = _number(file, "<B")
    shape = struct.unpack(f"<{rank}I", file.read(4 * rank))
    dtype = DTYPES[_number(file, "<B")]
    nbytes = _number(file, "<I")
    if prod(shape) * BYTES[dtype] != nbytes:
        raise EOFError(f"{name[:40]} of {[*shape][:8]} {dtype} takes {nbytes} bytes")
    offset = file.tell()
    file.seek(nbytes, 1)
    return Variable(name=name, shape=shape, dtype=dtype, nbytes=nbytes, offset_bytes=offset)


def _number(file: BinaryIO, kind: str) -> int:
    return int(struct.unpack(kind, file.read(struct.calcsize(kind)))[0])


def _text(file: BinaryIO) -> str:
    return file.read(_number(file, "<H")).rstrip(b"\0").decode()


def whisper_sizes(path: Path) -> tuple[dict[str, int], str]:
    """The sizes of a Whisper in a model.bin, as `energy.hf.whisper_of` takes them, and the precision in which it is stored.

    Raises ModelError where it holds another model.
    """
    by_name = {variable.name: variable for variable in read_variables(path)}
    try:
        convolution, embedding = by_name["encoder/conv1/weight"], by_name["decoder/embeddings/weight"]
        frames = by_name["encoder/position_encodings/encodings"].shape[0]
        feed_forward = by_name["encoder/layer_0/ffn/linear_0/weight"].shape[0]
        if len(convolution.shape) < 2 or not embedding.shape:
            raise KeyError("encoder/conv1/weight of three dimensions")
    except (KeyError, IndexError) as error:
        raise ModelError(
            f"holds no {error}: it is not a Whisper model", where=path, fix="Whisper models can be counted"
        ) from None
    sizes = {
        "width": convolution.shape[0],
        "mel_bands": convolution.shape[1],
        "frames": frames,
        "encoder_layers": _layers(by_name, "encoder"),
        "decoder_layers": _layers(by_name, "decoder"),
        "feed_forward": feed_forward,
        "vocabulary": embedding.shape[0],
    }
    stored = {"int8": "int8", "float16": "fp16", "bfloat16": "bf16"}.get(embedding.dtype, "fp32")
    return sizes, stored


def _layers(names: Iterable[str], part: str) -> int:
    """CTranslate2 numbers layers from 0."""
    return len(
        {name.split("/")[1] for name in names if name.startswith(f"{part}/layer_") and name.split("/")[1][6:].isdigit()}
    )
