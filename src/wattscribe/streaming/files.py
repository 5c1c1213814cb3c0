"""Which files make up an exported transducer, at which precision, and the vocabulary beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wattscribe.errors import InputError, ModelError
from wattscribe.models import locate

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
        beside = sum(path.stat().st_size for path in self.directory.glob("*.onnx.data"))
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
    for path in sorted(folder.glob(f"{component}*.onnx")):
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
    raise ModelError(
        f"{component}*.onnx is missing",
        where=folder,
        fix="A transducer needs encoder*.onnx, decoder*.onnx, joiner*.onnx",
    )


def _check_file(path: Path) -> None:
    wrong = (
        "is a link to nothing" if not path.exists() else "is not a file" if not path.is_file()
        else "is empty" if not path.stat().st_size else None
    )  # fmt: skip
    if wrong is not None:
        raise ModelError(wrong, where=path, fix="Copy it again from where the model was exported")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Token ids ↔ their written form; id 0 is the blank."""

    path: Path
    symbols: tuple[str, ...]
    unknown_id: int | None
    pieces: tuple[bytes, ...]
    """What each token adds to the text: `▁` opens a word, `<0xE4>` is one byte of a character."""

    def __len__(self) -> int:
        return len(self.symbols)

    def text(self, ids: Sequence[int]) -> str:
        """The tokens' text, as sherpa-onnx joins it."""
        return b"".join([self.pieces[i] for i in ids]).decode(errors="ignore").strip()

    def piece(self, token: int) -> str:
        """One token's own text, with its leading space."""
        return self.pieces[token].decode(errors="replace")


def read_vocabulary(path: Path) -> Vocabulary:
    """Read `symbol id` lines. Raises ModelError that names the line."""
    symbols: dict[int, str] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"cannot be read ({error})", where=path, fix="Copy it again from the export") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        symbol, _, identity = line.rpartition(" ")
        if not identity.strip().isdecimal():
            raise ModelError(
                f"line {number} is not `symbol id`: {line[:40]!r}", where=path, fix="Copy it from the export"
            )
        if int(identity) in symbols:
            raise ModelError(
                f"line {number} gives id {identity} a second time", where=path, fix="Copy it from the export"
            )
        symbols[int(identity)] = symbol.strip() or " "
    if not symbols or sorted(symbols) != list(range(len(symbols))):
        raise ModelError("its ids are not 0, 1, 2, …", where=path, fix="Copy it from the export")
    ordered = tuple(symbols[i] for i in range(len(symbols)))
    unknown = ordered.index("<unk>") if "<unk>" in ordered else None
    pieces = tuple(_piece(symbol) for symbol in ordered)
    return Vocabulary(path, ordered, unknown, pieces)


def _piece(symbol: str) -> bytes:
    if len(symbol) == 6 and symbol.startswith("<0x") and symbol.endswith(">"):
        try:
            return bytes.fromhex(symbol[3:5])
        except ValueError:
            return symbol.encode()
    return (" " + symbol[1:] if symbol.startswith("▁") else symbol).encode()
