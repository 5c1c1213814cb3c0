"""Which files make up an exported transducer, and at which precision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wattscribe.errors import InputError, ModelError
from wattscribe.models import locate
from wattscribe.streaming.onnxfile import read_onnx

COMPONENTS = ("encoder", "decoder", "joiner")
"""File name prefixes of sherpa-onnx's layout; its `decoder` is our predictor."""

_MARKS: Mapping[str, tuple[str, ...]] = {"int8": (".int8.",), "fp16": (".fp16.",), "fp32": ()}
_BLANK_HEAD = "joiner_blank"
"""The small head of a factorised joiner by itself: joiner.onnx holds it too, and is what runs."""
PRECISIONS = ("stored", *_MARKS)
"""`stored`: float files where there are some, else what there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransducerFiles:
    """The chosen files; `notes` says where the precision that was asked for is not there."""

    directory: Path
    precision: str
    encoder: Path
    predictor: Path
    joiner: Path
    tokens: Path
    notes: tuple[str, ...] = ()

    @property
    def components(self) -> tuple[tuple[str, Path], ...]:
        return (("encoder", self.encoder), ("predictor", self.predictor), ("joiner", self.joiner))

    @property
    def model_bytes(self) -> int:
        """Size of the three networks, with external weights beside them."""
        models = [read_onnx(path) for _, path in self.components]
        beside = sum(each.nbytes for model in models for each in model.graph.tensors() if each.external)
        return beside + sum(path.stat().st_size for _, path in self.components)


def find_files(directory: str | Path, precision: str | None = None) -> TransducerFiles:
    """Choose encoder, decoder, joiner and tokens.txt of `directory`.

    Raises InputError for an unknown precision or no directory, ModelError for a missing or ambiguous file.
    """
    precision = precision or "stored"
    if precision not in PRECISIONS:
        raise InputError(
            f"there is no precision {precision!r}", where=directory, fix="One of: " + ", ".join(PRECISIONS)
        )
    folder = locate(directory)
    if not folder.is_dir():
        raise InputError(
            "there is no such directory", where=directory, fix="Give the directory that holds encoder*.onnx"
        )
    notes: list[str] = []
    chosen = {component: _choose(folder, component, precision, notes) for component in COMPONENTS}
    if any(folder.glob(f"{_BLANK_HEAD}*.onnx")):
        notes.append(f"{_BLANK_HEAD}*.onnx is not used: every frame asks the whole joiner")
    tokens = folder / "tokens.txt"
    if not tokens.is_file():
        raise ModelError("tokens.txt is missing", where=folder, fix="Copy it from where the model was exported")
    return TransducerFiles(
        directory=folder,
        precision=precision,
        encoder=chosen["encoder"],
        predictor=chosen["decoder"],
        joiner=chosen["joiner"],
        tokens=tokens,
        notes=tuple(notes),
    )


def _choose(folder: Path, component: str, precision: str, notes: list[str]) -> Path:
    """The component's file of that precision, else of the nearest one with a note."""
    found: dict[str, list[Path]] = {name: [] for name in _MARKS}
    for path in sorted(folder.glob(f"{component}*.onnx")) or sorted(folder.glob(f"{component}*.ort")):
        if path.name.startswith(_BLANK_HEAD):
            continue
        mark = next((name for name, marks in _MARKS.items() if any(m in path.name for m in marks)), "fp32")
        found[mark].append(path)
    order = {"int8": ("int8", "fp32", "fp16"), "fp16": ("fp16", "fp32", "int8")}.get(
        precision, ("fp32", "fp16", "int8")
    )
    for name in order:
        if not found[name]:
            continue
        if len(found[name]) > 1:
            names = ", ".join(path.name for path in found[name])
            raise ModelError(
                f"{len(found[name])} files could be the {component}: {names}",
                where=folder,
                fix="Keep one of them in the directory",
            )
        _check_file(found[name][0])
        if precision not in ("stored", name):
            notes.append(f"there is no {precision} {component}: {found[name][0].name} ({name}) runs")
        return found[name][0]
    fix = "A transducer needs encoder*.onnx, decoder*.onnx, joiner*.onnx"
    if component == "joiner" or any(folder.glob("*cached_decode*.onnx")):  # encoder and decoder alone
        fix += "; Whisper and Moonshine are run by onnx:DIRECTORY"
    raise ModelError(f"{component}*.onnx is missing", where=folder, fix=fix)


def _check_file(path: Path) -> None:
    wrong = (
        "is a link to nothing" if not path.exists() else "is not a file" if not path.is_file()
        else "is empty" if not path.stat().st_size else None
    )  # fmt: skip
    if wrong is not None:
        raise ModelError(wrong, where=path, fix="Copy it again from where the model was exported")
