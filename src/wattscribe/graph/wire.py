"""The protobuf wire format, as much as ONNX files use: so that a base install reads them without the `onnx` package.

Field numbers and wire types: protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

Value = int | memoryview
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


class WireError(ValueError):
    """The bytes are not a protobuf message."""


def fields(message: memoryview) -> Iterator[tuple[int, int, Value]]:
    """(field number, wire type, value) in file order; values of fixed width and of length are views, nothing is copied."""
    position, end = 0, len(message)
    while position < end:
        key, position = _varint(message, position)
        number, wire = key >> 3, key & 7
        value: Value
        if wire == VARINT:
            value, position = _varint(message, position)
        else:
            if wire == BYTES:
                size, position = _varint(message, position)
            elif wire in (FIXED32, FIXED64):
                size = 4 if wire == FIXED32 else 8
            else:
                raise WireError(f"wire type {wire} at byte {position}")
            if position + size > end or number == 0:
                raise WireError(f"field {number} at byte {position} runs past the end")
            value, position = message[position : position + size], position + size
        yield number, wire, value


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    result = shift = 0
    try:
        while True:
            byte = message[position]
            position += 1
            result |= (byte & 0x7F) << shift
            if byte < 0x80:
                return result, position
            shift += 7
            if shift > 63:
                raise WireError(f"a number of more than 64 bits at byte {position}")
    except IndexError:
        raise WireError("the file ends inside a number") from None


def signed(value: Value) -> int:
    """A varint as the signed 64-bit integer that int64 fields carry."""
    number = integer(value)
    return number - (1 << 64) if number >= 1 << 63 else number


def integer(value: Value) -> int:
    """A varint field's value."""
    if isinstance(value, int):
        return value
    raise WireError("bytes where a number is expected")


def view(value: Value) -> memoryview:
    """A length-delimited field's value."""
    if isinstance(value, int):
        raise WireError("a number where bytes are expected")
    return value


def text(value: Value) -> str:
    """A string field's value."""
    try:
        return str(view(value), "utf-8")
    except UnicodeDecodeError:
        raise WireError("a string that is not UTF-8") from None


def integers(value: Value) -> list[int]:
    """One element, or all elements, of a repeated int64 field, packed or not."""
    if isinstance(value, int):
        return [signed(value)]
    position, numbers = 0, []
    while position < len(value):
        number, position = _varint(value, position)
        numbers.append(signed(number))
    return numbers


def floats(value: Value) -> list[float]:
    """One element, or all elements, of a repeated float field, packed or not."""
    data = view(value)
    if not data or len(data) % 4:
        raise WireError(f"{len(data)} bytes where numbers of 4 are expected")
    return [number for (number,) in struct.iter_unpack("<f", data)]


def varint(number: int) -> bytes:
    """A number as a varint; negative ones as their 64-bit two's complement."""
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append((number & 0x7F) | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number: int, value: int | bytes | str | memoryview) -> bytes:
    """One field: an int as a varint, anything else length-delimited."""
    if isinstance(value, int):
        return varint(number << 3 | VARINT) + varint(value)
    data = value.encode() if isinstance(value, str) else bytes(value)
    return varint(number << 3 | BYTES) + varint(len(data)) + data


def float_field(number: int, value: float) -> bytes:
    """One field of type float."""
    return varint(number << 3 | FIXED32) + struct.pack("<f", value)
