"""What a file's own bytes say: whether it is whole, which libsndfile does not ask of WAV and OGG, and which format it is."""

from __future__ import annotations

import contextlib
import io
import mmap
import os
import stat
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from wattscribe.containers import chained, mpeg, riff
from wattscribe.containers.media import MEDIA, MEDIA_FORMAT, SLACK_S, Sound, media
from wattscribe.containers.repair import AGAIN, Bytes, Repair, RepairedFile
from wattscribe.containers.sphere import MAGIC, readable_sphere
from wattscribe.errors import InputError

_MP3_SLACK_FRAMES = 1152
"""One MPEG layer III frame: encoders round their promised length to it."""

CONVERT = "Convert it with sox or ffmpeg"

MAX_FRAMES = 1 << 40
"""libsndfile answers with 2^63 - 1 where a FLAC stream carries no count; it then cannot seek to the end, nor read it."""

HEAD_BYTES = 1445
"""What `format_of` must see: the longest frame of MPEG layer III and the header of the next."""

_BEGINNINGS = (
    (0, b"RIFF", "WAV"), (0, b"RIFX", "WAV"), (0, b"RF64", "WAV"), (0, b"fLaC", "FLAC"), (0, b"OggS", "OGG"),
    (0, b"FORM", "AIFF"), (0, b"ID3\x02", "MP3"), (0, b"ID3\x03", "MP3"), (0, b"ID3\x04", "MP3"), (4, b"ftyp", "M4A"),
    (0, b"caff", "CAF"), (0, b".snd", "AU"), (0, MAGIC[:4], "SPH"), (0, b"\x1aE\xdf\xa3", "WebM"),
    (0, b"\x30\x26\xb2\x75", "WMA"), (0, b"#!AMR", "AMR"),
)  # fmt: skip
"""Four bytes at an offset, and whose they are. Raw samples begin so once in 4 thousand million times."""

_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@contextlib.contextmanager
def opened(path: str | Path) -> Iterator[Sound]:
    """A recording to be read in blocks, whatever its format; neither the file nor its samples are read into memory whole.

    Raises InputError unless there is a file with bytes in it that is whole and that a decoder takes.
    """
    status = _checked(path)
    name = os.fsencode(path)
    repair = _repair_of(name, status.st_ino, status.st_size, status.st_mtime_ns)
    if not isinstance(repair, Repair):
        with media(path, path) if repair else _sound_file(name, path) as sound:
            yield sound
        return
    with _mapped(name) as data, _sound_file(RepairedFile(data, repair), path) as sound:
        yield sound


@contextlib.contextmanager
def decoding(data: bytes, where: object) -> Iterator[Sound]:
    """The same for bytes that are there already; `where` names them in errors."""
    if format_of(data) in MEDIA:
        with media(io.BytesIO(data), where) as sound:
            yield sound
        return
    repair = readable(data, where)
    with _sound_file(io.BytesIO(data) if repair is None else RepairedFile(data, repair), where) as sound:
        yield sound


@lru_cache(maxsize=256)
def _repair_of(name: bytes, _inode: int, _size: int, _changed_ns: int) -> Repair | bool | None:
    """`readable` for a file, remembered: a recording is opened once per segment. True: it is for PyAV."""
    path = os.fsdecode(name)
    with _mapped(name) as data:
        return True if format_of(data) in MEDIA else readable(data, path)


@contextlib.contextmanager
def _mapped(name: bytes) -> Iterator[Bytes]:
    with Path(os.fsdecode(name)).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield data


def _checked(path: str | Path) -> os.stat_result:
    try:
        status = Path(path).stat()
        _check_kind(stat.S_IFMT(status.st_mode), path)
        with Path(path).open("rb"):
            pass
    except FileNotFoundError:
        raise InputError("there is no such file", where=path, fix="Give an audio file, or - for raw PCM") from None
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", where=path, fix="Copy it to where it can be") from None
    if status.st_size == 0:
        raise InputError("the file is empty (0 bytes)", where=path, fix=AGAIN)
    return status


@contextlib.contextmanager
def _sound_file(source: bytes | io.IOBase, where: object) -> Iterator[Sound]:
    import soundfile

    from wattscribe import hushed

    try:
        sound = hushed.SoundFile(source)
    except soundfile.LibsndfileError as error:
        raise InputError(f"is not audio that can be read ({reason_of(error)})", where=where, fix=CONVERT) from None
    with sound:
        sound.seekable = lambda: False  # else soundfile seeks after each read, on which libmpg123 loses its reservoir
        if sound.frames > MAX_FRAMES:
            raise InputError(
                "the header does not say how long it is", where=where, fix="Re-encode it, for instance with sox"
            )
        yield sound


def slack_frames(sound: Sound) -> int:
    """By how many samples a whole recording may be shorter than it promises."""
    if sound.format == MEDIA_FORMAT:
        return int(SLACK_S * sound.samplerate)
    return _MP3_SLACK_FRAMES if sound.format == "MP3" else 0


def reason_of(error: Exception) -> str:
    """What libsndfile says, without its full stop and what stands before it."""
    return str(error).strip().rstrip(". ").rpartition(": ")[2]


def _check_kind(kind: int, where: object) -> None:
    if kind == stat.S_IFREG:
        return
    fix = "Give the files in it" if kind == stat.S_IFDIR else "Save it as a file first, or pipe raw PCM into -"
    raise InputError(f"is {_KINDS.get(kind, 'something else')}, not an audio file", where=where, fix=fix)


def format_of(head: Bytes) -> str | None:
    """The name of the audio format that the first `HEAD_BYTES` bytes are of; None for raw samples, or what else it may be."""
    for offset, magic, name in _BEGINNINGS:
        if head[offset : offset + len(magic)] == magic:
            return name
    if _adts_bytes(head) and _adts_bytes(head[_adts_bytes(head) :]):
        return "AAC"
    length = mpeg.frame_bytes(head) if mpeg.is_layer_3(head) else None
    if length is None or mpeg.frame_bytes(head, length) is None:
        return None
    return "MP3" if mpeg.alike(head, 0, length) else None


def _adts_bytes(head: Bytes) -> int:
    """Length of the ADTS frame of AAC that begins here (ISO 13818-7, 6.2); 0 where none does."""
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0 or head[2] >> 2 & 15 > 12:
        return 0
    length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    return length if length > 7 else 0


def readable(data: Bytes, where: object) -> Repair | None:
    """What the decoder should read in place of these bytes; None: the bytes as they are.

    Raises InputError when they end before their own header, page or last frame says, or are in a coding no decoder here has.
    """
    name = format_of(data)
    if name == "WAV" and data[8:12] == b"WAVE":
        return riff.readable_wav(data, where)
    if name == "SPH":
        return readable_sphere(data, where)
    if name == "OGG":
        chained.check_ogg(data, where)
    if name == "FLAC":
        chained.check_flac(data, where)
    if name == "AIFF":
        riff.check_aiff(data, where)
    return mpeg.readable_mp3(data, where) if name == "MP3" or mpeg.frame_bytes(data) else None
