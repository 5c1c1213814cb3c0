"""Speech listed in a JSONL manifest with NeMo's keys, one JSON object per line.

Keys: `audio_filepath` (relative to the manifest, or absolute) and `text` are required; `id`, `speaker`, `duration`, `offset`
(seconds, to cut a part out of a longer file, with `duration`) and `sha256` (of the audio file) are optional. Others are
ignored. Key names: NVIDIA NeMo, "Preparing Custom ASR Data".
"""

from __future__ import annotations

import hashlib
import json
import re
import stat
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from wattscribe.corpora.audio import decode_audio
from wattscribe.corpora.base import Audio, spelt_out
from wattscribe.errors import InputError
from wattscribe.records import Rejected, Utterance

UNKNOWN_SPEAKER = "unknown"
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One usable line: the utterance, and what is needed to read and check its audio."""

    utterance: Utterance
    offset_s: float | None
    cut_s: float | None
    sha256: str | None


class _BadLineError(Exception):
    """A line that cannot be used; its message is the reason, `id` the best name there is for it."""

    def __init__(self, reason: str, id_: str | None = None) -> None:
        super().__init__(reason)
        self.id = id_


class ManifestCorpus:
    """A manifest file; it is read anew at each listing, audio one utterance at a time."""

    def __init__(self, path: Path, *, name: str | None = None) -> None:
        self.path = path
        self.name = name or str(path)
        self._entries: dict[str, Entry] | None = None

    def __iter__(self) -> Iterator[Utterance | Rejected]:
        """In the order of the lines. Of two usable entries with one id the first is used, the second rejected."""
        for item in self._list():
            yield item.utterance if isinstance(item, Entry) else item

    def audio(self, utterance: Utterance) -> Audio:
        """The utterance's samples. Raises InputError, also when the file's SHA-256 is not the manifest's."""
        entry = self._entry(utterance)
        path = Path(entry.utterance.source)
        try:
            data = path.read_bytes()
        except OSError as error:
            reason = "missing file" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
            raise InputError(reason, where=path) from error
        if entry.sha256 is not None and (found := hashlib.sha256(data).hexdigest()) != entry.sha256:
            raise InputError(f"wrong checksum: sha256 is {found[:12]}…, not {entry.sha256[:12]}…", where=path)
        return decode_audio(data, where=path, start_s=entry.offset_s or 0.0, duration_s=entry.cut_s)

    def _entry(self, utterance: Utterance) -> Entry:
        if self._entries is None:
            self._entries = {item.utterance.id: item for item in self._list() if isinstance(item, Entry)}
        if utterance.id not in self._entries:
            raise InputError(f"there is no utterance {utterance.id!r}", where=self.path)
        return self._entries[utterance.id]

    def _list(self) -> Iterator[Entry | Rejected]:
        try:
            lines = self.path.read_bytes().splitlines()
        except OSError as error:
            raise InputError(f"cannot be read ({error.strerror})", where=self.path) from error
        parsed = [(number, _parse(line)) for number, line in enumerate(lines, start=1) if line.strip()]
        names = _default_ids([value for _, value in parsed if isinstance(value, dict)])
        seen: dict[str, int] = {}
        for number, value in parsed:
            try:
                item = self._item(value, names)
                first = seen.setdefault(item.utterance.id, number)
                if first != number:
                    raise _BadLineError(f"duplicate id, first in line {first}", item.utterance.id)
                yield item
            except _BadLineError as bad:
                where = f"{self.path}:{number}"
                yield Rejected(corpus=self.name, id=bad.id or f"line {number}", reason=str(bad), where=where)

    def _item(self, value: Any, names: dict[str, str]) -> Entry:
        if isinstance(value, _BadLineError):
            raise value
        source = _text(value, "audio_filepath")
        id_ = _id(value, names)
        _check_text(value, id_)
        if not source or id_ is None:
            raise _BadLineError("audio_filepath missing", id_)
        reference = _text(value, "text")
        if not reference:
            raise _BadLineError("text missing", id_)
        path = self.path.parent / source
        _check_file(path, id_)
        offset_s, duration_s = _seconds(value, "offset", id_), _seconds(value, "duration", id_)
        return Entry(
            utterance=Utterance(
                id=id_,
                speaker=_text(value, "speaker") or UNKNOWN_SPEAKER,
                reference=reference,
                source=str(path),
                duration_s=duration_s,
            ),
            offset_s=offset_s,
            cut_s=duration_s if offset_s is not None else None,
            sha256=_sha256(value, id_),
        )


def _parse(line: bytes) -> Any:
    """A line → its object, or the reason why it is none."""
    try:
        value = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return _BadLineError("not UTF-8")
    except (json.JSONDecodeError, RecursionError) as error:
        return _BadLineError(f"broken JSON: {error}")
    except ValueError:  # Python reads no integer of more than 4,300 digits
        return _BadLineError("a number has too many digits")
    return value if isinstance(value, dict) else _BadLineError("broken JSON: not an object")


def _text(value: dict[str, Any], key: str) -> str:
    """A string or number as stripped text; anything else counts as missing."""
    item = value.get(key)
    if isinstance(item, bool) or not isinstance(item, (str, int, float)):
        return ""
    return str(item).strip()


def _check_text(value: dict[str, Any], id_: str | None) -> None:
    """JSON may escape half a character (`\\ud800`), which neither journal nor page could hold."""
    for key in ("id", "audio_filepath", "text", "speaker", "offset"):
        text = _text(value, key)
        if spelt_out(text) != text:
            whole = id_ is not None and spelt_out(id_) == id_
            raise _BadLineError(f"{key} holds half a character (a lone surrogate)", id_ if whole else None)


def _check_file(path: Path, id_: str) -> None:
    try:
        regular = stat.S_ISREG(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # ValueError: the name holds NUL
        raise _BadLineError(f"missing file: {path}", id_) from error
    except OSError as error:
        raise _BadLineError(f"audio_filepath cannot be read ({error.strerror})", id_) from error
    if not regular:
        raise _BadLineError(f"not a file: {path}", id_)


def _id(value: dict[str, Any], names: dict[str, str]) -> str | None:
    given = _text(value, "id")
    source = _text(value, "audio_filepath")
    if given or not source:
        return given or None
    offset = _text(value, "offset")
    return names[source] + (f"@{offset}" if offset else "")


def _default_ids(values: list[dict[str, Any]]) -> dict[str, str]:
    """Names for entries without an id: the file's stem; where two files share it, the path less its suffix, or all of it."""
    sources = {source for value in values if (source := _text(value, "audio_filepath"))}
    bare = {source: PurePosixPath(source) for source in sources if PurePosixPath(source).name}
    stems = Counter(path.stem for path in bare.values())
    paths = Counter(path.with_suffix("") for path in bare.values())
    names = dict.fromkeys(sources, "") | {source: path.stem for source, path in bare.items()}
    for source, path in bare.items():
        if stems[path.stem] > 1:
            names[source] = path.with_suffix("").as_posix() if paths[path.with_suffix("")] == 1 else path.as_posix()
    return {source: name or source for source, name in names.items()}


def _seconds(value: dict[str, Any], key: str, id_: str) -> float | None:
    item = value.get(key)
    if item is None:
        return None
    if isinstance(item, bool) or not isinstance(item, (int, float)) or not 0 <= item <= sys.float_info.max:
        raise _BadLineError(f"{key} is not a number of seconds", id_)
    return float(item)


def _sha256(value: dict[str, Any], id_: str) -> str | None:
    item = value.get("sha256")
    if item is None:
        return None
    if not isinstance(item, str) or not _SHA256.fullmatch(item):
        raise _BadLineError("sha256 is not 64 hexadecimal digits", id_)
    return item.lower()
