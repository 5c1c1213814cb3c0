"""What every list of speech shares, whatever its format: one entry after the other, each good or bad by itself, audio on demand.

A reader yields an `Entry` or a `BadEntryError` with the place it stands at; a bad one costs itself alone. Of two usable entries
with one id the first is used.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import stat
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from wattscribe import text_files
from wattscribe.containers.mono import Channel
from wattscribe.corpora.audio import audio_blocks, read_audio
from wattscribe.corpora.base import Audio, spelt_out
from wattscribe.errors import InputError
from wattscribe.records import Rejected, Utterance

UNKNOWN_SPEAKER = "unknown"
LARGEST_LIST_BYTES = 1 << 30
"""Of a list of speech, unpacked: some ten million lines."""
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


class Place(NamedTuple):
    """Where an entry stands."""

    file: Path
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One usable line: the utterance, and what is needed to read and check its audio."""

    utterance: Utterance
    offset_s: float = 0.0
    cut_s: float | None = None
    channel: Channel = None
    sha256: str | None = None
    overshoot_s: float = 0.01
    """How far the part may reach beyond the recording's end."""


class BadEntryError(Exception):
    """An entry that cannot be used; its message is the reason, `id` the best name there is for it."""

    def __init__(self, reason: str, id_: str | None = None) -> None:
        super().__init__(reason)
        self.id = id_


Line = tuple[Place, Entry | BadEntryError]


class ListedCorpus:
    """A corpus over a reader of lines; the list is read anew at each listing, audio one utterance at a time."""

    def __init__(self, lines: Callable[[], Iterator[Line]], *, name: str) -> None:
        self.name = name
        self._lines = lines
        self._entries: dict[str, Entry] | None = None

    def __iter__(self) -> Iterator[Utterance | Rejected]:
        """In the order of the lines. Of two usable entries with one id the first is used, the second rejected."""
        for item in self._list():
            yield item.utterance if isinstance(item, Entry) else item

    def audio(self, utterance: Utterance) -> Audio:
        """The utterance's samples. Raises InputError, also when the file's SHA-256 is not the list's."""
        path, part = self._place(utterance)
        return read_audio(path, **part)

    def blocks(self, utterance: Utterance) -> Iterator[Audio]:
        path, part = self._place(utterance)
        return audio_blocks(path, **part)

    def _place(self, utterance: Utterance) -> tuple[Path, dict[str, Any]]:
        """The file, and what of it to read."""
        if self._entries is None:
            self._entries = {item.utterance.id: item for item in self._list() if isinstance(item, Entry)}
        if utterance.id not in self._entries:
            raise InputError(f"there is no utterance {utterance.id!r}", where=self.name)
        entry = self._entries[utterance.id]
        path = Path(entry.utterance.source)
        if entry.sha256 is not None:
            _check_digest(path, entry.sha256)
        part = {
            "start_s": entry.offset_s,
            "duration_s": entry.cut_s,
            "channel": entry.channel,
            "overshoot_s": entry.overshoot_s,
        }
        return path, part

    def _list(self) -> Iterator[Entry | Rejected]:
        seen: dict[str, Place] = {}
        for place, item in self._lines():
            bad = item
            if isinstance(item, Entry):
                first = seen.setdefault(item.utterance.id, place)
                if first == place:
                    yield item
                    continue
                at = f"in line {first.line}" if first.file == place.file else f"at {first}"
                bad = BadEntryError(f"duplicate id, first {at}", item.utterance.id)
            name = getattr(bad, "id", None) or f"line {place.line}"
            yield Rejected(corpus=self.name, id=name, reason=str(bad), where=str(place))


def entry(
    *,
    id_: str,
    text: str | None,
    audio: Path,
    speaker: str = "",
    offset_s: float = 0.0,
    cut_s: float | None = None,
    duration_s: float | None = None,
    channel: Channel = None,
    sha256: str | None = None,
    overshoot_s: float = 0.01,
) -> Entry:
    """A checked entry. An empty text is a reference without words, None a missing one.

    Raises BadEntryError for half a character, a missing text, or a file that is missing or none.
    """
    for name, value in (("id", id_), ("text", text or ""), ("the audio's path", str(audio)), ("speaker", speaker)):
        if name != "the audio's path" and spelt_out(value) != value:
            raise BadEntryError(
                f"{name} holds half a character (a lone surrogate)", id_ if spelt_out(id_) == id_ else None
            )
    if text is None:
        raise BadEntryError("text missing", id_)
    _check_file(audio, id_)
    if sha256 is not None and not _SHA256.fullmatch(sha256):
        raise BadEntryError("sha256 is not 64 hexadecimal digits", id_)
    if cut_s is not None and cut_s <= 0:
        raise BadEntryError(f"the part from {offset_s:g} s to {offset_s + cut_s:g} s is empty", id_)
    return Entry(
        utterance=Utterance(
            id=id_, speaker=speaker or UNKNOWN_SPEAKER, reference=text, source=str(audio), duration_s=duration_s
        ),
        offset_s=offset_s,
        cut_s=cut_s,
        channel=channel,
        sha256=sha256.lower() if sha256 else None,
        overshoot_s=overshoot_s,
    )


def text_lines(path: Path) -> Iterator[tuple[Place, str | BadEntryError]]:
    """The lines of a text file (`.gz`: unpacked) that are not blank, without a byte-order mark; one that is not UTF-8 is bad.

    Raises InputError for a file that cannot be read.
    """
    for number, line in enumerate(read_bytes(path).removeprefix(b"\xef\xbb\xbf").splitlines(), start=1):
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError:
            yield Place(path, number), BadEntryError("not UTF-8")
            continue
        if text.strip():
            yield Place(path, number), text


def read_bytes(path: Path) -> bytes:
    """A list's bytes, unpacked where its name ends in `.gz`. Raises InputError."""
    try:
        data = text_files.read_bytes(path, largest=LARGEST_LIST_BYTES)
        return _unpacked(data, path) if path.suffix == ".gz" else data
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"the file is damaged ({error})", where=path, fix="Copy it again") from error
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", where=path) from error


def _unpacked(data: bytes, path: Path) -> bytes:
    """Raises InputError for a small file that would fill the memory."""
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        unpacked = file.read(LARGEST_LIST_BYTES + 1)
    if len(unpacked) > LARGEST_LIST_BYTES:
        raise InputError(f"unpacked it has more than {LARGEST_LIST_BYTES >> 20} MiB", where=path, fix="Divide it")
    return unpacked


def is_file(path: Path) -> bool:
    """Whether a file is there; what can be no name (too long, NUL) is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def near(folder: Path, name: str) -> Path:
    """Where a list's relative path leads: from its own folder, then from each folder above it (recipes write paths from the
    folder they ran in), at last from here. The first that is there; the list's own folder where none is."""
    wanted = Path(name).expanduser()
    if wanted.is_absolute():
        return wanted
    for base in (folder, *folder.resolve().parents, Path.cwd()):
        try:
            if (base / wanted).exists():
                return base / wanted
        except (OSError, ValueError):  # too long, or with NUL: reported where it is opened
            break
    return folder / wanted


def _check_file(path: Path, id_: str) -> None:
    try:
        regular = stat.S_ISREG(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # ValueError: the name holds NUL
        raise BadEntryError(f"missing file: {path}", id_) from error
    except OSError as error:
        raise BadEntryError(f"the audio cannot be read ({error.strerror})", id_) from error
    if not regular:
        raise BadEntryError(f"not a file: {path}", id_)


def _check_digest(path: Path, wanted: str) -> None:
    try:
        status = path.stat()
        digest = _sha256(path, status.st_size, status.st_mtime_ns)
    except OSError as error:
        reason = "missing file" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        raise InputError(reason, where=path) from error
    if digest != wanted:
        raise InputError(f"wrong checksum: sha256 is {digest[:12]}…, not {wanted[:12]}…", where=path)


@lru_cache(maxsize=1024)
def _sha256(path: Path, _size: int, _changed_ns: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
