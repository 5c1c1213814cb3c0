"""How long an MPEG audio file (MP3) is: every frame is walked, for the decoder only knows what a Xing header says, or guesses.

Without that header libmpg123 divides the file's size by the length of the first frames; a variable bit rate is then cut in
silence or promised too long. Counting the frames costs about 0.2 s per hour of audio and is exact.
"""

from __future__ import annotations

from dataclasses import dataclass

from wattscribe.containers.repair import AGAIN, Bytes, Repair
from wattscribe.errors import InputError

_SYNC, _SAME = 0xFFE00000, 0xFFFE0C00
"""The bits of a frame header that are set, and those in which all frames of a stream agree: version, layer, sampling rate."""
_KBIT_S = {  # by (MPEG-1, layer): index 1 to 14
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES_HZ = (44100, 48000, 32000)
"""MPEG-1; MPEG-2 and 2.5 halve them once or twice (ISO 11172-3, ISO 13818-3)."""

_ID3V2_BYTES, _ID3V1_BYTES, _APE_BYTES = 10, 128, 32
_INFO = (b"Xing", b"Info")
_INFO_FRAMES = 0x01
_VBRI_AT = 36
"""Offset of Fraunhofer's header in its frame: behind 32 bytes of side information, whatever the channels."""
_NO_CRC, _PADDING, _BIT_RATE, _CHANNELS_MONO = 1 << 16, 1 << 9, 0xF << 12, 3
_LENGTH_BITS = [bits << 12 | padding << 9 for bits in range(16) for padding in (0, 1)]
RESYNC_BYTES = 1 << 16
"""How far junk between frames is searched for the next one. Our own limit; libmpg123 gives up after 1 KiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames:
    """What the walk found."""

    first: int
    """Offset of the first frame that holds audio."""
    end: int
    """Offset behind the last one: tags lie there."""
    count: int
    promised: int | None
    """Frames that a Xing or Info header names; None: there is no such header."""
    whole: bool
    """False: the last frame is cut off."""
    layer: int
    samples: int
    """Per frame."""


def frame_bytes(data: Bytes, at: int = 0) -> int | None:
    """Length of the frame of MPEG audio that begins at `at`; None where none does. One alone may as well be two samples."""
    header = int.from_bytes(data[at : at + 4], "big")
    version, layer, bits, rate = header >> 19 & 3, 4 - (header >> 17 & 3), header >> 12 & 15, header >> 10 & 3
    if header & _SYNC != _SYNC or version == 1 or layer == 4 or bits in (0, 15) or rate == 3:
        return None
    whole = version == 3
    rate_hz = _RATES_HZ[rate] >> (0 if whole else 1 if version == 2 else 2)
    bit_s, padding = 1000 * _KBIT_S[whole, layer][bits - 1], header >> 9 & 1
    if layer == 1:
        return (12 * bit_s // rate_hz + padding) * 4
    return (144 if whole or layer == 2 else 72) * bit_s // rate_hz + padding


def alike(data: Bytes, one: int, other: int) -> bool:
    """Whether the headers at both places may be of one stream."""
    first, second = (int.from_bytes(data[at : at + 4], "big") for at in (one, other))
    return first & _SAME == second & _SAME


def is_layer_3(data: Bytes, at: int = 0) -> bool:
    """Whether the frame header at `at` names layer III; layers I and II have no reliable beginning in raw samples."""
    return int.from_bytes(data[at : at + 4], "big") >> 17 & 3 == 1


def walk(data: Bytes) -> Frames | None:
    """Count the frames between the tags; None where no two frames follow each other (free format, or no MPEG audio)."""
    end = without_tags(data)
    start = _next(data, behind_id3(data, 0), end, None)
    if start is None:
        return None
    promised, is_info = _promise(data, start)
    first = start + (frame_bytes(data, start) or 0) if is_info else start
    count, at = _count(data, first, end, start)
    header = int.from_bytes(data[start : start + 4], "big")
    layer, whole = 4 - (header >> 17 & 3), header >> 19 & 3 == 3
    return Frames(
        first=first,
        end=min(at, end),
        count=count,
        promised=promised,
        whole=at <= end,
        layer=layer,
        samples=384 if layer == 1 else 1152 if whole or layer == 2 else 576,
    )


def readable_mp3(data: Bytes, where: object) -> Repair | None:
    """The audio with a header that names its length; None where it has a true one. Raises InputError when it is cut off."""
    frames = walk(data)
    if frames is None:
        start = behind_id3(data, 0)
        if int.from_bytes(data[start : start + 3], "big") & 0xFFE6F0 == 0xFFE200:
            raise InputError("does not say how long it is (free format)", where=where, fix="Re-encode it")
        return None
    if frames.promised is not None and frames.promised >= frames.count:
        return None  # where it promises more than is there, the decoder ends early and says so
    if not frames.whole or frames.count == 0:
        raise InputError(f"truncated in the frame behind {frames.count} whole ones", where=where, fix=AGAIN)
    head = with_length(data, frames) if frames.layer == 3 else b""
    return Repair(head=head, skip=frames.first, end=frames.end)


def with_length(data: Bytes, frames: Frames) -> bytes:
    """A frame with a Xing header that names the true count, to stand before the first one (layer III only)."""
    header = int.from_bytes(data[frames.first : frames.first + 4], "big") | _NO_CRC
    side = _side_bytes(header)
    for index in range(1, 15):
        new_header = ((header & ~(_PADDING | _BIT_RATE)) | index << 12).to_bytes(4, "big")
        length = frame_bytes(new_header) or 0
        if length >= 4 + side + 16:
            break
    return (
        new_header + bytes(side) + b"Xing" + _INFO_FRAMES.to_bytes(4, "big") + frames.count.to_bytes(4, "big")
    ).ljust(length, b"\0")


def _count(data: Bytes, first: int, end: int, pattern: int) -> tuple[int, int]:
    """Frames from `first` on, and where they end: beyond `end` if the last one is cut off."""
    stream = int.from_bytes(data[pattern : pattern + 4], "big") & _SAME
    lengths = {bits: frame_bytes((stream | bits).to_bytes(4, "big")) for bits in _LENGTH_BITS}
    count, at, behind = 0, first, first
    while at < end:
        header = int.from_bytes(data[at : at + 4], "big")
        length = lengths[header & (_BIT_RATE | _PADDING)] if header & _SAME == stream else None
        if length is None:
            resumed = _next(data, behind_id3(data, at), min(end, at + RESYNC_BYTES), pattern)
            if resumed is None:
                break
            at = resumed
            continue
        count += 1
        at += length
        behind = at
    return (count - 1, behind) if behind > end else (count, behind)


def _next(data: Bytes, at: int, end: int, pattern: int | None) -> int | None:
    """The next place where a frame begins that another follows, alike where a stream is given; the last may stand alone."""
    while at + 4 <= end:
        at = data.find(b"\xff", at, end)
        if at < 0:
            return None
        length = frame_bytes(data, at)
        if length is not None and (pattern is None or alike(data, pattern, at)):
            behind = at + length
            if frame_bytes(data, behind) is not None and alike(data, at, behind):
                return at
            if pattern is not None and behind == end:
                return at
        at += 1
    return None


def _promise(data: Bytes, at: int) -> tuple[int | None, bool]:
    """What the first frame says of the count, and whether it is such an informing frame at all."""
    header = int.from_bytes(data[at : at + 4], "big")
    length = frame_bytes(data, at) or 0
    body = data[at : at + length]
    place = 4 + _side_bytes(header)
    for where in (place, place + 2):  # behind a checksum, where encoders count that in
        if body[where : where + 4] in _INFO:
            flags = int.from_bytes(body[where + 4 : where + 8], "big")
            return (int.from_bytes(body[where + 8 : where + 12], "big") if flags & _INFO_FRAMES else None), True
    return None, body[_VBRI_AT : _VBRI_AT + 4] == b"VBRI"


def _side_bytes(header: int) -> int:
    """Side information of layer III behind the header: 32 and 17 bytes in MPEG-1 (two channels, one), else 17 and 9."""
    mono = header >> 6 & 3 == _CHANNELS_MONO
    if header >> 19 & 3 == 3:
        return 17 if mono else 32
    return 9 if mono else 17


def behind_id3(data: Bytes, at: int) -> int:
    """Past ID3v2 tags, which lie before the first frame, and between frames where files were joined."""
    while data[at : at + 3] == b"ID3" and at + _ID3V2_BYTES <= len(data):
        size = 0
        for byte in data[at + 6 : at + 10]:
            size = size << 7 | byte & 0x7F
        at += _ID3V2_BYTES + size + (_ID3V2_BYTES if data[at + 5] & 0x10 else 0)
    return at


def without_tags(data: Bytes) -> int:
    """Where the frames end at the latest: before ID3v1 and APEv2 tags at the end of the file."""
    end = len(data)
    if data[max(end - _ID3V1_BYTES, 0) : max(end - _ID3V1_BYTES, 0) + 3] == b"TAG":
        end -= _ID3V1_BYTES
    footer = data[max(end - _APE_BYTES, 0) : end]
    if footer[:8] == b"APETAGEX":
        size = int.from_bytes(footer[12:16], "little")
        has_header = int.from_bytes(footer[20:24], "little") & 0x80000000
        end = max(end - size - (_APE_BYTES if has_header else 0), 0)
    return end
