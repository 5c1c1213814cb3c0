"""NIST SPHERE (`.sph`, and `.wav` in TIMIT and its kin): a header of text, read as a WAV header is.

Fields: NIST's SPeech HEader REsources, `sph_hdr`. Sample codings that LDC's corpora use: pcm, ulaw, alaw, and shorten, whose
decoder no library here has.
"""

from __future__ import annotations

import struct

from wattscribe.containers.repair import AGAIN, Bytes, Repair
from wattscribe.errors import InputError

MAGIC = b"NIST_1A\n"
_WAV_CODES = {"pcm": 1, "alaw": 6, "ulaw": 7, "mu-law": 7, "a-law": 6}
_LONGEST_HEADER = 1 << 16


def readable_sphere(data: Bytes, where: object) -> Repair:
    """The samples under a WAV header. Raises InputError when truncated, compressed, or not a SPHERE header."""
    fields, start = _header(data, where)
    coding = fields.get("sample_coding", "pcm").lower()
    if "shorten" in coding or "wavpack" in coding or "shortpack" in coding:
        raise InputError(
            f"is compressed ({coding})", where=where, fix="Unpack it with NIST's tool: sph2pipe -f wav IN.sph OUT.wav"
        )
    if coding not in _WAV_CODES:
        raise InputError(
            f"has an unknown sample coding {coding!r}", where=where, fix="Convert it: sph2pipe -f wav IN OUT"
        )
    channels, rate_hz = _number(fields, "channel_count", where, 1), _number(fields, "sample_rate", where)
    width = _number(fields, "sample_n_bytes", where, 2 if _WAV_CODES[coding] == 1 else 1)
    size = _number(fields, "sample_count", where) * channels * width
    held = len(data) - start
    if size > held:
        raise InputError(f"truncated: {held} of {size} bytes of samples are there", where=where, fix=AGAIN)
    big = width > 1 and fields.get("sample_byte_format", "01") != "01"
    order, magic = (">", b"RIFX") if big else ("<", b"RIFF")
    fmt = struct.pack(
        f"{order}HHIIHH", _WAV_CODES[coding], channels, rate_hz, rate_hz * channels * width, channels * width, 8 * width
    )
    head = magic + struct.pack(f"{order}I", 36 + size) + b"WAVEfmt " + struct.pack(f"{order}I", 16) + fmt
    return Repair(head=head + b"data" + struct.pack(f"{order}I", size), skip=start, end=start + size)


def _header(data: Bytes, where: object) -> tuple[dict[str, str], int]:
    """Fields of `name -type value` lines up to `end_head`, and where the samples begin: its length is the second line."""
    try:
        length = int(data[8:16])
        lines = data[16 : min(length, _LONGEST_HEADER)].decode("ascii").splitlines()
    except ValueError:  # UnicodeDecodeError is one
        raise InputError("is not audio: the NIST SPHERE header is damaged", where=where, fix=AGAIN) from None
    if len(data) < length:
        raise InputError("truncated: the file ends before its samples", where=where, fix=AGAIN)
    fields = {}
    for line in lines:
        if line.strip() == "end_head":
            break
        parts = line.split(None, 2)
        if len(parts) == 3 and not line.startswith(";"):
            fields[parts[0]] = parts[2].strip()
    return fields, length


def _number(fields: dict[str, str], name: str, where: object, default: int | None = None) -> int:
    text = fields.get(name)
    if text is None and default is not None:
        return default
    if text is None or not text.isdigit() or (value := int(text)) >= 1 << 32:
        raise InputError(f"is not audio: its NIST SPHERE header has no usable {name}", where=where, fix=AGAIN)
    return value
