"""Speech listed in a JSONL manifest with NeMo's keys, one JSON object per line.

Keys: `audio_filepath` (relative to the manifest, or absolute) and `text` are required; `id`, `speaker`, `duration`, `offset`
(seconds, to cut a part out of a longer file, with `duration`), `channel` (counted from 0, or a list of them to be averaged) and
`sha256` (of the audio file) are optional. Others are ignored. Key names: NVIDIA NeMo, "Preparing Custom ASR Data".
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from wattscribe.containers.mono import Channel
from wattscribe.corpora.base import spelt_out
from wattscribe.corpora.listed import BadEntryError, Entry, Line, ListedCorpus, entry, text_lines
from wattscribe.text_files import parse_json

_KEYS = ("id", "audio_filepath", "text", "speaker", "offset")


class ManifestCorpus(ListedCorpus):
    """A manifest file; it is read anew at each listing, audio one utterance at a time."""

    def __init__(self, path: Path, *, name: str | None = None) -> None:
        super().__init__(lambda: manifest_lines(path), name=name or str(path))


def manifest_lines(path: Path) -> Iterator[Line]:
    """Every line's entry, or why it is none. Raises InputError when the file cannot be read."""
    parsed = [(place, line if isinstance(line, BadEntryError) else parse(line)) for place, line in text_lines(path)]
    names = _default_ids([value for _, value in parsed if isinstance(value, dict)])
    for place, value in parsed:
        try:
            yield place, _item(value, names, path.parent)
        except BadEntryError as bad:
            yield place, bad


def _item(value: dict[str, Any] | BadEntryError, names: dict[str, str], folder: Path) -> Entry:
    if isinstance(value, BadEntryError):
        raise value
    source, id_ = text_of(value, "audio_filepath"), _id(value, names)
    for key in _KEYS:
        text = text_of(value, key)
        if spelt_out(text) != text:
            whole = id_ is not None and spelt_out(id_) == id_
            raise BadEntryError(f"{key} holds half a character (a lone surrogate)", id_ if whole else None)
    if not source or id_ is None:
        raise BadEntryError("audio_filepath missing", id_)
    offset_s, duration_s = seconds_of(value, "offset", id_), seconds_of(value, "duration", id_)
    return entry(
        id_=id_,
        text=text_of(value, "text") if isinstance(value.get("text"), (str, int, float)) else None,
        audio=folder / source,
        speaker=text_of(value, "speaker"),
        offset_s=offset_s or 0.0,
        cut_s=duration_s if offset_s is not None else None,
        duration_s=duration_s,
        channel=channel_of(value, id_),
        sha256=_sha256(value, id_),
    )


def parse(line: str) -> dict[str, Any] | BadEntryError:
    """A line → its object, or the reason why it is none."""
    try:
        value = parse_json(line)
    except ValueError as error:
        return BadEntryError(str(error))
    return value if isinstance(value, dict) else BadEntryError("broken JSON: not an object")


def text_of(value: dict[str, Any], key: str) -> str:
    """A string or number as stripped text; anything else counts as missing."""
    item = value.get(key)
    if isinstance(item, bool) or not isinstance(item, (str, int, float)):
        return ""
    return str(item).strip()


def seconds_of(value: dict[str, Any], key: str, id_: str) -> float | None:
    """A time; None where there is none. Raises BadEntryError for what is no number of seconds."""
    item = value.get(key)
    if item is None:
        return None
    if isinstance(item, bool) or not isinstance(item, (int, float)) or not 0 <= item <= sys.float_info.max:
        raise BadEntryError(f"{key} is not a number of seconds", id_)
    return float(item)


def channel_of(value: dict[str, Any], id_: str) -> Channel:
    """One channel, several, or None for all. Raises BadEntryError for what is neither number nor list of numbers."""
    item = value.get("channel")
    if item is None:
        return None
    channels: list[Any] = item if isinstance(item, list) else [item]
    if not channels or not all(
        isinstance(channel, int) and not isinstance(channel, bool) and channel >= 0 for channel in channels
    ):
        raise BadEntryError("channel is not a number of 0 or more, or a list of them", id_)
    return tuple(channels) if isinstance(item, list) else int(channels[0])


def _id(value: dict[str, Any], names: dict[str, str]) -> str | None:
    given = text_of(value, "id")
    source = text_of(value, "audio_filepath")
    if given or not source:
        return given or None
    offset, channel = text_of(value, "offset"), text_of(value, "channel")
    return names[source] + (f"@{offset}" if offset else "") + (f"#{channel}" if channel else "")


def _default_ids(values: list[dict[str, Any]]) -> dict[str, str]:
    """Names for entries without an id: the file's stem; where two files share it, the path less its suffix, or all of it."""
    sources = {source for value in values if (source := text_of(value, "audio_filepath"))}
    bare = {source: PurePosixPath(source) for source in sources if PurePosixPath(source).name}
    stems = Counter(path.stem for path in bare.values())
    paths = Counter(path.with_suffix("") for path in bare.values())
    names = dict.fromkeys(sources, "") | {source: path.stem for source, path in bare.items()}
    for source, path in bare.items():
        if stems[path.stem] > 1:
            names[source] = path.with_suffix("").as_posix() if paths[path.with_suffix("")] == 1 else path.as_posix()
    return {source: name or source for source, name in names.items()}


def _sha256(value: dict[str, Any], id_: str) -> str | None:
    item = value.get("sha256")
    if item is not None and not isinstance(item, str):
        raise BadEntryError("sha256 is not 64 hexadecimal digits", id_)
    return item
