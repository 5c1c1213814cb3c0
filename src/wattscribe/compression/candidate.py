"""A model while it is compressed: its networks as bytes, and how they are to be decoded and placed. Here a transducer's three;
an encoder–decoder's two in `seq2seq`.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from wattscribe.compression.answers import Answers
from wattscribe.compression.linears import Linear, linears
from wattscribe.compression.opened import OpenedModel, OpenedTransducer
from wattscribe.compression.speech import Audio
from wattscribe.energy.files import of_directory
from wattscribe.energy.options import Decoding, Unit
from wattscribe.energy.workload import Workload
from wattscribe.errors import InputError, MissingExtraError, ModelError
from wattscribe.graph.model import BITS, Model
from wattscribe.graph.portable import portable, whole
from wattscribe.graph.read import parse_model
from wattscribe.records import Counts
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

    COMPONENTS: ClassVar[tuple[str, ...]] = COMPONENTS
    """What a step may name."""
    FILES: ClassVar[Mapping[str, str]] = FILE_NAMES
    """Networks, and what their files are called."""
    DECODED_HOW: ClassVar[str] = "The original is decoded frame by frame."
    """For a page."""
    MEMORY_RUN: ClassVar[str] = (
        "from wattscribe.streaming import open_transducer\n"
        "import kaldi_native_fbank, onnxruntime\n"
        "def transcribe(folder, frame_by_frame, samples):\n"
        "    stream = open_transducer(folder, frame_by_frame=frame_by_frame).stream()\n"
        "    stream.buffer(samples)\n"
        "    stream.finish()\n"
    )
    """A script that defines how a process of its own transcribes with a directory: its memory is then measured."""

    @cached_property
    def digest(self) -> str:
        """Of everything that can change the text: networks and vocabulary."""
        digest = hashlib.sha256(self.tokens)
        for name in self.FILES:
            digest.update(hashlib.sha256(self.networks[name]).digest())
        return digest.hexdigest()[:20]

    @property
    def size_bytes(self) -> int:
        """Of the networks' files."""
        return sum(len(network) for network in self.networks.values())

    def network_of(self, component: str) -> str:
        """The network that a component is, or is a part of."""
        return component

    def inside(self, component: str, model: Any) -> Callable[[str], bool]:
        """Whether a value or a weight of the network belongs to the component."""
        return lambda name: True

    def model(self, component: str) -> Any:
        """A fresh onnx.ModelProto of the component's network, free to be changed."""
        return proto(self.networks[self.network_of(component)])

    def linears(self, component: str) -> dict[str, Linear]:
        """The component's linear maps, by name."""
        model = self.model(component)
        inside = self.inside(component, model)
        return {name: linear for name, linear in linears(model).items() if inside(name)}

    def open(self, folder: Path, decoding: Decoding, answers: Answers | None = None) -> OpenedModel:
        """What `write` wrote there, ready to transcribe; an encoder that is deaf to the rest may recall its answers. Raises
        ModelError."""
        return OpenedTransducer.of_directory(folder, frame_by_frame=decoding == "frame-by-frame")

    def own_counts(self, counts: Sequence[Counts], audio: Sequence[Audio]) -> tuple[Counts, ...]:
        """The original's counts, utterance by utterance, as they are where this one decodes as it does."""
        return tuple(counts)

    def workload(self, counts: Sequence[Counts]) -> Workload:
        """What a call of each component costs, over utterances of these counts."""
        with self.directory() as folder:
            return of_directory(folder)

    def workload_key(self, counts: Sequence[Counts]) -> str:
        """Equal where `workload` is."""
        return self.digest

    def with_model(self, component: str, model: Any) -> Candidate:
        """This candidate with one network exchanged; declared inner shapes go, since a lever may have made them wrong."""
        del model.graph.value_info[:]
        portable(model)
        return self.with_bytes(component, model.SerializeToString(deterministic=True))

    def with_bytes(self, component: str, data: bytes) -> Candidate:
        return replace(self, networks={**self.networks, self.network_of(component): data})

    def names(self) -> dict[str, str]:
        """File names by component: the mark says what most of the weights are."""
        return {component: f"{name}{_mark(self.networks[component])}.onnx" for component, name in self.FILES.items()}

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
    networks = {name: network_of_file(path) for (_, path), name in zip(files.components, COMPONENTS, strict=True)}
    extras = {
        path.name: path.read_bytes()
        for path in sorted(files.directory.iterdir())
        if path.is_file() and path.suffix.lower() in (".md", ".model") and path.stat().st_size < 4_000_000
    }
    return Candidate(networks=networks, tokens=files.tokens.read_bytes(), extras=extras, placement=None)


def network_of_file(path: Path) -> bytes:
    """The file with its weights inside, stamped as old as it can be: what is written of it is to load where the original does."""
    data = whole(path)
    _refuse_4_bit(parse_model(data, path))
    model = proto(data)
    return model.SerializeToString(deterministic=True) if portable(model) else data


def _refuse_4_bit(model: Model) -> None:
    stored = [BITS[tensor.dtype] for tensor in model.graph.initializers.values() if tensor.dtype != "string"]
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
    for tensor in parse_model(data, Path("model.onnx")).graph.initializers.values():
        if tensor.dtype in _MARKS:
            sizes[_MARKS[tensor.dtype]] += tensor.elements
    return max(sizes, key=lambda mark: sizes[mark]) if any(sizes.values()) else ""
