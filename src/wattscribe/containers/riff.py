"""WAV and AIFF: how many bytes of samples the header names, against how many there are."""

from __future__ import annotations

import struct

from wattscribe.containers.mpeg import behind_id3, without_tags
from wattscribe.containers.repair import AGAIN, Bytes, Repair
from wattscribe.errors import InputError

_NEAR_2_31, _NEAR_2_32, _ROUNDED = 1 << 31, 1 << 32, 1 << 16
"""Who cannot seek back writes the largest size there is: sox 0x7ffff000 (MS_UNSPEC in wav.c), arecord 0x80000000
(fmt_rec_table in aplay.c), opusdec 0x7fffffff, ffmpeg 0xffffffff; less 36 or 44 for the header, or rounded down to whole samples.
So all sizes within 64 KiB below these count as: length unknown."""
_AIFF_UNKNOWN = 0x7F000000
"""What sox writes as size of an AIFF in a pipe (aiff.c)."""
_FMT_BYTE_RATE = 8
_MENDABLE = (1 << 32) - (1 << 17)


def readable_wav(data: Bytes, where: object) -> Repair | None:
    """None where the header is right. A data size that a pipe or a dead recorder left behind is replaced by the true one.

    Raises InputError when the file is truncated, or holds over a second behind the samples that is neither chunk nor tag.
    """
    order = ">" if data[:4] == b"RIFX" else "<"
    position, byte_rate, long_size = 12, 32_000, None
    while position + 8 <= len(data):
        name = data[position : position + 4]
        (size,) = struct.unpack_from(f"{order}I", data, position + 4)
        start = position + 8
        if name == b"data":
            size = size if long_size is None or size != _NEAR_2_32 - 1 else long_size
            return _samples(data, start, size, byte_rate, where)
        if name == b"fmt " and start + 12 <= len(data):
            (byte_rate,) = struct.unpack_from(f"{order}I", data, start + _FMT_BYTE_RATE)
        if name == b"ds64" and start + 16 <= len(data):  # EBU Tech 3306: sizes of RF64, 64 bits each
            (long_size,) = struct.unpack_from("<Q", data, start + 8)
        position = start + size + size % 2
    raise InputError("truncated: the file ends before its samples", where=where, fix=AGAIN)


def _samples(data: Bytes, start: int, size: int, byte_rate: int, where: object) -> Repair | None:
    held = len(data) - start
    if _is_unknown(size) or (size == 0 and held > 0 and not _are_chunks(data, start)):
        end = without_tags(data)
        if not 0 < end - start < _MENDABLE:
            return None
        order = ">" if data[:4] == b"RIFX" else "<"
        magic = b"RIFF" if data[:4] == b"RF64" else data[:4]
        head = magic + struct.pack(f"{order}I", end - 8) + data[8 : start - 4] + struct.pack(f"{order}I", end - start)
        return Repair(head=head, skip=start, end=end)
    if size > held:
        raise InputError(f"truncated: {held} of {size} bytes of samples are there", where=where, fix=AGAIN)
    behind = _unexplained(data, start + size)
    if behind > max(byte_rate, 1):
        raise InputError(
            f"the header names {size} bytes of samples, but {behind} more follow: it was not brought up to date",
            where=where,
            fix="Repair the header, for instance: sox --ignore-length IN.wav OUT.wav",
        )
    return None


def _is_unknown(size: int) -> bool:
    return (
        _NEAR_2_31 - _ROUNDED <= size <= _NEAR_2_31 + 64
        or _NEAR_2_32 - _ROUNDED <= size < _NEAR_2_32
        or size == (1 << 64) - 1
    )


def _are_chunks(data: Bytes, at: int) -> bool:
    """Whether nothing but whole chunks lies from here to the end of the file."""
    order = ">" if data[:4] == b"RIFX" else "<"
    while at + 8 <= len(data):
        name = data[at : at + 4]
        (size,) = struct.unpack_from(f"{order}I", data, at + 4)
        if not all(32 <= byte < 127 for byte in name):
            return False
        at += 8 + size + size % 2
    return at in (len(data), len(data) + 1)


def _unexplained(data: Bytes, at: int) -> int:
    """Bytes behind the samples that are no chunks, no tag (ID3, APE) and not zero."""
    if any(_are_chunks(data, place) for place in (at, at + at % 2)):
        return 0
    end = without_tags(data)
    at = min(behind_id3(data, at), end)
    return len(data[at:end].strip(b"\0"))


def check_aiff(data: Bytes, where: object) -> None:
    """Raise InputError when an AIFF file ends before the size of its SSND chunk says (Apple, AIFF 1.3)."""
    position = 12
    while position + 8 <= len(data):
        (size,) = struct.unpack_from(">I", data, position + 4)
        held = len(data) - position - 8
        if data[position : position + 4] == b"SSND":
            if size > held and size < _AIFF_UNKNOWN:
                raise InputError(f"truncated: {held} of {size} bytes of samples are there", where=where, fix=AGAIN)
            return
        position += 8 + size + size % 2
    raise InputError("truncated: the file ends before its samples", where=where, fix=AGAIN)
