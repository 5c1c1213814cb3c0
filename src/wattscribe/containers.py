"""What a file's own bytes say: whether it is whole, which libsndfile does not ask of WAV and OGG, and which format it is."""

from __future__ import annotations

import mmap
import stat
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

HEAD_BYTES = 1445
"""What `format_of` must see: the longest frame of MPEG layer III and the header of the next."""

_BEGINNINGS = (
    (0, b"RIFF", "WAV"),
    (0, b"RIFX", "WAV"),
    (0, b"RF64", "WAV"),
    (0, b"fLaC", "FLAC"),
    (0, b"OggS", "OGG"),
    (0, b"FORM", "AIFF"),
    (0, b"ID3\x02", "MP3"),
    (0, b"ID3\x03", "MP3"),
    (0, b"ID3\x04", "MP3"),
    (4, b"ftyp", "M4A"),
    (0, b"caff", "CAF"),
    (0, b".snd", "AU"),
    (0, b"\x1aE\xdf\xa3", "WebM"),
)
"""Four bytes at an offset, and whose they are. Raw samples begin so once in 4 thousand million times."""

_MPEG_SYNC, _MPEG_SAME = 0xFFE00000, 0xFFFE0C00
"""The bits of a frame header that are set, and those in which all frames of a stream agree: version, layer, sampling rate."""
_KBIT_S = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBIT_S_LOW = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_MPEG_RATES_HZ = (44100, 48000, 32000)
"""Layer III of MPEG-1 and of MPEG-2 and 2.5 (ISO 11172-3, ISO 13818-3); these halve the rate once or twice."""

_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_AGAIN = "Copy or record it again"


Bytes = bytes | mmap.mmap


def check_file(path: str | Path) -> None:
    """Raise InputError unless there is a file with bytes in it that is whole (`check_complete`); it is not read into memory."""
    try:
        found = Path(path).stat()
        _check_kind(stat.S_IFMT(found.st_mode), path)
        if found.st_size == 0:
            raise InputError("the file is empty (0 bytes)", where=path, fix=_AGAIN)
        with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            check_complete(data, path)
    except FileNotFoundError:
        raise InputError(
            "there is no such file", where=path, fix="Give a WAV, FLAC, OGG or MP3 file, or - for raw PCM"
        ) from None
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", where=path, fix="Copy it to where it can be") from None


def _check_kind(kind: int, where: object) -> None:
    if kind == stat.S_IFREG:
        return
    fix = "Give the files in it" if kind == stat.S_IFDIR else "Save it as a file first, or pipe raw PCM into -"
    raise InputError(f"is {_KINDS.get(kind, 'something else')}, not an audio file", where=where, fix=fix)


def format_of(head: bytes) -> str | None:
    """The name of the audio format that the first `HEAD_BYTES` bytes are of; None for raw samples, or what else it may be."""
    for offset, magic, name in _BEGINNINGS:
        if head[offset : offset + len(magic)] == magic:
            return name
    length = _mpeg_frame_bytes(head)
    if length is None or _mpeg_frame_bytes(head[length:]) is None:
        return None
    first, second = (int.from_bytes(head[at : at + 4], "big") for at in (0, length))
    return "MP3" if first & _MPEG_SAME == second & _MPEG_SAME else None


def _mpeg_frame_bytes(data: bytes) -> int | None:
    """Length of the frame of MPEG layer III that begins here; None where none does. One alone may as well be two samples."""
    header = int.from_bytes(data[:4], "big")
    version, layer, bits, rate = header >> 19 & 3, header >> 17 & 3, header >> 12 & 15, header >> 10 & 3
    if header & _MPEG_SYNC != _MPEG_SYNC or version == 1 or layer != 1 or bits in (0, 15) or rate == 3:
        return None
    whole = version == 3
    rate_hz = _MPEG_RATES_HZ[rate] >> (0 if whole else 1 if version == 2 else 2)
    return (144 if whole else 72) * 1000 * (_KBIT_S if whole else _KBIT_S_LOW)[bits - 1] // rate_hz + (header >> 9 & 1)


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
                raise InputError(f"truncated: {held} of {size} bytes of samples are there", where=where, fix=_AGAIN)
            return
        position += 8 + size + size % 2
    raise InputError("truncated: the file ends before its samples", where=where, fix=_AGAIN)


def _check_ogg(data: Bytes, where: object) -> None:
    """The last page must be whole and carry the end-of-stream flag (RFC 3533, section 6)."""
    start = data.rfind(b"OggS")
    whole = False
    if start + _OGG_HEADER_BYTES <= len(data):
        segments = data[start + 26]
        table = data[start + _OGG_HEADER_BYTES : start + _OGG_HEADER_BYTES + segments]
        whole = len(table) == segments and start + _OGG_HEADER_BYTES + segments + sum(table) <= len(data)
    if not whole or not data[start + 5] & _OGG_END_OF_STREAM:
        raise InputError("truncated: the stream has no end", where=where, fix=_AGAIN)
