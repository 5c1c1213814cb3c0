"""Whether an audio file is whole: libsndfile shortens a cut WAV or OGG silently, so its own bytes are asked."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from wattscribe.errors import InputError

MP3_SLACK_FRAMES = 1152
"""One MPEG layer III frame: encoders round their promised length to it."""

MAX_FRAMES = 1 << 40
"""libsndfile answers with 2^63 - 1 where a FLAC stream carries no count; it then cannot seek to the end, nor read it."""

_STREAMED_SIZES = (0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFFFFF - 36, 0xFFFFFFFF - 36)
"""Data sizes that recorders write when they cannot seek back (sox, ffmpeg, arecord): length unknown, not truncated."""

_OGG_END_OF_STREAM = 0x04
_OGG_HEADER_BYTES = 27


Bytes = bytes | mmap.mmap


def check_file(path: str | Path) -> None:
    """`check_complete` of a file of any length, without reading it into memory; a missing or empty one passes."""
    path = Path(path)
    if not path.is_file() or path.stat().st_size == 0:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        check_complete(data, path)


def check_complete(data: Bytes, where: object) -> None:
    """Raise InputError when a WAV or OGG file ends before its own header or page says; other formats pass."""
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        _check_wav(data, where)
    elif data[:4] == b"OggS":
        _check_ogg(data, where)


def _check_wav(data: Bytes, where: object) -> None:
    """Walk the RIFF chunks to `data` (Microsoft's Multimedia Programming Interface 1.0) and compare sizes."""
    position = 12
    while position + 8 <= len(data):
        name = data[position : position + 4]
        (size,) = struct.unpack_from("<I", data, position + 4)
        held = len(data) - position - 8
        if name == b"data":
            if size not in _STREAMED_SIZES and size > held:
                raise InputError(f"truncated: {held} of {size} bytes of samples are there", where=where)
            return
        position += 8 + size + size % 2
    raise InputError("truncated: the file ends before its samples", where=where)


def _check_ogg(data: Bytes, where: object) -> None:
    """The last page must be whole and carry the end-of-stream flag (RFC 3533, section 6)."""
    start = data.rfind(b"OggS")
    whole = False
    if start + _OGG_HEADER_BYTES <= len(data):
        segments = data[start + 26]
        table = data[start + _OGG_HEADER_BYTES : start + _OGG_HEADER_BYTES + segments]
        whole = len(table) == segments and start + _OGG_HEADER_BYTES + segments + sum(table) <= len(data)
    if not whole or not data[start + 5] & _OGG_END_OF_STREAM:
        raise InputError("truncated: the stream has no end", where=where)
