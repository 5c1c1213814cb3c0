"""Tokens as bytes: sherpa-onnx's tokens.txt, a byte-level vocabulary, SentencePiece's pieces, Moonshine's tokenizer.bin."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from wattscribe.errors import ModelError
from wattscribe.models.vocabulary import read_symbols

_SPACE = "▁"
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
_CONTROL = re.compile(r"<(?:unk|s|/s|pad|<ST_\d+>)>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """What each token stands for. Tokens without an entry (control tokens) stand for nothing."""

    pieces: Mapping[int, bytes]

    def text(self, tokens: Iterable[int]) -> str:
        """Bytes that are no UTF-8 (an utterance cut inside a character) become the replacement character."""
        return b"".join(self.pieces.get(token, b"") for token in tokens).decode("utf-8", errors="replace").strip()


@cache
def _alphabet() -> Mapping[str, int]:
    """GPT-2's characters for bytes: printable ones are themselves, the others U+0100 and on (openai/gpt-2 encoder.py)."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + place): byte for place, byte in enumerate(others)}


def bytes_of(text: str) -> bytes:
    """A token of a byte-level vocabulary as the bytes that it stands for."""
    alphabet = _alphabet()
    if not all(char in alphabet for char in text):
        return text.encode("utf-8")
    return bytes(alphabet[char] for char in text)


def write_tokens(path: Path, tokens: Mapping[int, bytes]) -> None:
    """sherpa-onnx's tokens.txt of a Whisper: `BASE64 NUMBER` a line."""
    lines = (f"{base64.b64encode(tokens[number]).decode()} {number}\n" for number in sorted(tokens))
    path.write_text("".join(lines), encoding="utf-8")


def read_tokens(path: Path, *, encoded: bool) -> Texts:
    """tokens.txt; `encoded`: in Base64, as Whisper's. Raises ModelError for a line that is none."""
    symbols = read_symbols(path)
    if not encoded:
        return Texts(pieces={number: piece(text) for number, text in symbols.items()})
    pieces: dict[int, bytes] = {}
    for number, text in symbols.items():
        try:
            pieces[number] = base64.b64decode(text.strip(), validate=True)
        except (binascii.Error, ValueError):
            raise ModelError(
                f"the token of id {number} is not Base64, as those of a Whisper are",
                where=path,
                fix="Export the model again",
            ) from None
    return Texts(pieces=pieces)


def piece(text: str) -> bytes:
    """One of SentencePiece's: a word's beginning is marked, single bytes are spelled out, control tokens stand for nothing."""
    if spelled := _BYTE.fullmatch(text):
        return bytes([int(spelled[1], 16)])
    return b"" if _CONTROL.fullmatch(text) else text.replace(_SPACE, " ").encode("utf-8")


def read_binary(path: Path) -> Texts:
    """Moonshine's tokenizer.bin: of each token a length (one byte, or two from 128 on), then its bytes (bin-tokenizer.cpp)."""
    data, at, number = path.read_bytes(), 0, 0
    pieces: dict[int, bytes] = {}
    while at < len(data):
        length = data[at]
        at += 1
        if length >= 128 and at < len(data):
            length, at = data[at] * 128 + length - 128, at + 1
        if at + length > len(data):
            raise ModelError("ends inside a token", where=path, fix="Copy it again")
        raw = data[at : at + length]
        pieces[number] = (
            b"" if _CONTROL.fullmatch(raw.decode("utf-8", "replace")) else raw.replace(_SPACE.encode(), b" ")
        )
        at, number = at + length, number + 1
    if not pieces:
        raise ModelError("holds no tokens", where=path, fix="Copy it again")
    return Texts(pieces=pieces)
