"""Token ids ↔ text: `tokens.txt` as icefall, sherpa-onnx and NeMo's exporters write it.

The rules are those of sherpa-onnx's symbol table: fields parted by ASCII white space, a line of one field is the space's,
`▁` opens a word, `<0xE4>` is one byte of a character. In a byte-level BPE (icefall's `bbpe`) every character of a symbol
stands for one byte; such a table is recognised by its symbols, since nothing else says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from wattscribe.errors import ModelError
from wattscribe.text_files import read_text

BLANK = 0
"""The id of the blank in icefall's layout; NeMo's is the last one."""
WORD_START = "▁"
MOST_IDS = 1 << 20
"""More than any published vocabulary: an id beyond it is a mistyped line, not a table to make room for."""

_RANGES = ((256, 287), (32, 126), (288, 305), (308, 318), (321, 328), (330, 382), (384, 422))
_BYTE_CHARACTERS = "".join(chr(code) for first, last in _RANGES for code in range(first, last + 1))
"""The character of each byte 0 to 255: PRINTABLE_BASE_CHARS of icefall's byte_utils.py."""
_BYTE_OF = {character: bytes([value]) for value, character in enumerate(_BYTE_CHARACTERS)} | {"⁇": b" "}
_HIGHEST_BYTE = max(_BYTE_CHARACTERS.encode())
_FIX = "Copy it from the export"


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Token ids ↔ their written form; id 0 is the blank. An id that the table leaves out is written `<ID>`."""

    path: Path
    symbols: tuple[str, ...]
    unknown_id: int | None
    byte_level: bool
    """Whether each character of a symbol is one byte of the text (icefall's byte-level BPE)."""
    pieces: tuple[bytes, ...]
    """What each token adds to a text that is not byte-level."""

    def __len__(self) -> int:
        return len(self.symbols)

    def text(self, ids: Sequence[int]) -> str:
        """The tokens' text, as sherpa-onnx joins it."""
        if self.byte_level:
            encoded = _byte_level_text("".join(self.symbols[i] for i in ids))
        else:
            encoded = b"".join([self.pieces[i] for i in ids])
        return encoded.decode(errors="ignore").strip()

    def piece(self, token: int) -> str:
        """One token's own text, with its leading space; a part of a character is shown as `�`."""
        symbol = self.symbols[token]
        if not self.byte_level:
            return self.pieces[token].decode(errors="replace")
        opens = " " if symbol.startswith(WORD_START) else ""
        return opens + _byte_level_text(symbol).decode(errors="replace")


def read_vocabulary(path: Path) -> Vocabulary:
    """The vocabulary of a transducer. Raises ModelError that names the line."""
    symbols = read_symbols(path)
    ordered = tuple(symbols.get(i, f"<{i}>") for i in range(max(symbols) + 1))
    unknown = next((i for i, symbol in symbols.items() if symbol == "<unk>"), None)
    pieces = tuple(map(_piece, ordered))
    return Vocabulary(path, ordered, unknown, _is_byte_level(symbols.values()), pieces)


def read_symbols(path: Path) -> dict[int, str]:
    """Read `symbol id` lines, parted by blanks or tabs, in any order. Raises ModelError that names the line."""
    symbols: dict[int, str] = {}
    try:
        text = read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"cannot be read ({error})", where=path, fix="Copy it again from the export") from None
    for number, symbol, identity in _lines(text, path):
        if identity in symbols:
            raise ModelError(f"line {number} gives id {identity} a second time", where=path, fix=_FIX)
        symbols[identity] = symbol
    if not symbols:
        raise ModelError("lists no symbols", where=path, fix=_FIX)
    return symbols


def _lines(text: str, path: Path) -> Iterator[tuple[int, str, int]]:
    """Number, symbol and id of each line. Only line feeds end lines: other separators of Unicode may be symbols."""
    for number, line in enumerate(text.split("\n"), 1):
        fields = re.findall(r"[^ \t\r\f\v]+", line)
        if not fields:
            continue
        identity = fields[-1]
        if len(fields) > 2 or not (identity.isascii() and identity.isdecimal() and len(identity) < 10):
            raise ModelError(f"line {number} is not `symbol id`: {line[:40]!r}", where=path, fix=_FIX)
        if int(identity) >= MOST_IDS:
            raise ModelError(f"line {number} gives the id {identity}, beyond any vocabulary", where=path, fix=_FIX)
        yield number, fields[0] if len(fields) == 2 else " ", int(identity)


def _is_byte_level(symbols: Iterable[str]) -> bool:
    """sherpa-onnx's rule: behind a leading `▁`, the highest byte in UTF-8 is the highest that a byte's character has."""
    highest = max((max(symbol.removeprefix(WORD_START).encode(), default=0) for symbol in symbols), default=0)
    return highest == _HIGHEST_BYTE


def byte_characters(text: str) -> str:
    """The text as a byte-level BPE writes it, a character for each byte."""
    return "".join(_BYTE_CHARACTERS[value] for value in text.encode())


def _byte_level_text(symbols: str) -> bytes:
    """Bytes of joined byte-level symbols; `▁` is a space only behind printable ASCII, as sherpa-onnx writes Chinese."""
    encoded = bytearray()
    for character in symbols:
        if character == WORD_START:
            if encoded and 32 < encoded[-1] < 127:
                encoded += b" "
        else:
            encoded += _BYTE_OF.get(character, b"")
    return bytes(encoded)


def _piece(symbol: str) -> bytes:
    if re.fullmatch("<0x[0-9A-Fa-f]{2}>", symbol):
        return bytes.fromhex(symbol[3:5])
    return (" " + symbol[1:] if symbol.startswith(WORD_START) else symbol).encode()
