"""Streams one behind the other in one file, of which libsndfile reads the first and does not mention the others.

Ogg calls them chained (RFC 3533, section 4), as recorders of radio write them, one per song; FLAC files are so when they were
joined with `cat`. They may differ in rate and channels, so they are refused rather than read as one.
"""

from __future__ import annotations

from wattscribe.containers.repair import AGAIN, Bytes
from wattscribe.errors import InputError

_OGG_HEADER_BYTES = 27
_OGG_BEGINNING, _OGG_END = 0x02, 0x04

_FLAC_METADATA_LAST = 0x80
_FLAC_BEGINNINGS = (b"fLaC\x00\x00\x00\x22", b"fLaC\x80\x00\x00\x22")
"""The marker and the header of STREAMINFO, which comes first and has 34 bytes (RFC 9639, sections 8.1 and 8.2). By chance
these eight bytes stand in compressed sound once in 10^19 places."""


def check_ogg(data: Bytes, where: object) -> None:
    """Raises InputError unless the last page is whole and ends its stream, and for a stream that begins behind another's end."""
    start = data.rfind(b"OggS")
    length = _page_bytes(data, start)
    if length is None or start + length > len(data) or not data[start + 5] & _OGG_END:
        raise InputError("truncated: the stream has no end", where=where, fix=AGAIN)
    at, ended = 0, False
    while (length := _page_bytes(data, at)) is not None:
        flags = data[at + 5]
        if ended and flags & _OGG_BEGINNING:
            raise _second(at, where)
        ended = ended or bool(flags & _OGG_END)
        at += length


def check_flac(data: Bytes, where: object) -> None:
    """Raises InputError for a second FLAC file behind the first; what metadata hold, a picture for instance, is none."""
    at, last = 4, False
    while not last and at + 4 <= len(data):
        last = bool(data[at] & _FLAC_METADATA_LAST)
        at += 4 + int.from_bytes(data[at + 1 : at + 4], "big")
    for beginning in _FLAC_BEGINNINGS:
        if (second := data.find(beginning, at)) >= 0:
            raise _second(second, where)


def _page_bytes(data: Bytes, at: int) -> int | None:
    """Length of the page that begins here; None where none does, or its header is not whole (RFC 3533, section 6)."""
    if data[at : at + 4] != b"OggS" or at + _OGG_HEADER_BYTES > len(data):
        return None
    segments = data[at + 26]
    table = data[at + _OGG_HEADER_BYTES : at + _OGG_HEADER_BYTES + segments]
    return _OGG_HEADER_BYTES + segments + sum(table) if len(table) == segments else None


def _second(at: int, where: object) -> InputError:
    return InputError(
        f"holds a second stream from byte {at} on, of which nothing would be read",
        where=where,
        fix="Split it there, or join its streams into one: ffmpeg -i FILE JOINED.flac",
    )
