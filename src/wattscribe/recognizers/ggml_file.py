"""The tensors of a Whisper as whisper.cpp's ggml file: names, shapes and stored types, without reading the weights.

Layout (whisper.cpp, models/convert-pt-to-ggml.py and whisper_model_load): magic, eleven sizes, mel filters, vocabulary, then
per tensor its rank, the length of its name, its type, its dimensions from the innermost on, name and bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import BinaryIO

from wattscribe import as_file
from wattscribe.errors import InputError, ModelError
from wattscribe.recognizers.ct2_file import Variable

MAGIC = b"lmgg"
"""`ggml` as a little-endian number."""
TYPES: Mapping[int, tuple[str, int, int]] = {
    0: ("float32", 1, 4),
    1: ("float16", 1, 2),
    2: ("q4_0", 32, 18),
    3: ("q4_1", 32, 20),
    6: ("q5_0", 32, 22),
    7: ("q5_1", 32, 24),
    8: ("q8_0", 32, 34),
    10: ("q2_K", 256, 84),
    11: ("q3_K", 256, 110),
    12: ("q4_K", 256, 144),
    13: ("q5_K", 256, 176),
    14: ("q6_K", 256, 210),
}
"""By ggml's number (ggml.h, enum ggml_type): name, elements per block and bytes per block (ggml-common.h)."""
BITS = {"float32": 32, "float16": 16, **{name: int(name[1]) for name, _, _ in TYPES.values() if name.startswith("q")}}
"""Per element, without the blocks' scales."""
SIZES = (
    "vocabulary", "audio_positions", "width", "audio_heads", "encoder_layers", "text_positions", "text_width", "text_heads",
    "decoder_layers", "mel_bands", "stored",
)  # fmt: skip
_MULTILINGUAL_FROM = 51865
"""Tokens; English-only models have one fewer (whisper.cpp, whisper_vocab.is_multilingual)."""
_LONGEST_NAME = 256
_LARGEST = 1 << 20
"""Of a size in the header, and of a word."""
_FIX = "Download it again, or convert it with whisper.cpp's models/convert-h5-to-ggml.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class GgmlFile:
    """What the file says it is."""

    sizes: Mapping[str, int]
    tensors: Sequence[Variable]

    @property
    def multilingual(self) -> bool:
        return self.sizes["vocabulary"] >= _MULTILINGUAL_FROM


def require_file(model: str) -> None:
    """Raises InputError where the model's name is no file."""
    path = Path(model).expanduser()
    if not path.is_file():
        what = "is a directory" if path.is_dir() else "there is no such file"
        fix = "Name a ggml file, as ggml-tiny.en-q5_1.bin of huggingface.co/ggerganov/whisper.cpp"
        raise InputError(what, where=f"whispercpp:{model}", fix=fix)


def is_ggml(path: Path) -> bool:
    """Whether the file begins as whisper.cpp's models do."""
    try:
        with as_file.open_bytes(path) as file:
            return file.read(4) == MAGIC
    except OSError:
        return False


def read_ggml(path: Path) -> GgmlFile:
    """Raises ModelError for another file, a truncated one and sizes that its tensors do not have: the library would crash."""
    try:
        with as_file.open_bytes(path) as file:
            found = _read(file, path.stat().st_size)
    except (OSError, EOFError, struct.error, UnicodeDecodeError) as error:
        raise ModelError(f"is no readable ggml file of a Whisper ({error})", where=path, fix=_FIX) from error
    _require_sizes(found, path)
    return found


def _read(file: BinaryIO, size_bytes: int) -> GgmlFile:
    if file.read(4) != MAGIC:
        raise EOFError("it does not begin with ggml's magic number; GGUF is another format")
    sizes = dict(zip(SIZES, _numbers(file, len(SIZES)), strict=True))
    _skip(file, 4 * prod(_numbers(file, 2)))
    for _ in range(_numbers(file, 1)[0]):
        _skip(file, _numbers(file, 1)[0])
    tensors = []
    while file.tell() < size_bytes:
        tensors.append(_tensor(file))
    if not tensors or file.tell() != size_bytes:
        raise EOFError("it ends too early")
    return GgmlFile(sizes=sizes, tensors=tensors)


def _tensor(file: BinaryIO) -> Variable:
    rank, length, kind = _numbers(file, 3)
    if not 1 <= rank <= 4 or length > _LONGEST_NAME or kind not in TYPES:
        raise EOFError(f"a tensor of rank {rank} and type {kind}, behind {file.tell()} bytes")
    shape = _numbers(file, rank)[::-1]
    name = file.read(length).decode()
    dtype, elements, block_bytes = TYPES[kind]
    if shape[-1] % elements:
        raise EOFError(f"{name}: rows of {shape[-1]} elements are no whole blocks of {dtype}")
    nbytes, offset = prod(shape) // elements * block_bytes, file.tell()
    file.seek(nbytes, 1)
    return Variable(name=name, shape=shape, dtype=dtype, nbytes=nbytes, offset_bytes=offset)


def _require_sizes(found: GgmlFile, path: Path) -> None:
    """The sizes that memory is taken by are those of the tensors."""
    sizes, shapes = found.sizes, {tensor.name: tensor.shape for tensor in found.tensors}
    wanted = {
        "decoder.token_embedding.weight": (sizes["vocabulary"], sizes["text_width"]),
        "decoder.positional_embedding": (sizes["text_positions"], sizes["text_width"]),
        "encoder.positional_embedding": (sizes["audio_positions"], sizes["width"]),
    }
    wrong = [name for name, shape in wanted.items() if shapes.get(name) != shape]
    layers = {part: _layers(shapes, part) for part in ("encoder", "decoder")}
    wrong += [f"{part}.blocks" for part, count in layers.items() if count != sizes[f"{part}_layers"]]
    if wrong or not 0 < sizes["audio_heads"] <= sizes["width"] or not 0 < sizes["text_heads"] <= sizes["text_width"]:
        raise ModelError(
            f"the sizes in its header are not those of {', '.join(wrong) or 'its heads'}", where=path, fix=_FIX
        )


def _layers(names: Mapping[str, object], part: str) -> int:
    return len({name.split(".")[2] for name in names if name.startswith(f"{part}.blocks.")})


def _numbers(file: BinaryIO, count: int) -> tuple[int, ...]:
    """Of 32 bits each, none negative or beyond what a model has."""
    numbers: tuple[int, ...] = struct.unpack(f"<{count}i", file.read(4 * count))
    if any(not 0 <= number <= _LARGEST for number in numbers):
        raise EOFError(f"the size {max(numbers, key=abs)} behind {file.tell()} bytes")
    return numbers


def _skip(file: BinaryIO, count: int) -> None:
    file.seek(count, 1)
