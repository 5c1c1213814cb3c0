"""A transducer while it is compressed: three networks as bytes, and how they are to be decoded and placed."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from wattscribe.energy.options import Decoding, Unit
from wattscribe.errors import InputError, MissingExtraError, ModelError
from wattscribe.graph.model import BITS, Model
from wattscribe.graph.portable import portable, whole
from wattscribe.graph.read import parse_model
from wattscribe.streaming.files import find_files

COMPONENTS = ("encoder", "predictor", "joiner")
FILE_NAMES: Mapping[str, str] = {"encoder": "encoder", "predictor": "decoder", "joiner": "joiner"}
"""sherpa-onnx calls the predictor `decoder`."""
_MARKS = {"float32": "", "float16": ".fp16", "int8": ".int8", "uint8": ".int8"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidate:
    """One version of the model. Immutable: a lever answers with another one; `digest` names the text that it gives."""

    networks: Mapping[str, bytes]
    tokens: bytes
    decoding: Decoding = "frame-by-frame"
    placement: Unit | None = "component"
    """None: all weights in the far memory, nothing placed."""
    segments: int = 1
    """Segments that one call of the encoder takes."""
    extras: Mapping[str, bytes] = field(default_factory=dict)
    """Other small files of the directory that go along: a licence, a model card."""

    @cached_property
    def digest(self) -> str:
        """Of everything that can change the text: networks and vocabulary."""
        found = hashlib.sha256(self.tokens)
        for name in COMPONENTS:
            found.update(hashlib.sha256(self.networks[name]).digest())
        return found.hexdigest()[:20]

    @property
    def size_bytes(self) -> int:
        """Of the three files."""
        return sum(len(each) for each in self.networks.values())

    def model(self, component: str) -> Any:
        """A fresh onnx.ModelProto of one network, free to be changed."""
        return proto(self.networks[component])

    def with_model(self, component: str, model: Any) -> Candidate:
        """This candidate with one network exchanged; declared inner shapes go, since a lever may have made them wrong."""
        del model.graph.value_info[:]
        portable(model)
        return self.with_bytes(component, model.SerializeToString(deterministic=True))

    def with_bytes(self, component: str, data: bytes) -> Candidate:
        return replace(self, networks={**self.networks, component: data})

    def names(self) -> dict[str, str]:
        """File names by component: the mark says what most of the weights are."""
        return {each: f"{FILE_NAMES[each]}{_mark(self.networks[each])}.onnx" for each in COMPONENTS}

    def write(self, folder: Path) -> None:
        """The directory in sherpa-onnx's layout. Raises InputError where the disk refuses."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for component, name in self.names().items():
                (folder / name).write_bytes(self.networks[component])
            (folder / "tokens.txt").write_bytes(self.tokens)
            for name, data in self.extras.items():
                (folder / name).write_bytes(data)
        except OSError as error:
            raise InputError(
                f"the model cannot be written: {error.strerror}",
                where=folder,
                fix="Free some space or choose another `out`",
            ) from error

    @contextmanager
    def directory(self) -> Iterator[Path]:
        """The same, in a temporary directory that goes away."""
        with tempfile.TemporaryDirectory(prefix="wattscribe-") as name:
            folder = Path(name) / "model"
            self.write(folder)
            yield folder


def proto(data: bytes) -> Any:
    """Bytes → onnx.ModelProto. Raises MissingExtraError without the onnx package."""
    try:
        import onnx
    except ImportError as error:
        raise MissingExtraError("onnx", "compress", needed_for="`wattscribe compress`") from error
    return onnx.load_model_from_string(data)


def read_candidate(directory: str | Path, precision: str | None = None) -> Candidate:
    """The directory as it is: float files where there are some, or those of `precision`; frame by frame, nothing placed.

    Raises InputError and ModelError for a directory that is no transducer or that is 4-bit already.
    """
    files = find_files(directory, precision)
    networks = {name: _network(path) for (_, path), name in zip(files.components, COMPONENTS, strict=True)}
    extras = {
        path.name: path.read_bytes()
        for path in sorted(files.directory.iterdir())
        if path.is_file() and path.suffix.lower() in (".md", ".model") and path.stat().st_size < 4_000_000
    }
    return Candidate(networks=networks, tokens=files.tokens.read_bytes(), extras=extras, placement=None)


def _network(path: Path) -> bytes:
    """The file with its weights inside, stamped as old as it can be: what is written of it is to load where the original does."""
    data = whole(path)
    _refuse_4_bit(parse_model(data, path))
    model = proto(data)
    return model.SerializeToString(deterministic=True) if portable(model) else data


def _refuse_4_bit(model: Model) -> None:
    stored = [BITS[each.dtype] for each in model.graph.initializers.values() if each.dtype != "string"]
    packed = [
        bits
        for node in model.graph.nodes
        if node.op_type in ("MatMulNBits", "GatherBlockQuantized")
        and isinstance(bits := node.attributes.get("bits"), int)
    ]
    if any(bits < 8 for bits in (*stored, *packed)):
        raise ModelError(
            "is 4-bit already: what it lost cannot be measured against itself",
            where=model.path,
            fix="Start from the export in float or int8",
        )


def _mark(data: bytes) -> str:
    """`.int8` where 8 bits or fewer make up most of the weights, else nothing (or `.fp16`)."""
    sizes = dict.fromkeys(_MARKS.values(), 0)
    for each in parse_model(data, Path("model.onnx")).graph.initializers.values():
        if each.dtype in _MARKS:
            sizes[_MARKS[each.dtype]] += each.elements
    return max(sizes, key=lambda mark: sizes[mark]) if any(sizes.values()) else ""
