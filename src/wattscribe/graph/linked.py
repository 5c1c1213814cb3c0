"""Weights behind links, as in the hub's cache, whose files are links into a folder of blobs.

onnxruntime refuses weights outside the model's folder; from the file's path it lets links pass that lead beside the file itself
(1.24.0 and 1.24.1 do not: microsoft/onnxruntime issue 27353). So the weights' real places are written into the graph.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from pathlib import Path

from wattscribe.graph import wire
from wattscribe.graph.model import DTYPES, INITIALIZER, NODE, External, Tensor
from wattscribe.graph.read import parse_model
from wattscribe.graph.write import encoded, model_bytes, named

_TYPE, _NAME, _EXTERNAL, _LOCATION = 2, 8, 13, 14
"""TensorProto."""
_OUTSIDE = 1
"""TensorProto.DataLocation."""
_CODES = {name: code for code, (name, _) in DTYPES.items()}


def real_places(data: bytes, path: Path) -> tuple[bytes, Path]:
    """The graph in `data` and the folder beside which onnxruntime finds its weights; `path` is the file that it was made of."""
    folder = path.parent
    if not _has_links(folder):
        return data, folder
    model = parse_model(data, path)
    outside = {weight.external.path for weight in model.graph.initializers.values() if weight.external is not None}
    real = {place: place.resolve() for place in outside}
    if all(place.is_relative_to(folder.resolve()) for place in real.values()):
        return data, folder
    root = Path(os.path.commonpath([place.parent for place in real.values()]))
    parts = [wire.field(NODE, encoded(node)) for node in model.graph.nodes]
    for number, raw in model.graph.rest:
        weight = model.graph.initializers[named(raw, _NAME)] if number == INITIALIZER else None
        if weight is not None and weight.external is not None:
            place = real[weight.external.path].relative_to(root)
            parts.append(wire.field(number, in_file(weight, str(place), weight.external)))
        else:
            parts.append(wire.field(number, raw))
    return model_bytes(model, parts), root


def graph_apart(path: Path) -> bytes | None:
    """The file's bytes where its weights may lie behind links; None for one that opens as it lies."""
    if path.suffix != ".onnx" or not _has_links(path.parent):
        return None
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return bytes(data) if data.find(b"location") >= 0 else None  # the key of TensorProto.external_data
    except (OSError, ValueError):  # onnxruntime says why it cannot be opened
        return None


def _has_links(folder: Path) -> bool:
    return folder.is_dir() and any(file.is_symlink() for file in folder.iterdir())


def in_file(weight: Tensor, location: str, external: External) -> bytes:
    """A TensorProto whose bytes lie in a file."""
    parts = [wire.field(1, size) for size in weight.shape]
    parts += [wire.field(_TYPE, _CODES[weight.dtype]), wire.field(_NAME, weight.name)]
    parts += [wire.field(_EXTERNAL, entry) for entry in _entries(location, external.offset, external.size)]
    return b"".join((*parts, wire.field(_LOCATION, _OUTSIDE)))


def _entries(location: str, offset: int, length: int) -> Iterator[bytes]:
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        yield wire.field(1, key) + wire.field(2, str(value))
