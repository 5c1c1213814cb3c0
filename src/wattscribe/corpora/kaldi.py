"""Speech in a Kaldi data folder: `wav.scp`, `text`, and where there are such `segments` and `utt2spk`.

Formats: kaldi-asr.org, "Data preparation"; `segments` with an optional fifth field for the channel and -1 for "to the end", and
0.5 s that a segment may reach beyond its recording: extract-segments.cc. Commands in wav.scp are never run.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from wattscribe.corpora.listed import BadEntryError, Entry, Line, Place, entry, near, text_lines
from wattscribe.errors import InputError

RECORDINGS = "wav.scp"
TEXT = "text"
MAX_OVERSHOOT_S = 0.5
_OFFSET = re.compile(r".*:\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A file of `key value` lines; lines that are none, or repeat a key, are kept beside it."""

    rows: dict[str, tuple[str, Place]]
    bad: list[tuple[Place, BadEntryError]]


def is_kaldi(folder: Path) -> bool:
    """Whether the folder is a data folder; its recordings alone make it one."""
    return (folder / RECORDINGS).is_file()


def kaldi_lines(folder: Path) -> Iterator[Line]:
    """In the order of `text`; then what is bad in the other files, and recordings or segments without a text.

    Raises InputError where `text` is missing or a file cannot be read.
    """
    if not (folder / TEXT).is_file():
        raise InputError(
            f"a Kaldi data folder without the file {TEXT!r}",
            where=folder,
            fix="Add it: <utterance-id> <words> per line",
        )
    recordings = _table(folder / RECORDINGS)
    has_segments = (folder / "segments").is_file()
    segments = _table(folder / "segments") if has_segments else None
    speakers = _table(folder / "utt2spk") if (folder / "utt2spk").is_file() else Table(rows={}, bad=[])
    listed = set()
    for place, line in text_lines(folder / TEXT):
        try:
            if isinstance(line, BadEntryError):
                raise line
            id_, *words = line.split(None, 1)
            listed.add(id_)
            yield place, _entry(id_, "".join(words).strip(), folder, recordings, segments, speakers)
        except BadEntryError as bad:
            yield place, bad
    for table in (recordings, segments, speakers):
        yield from [] if table is None else table.bad
    for id_, (_, place) in (segments or recordings).rows.items():
        if id_ not in listed:
            yield place, BadEntryError("text missing", id_)


def _entry(id_: str, text: str, folder: Path, recordings: Table, segments: Table | None, speakers: Table) -> Entry:
    recording, offset_s, cut_s, channel = id_, 0.0, None, None
    if segments is not None:
        if id_ not in segments.rows:
            raise BadEntryError("not in segments", id_)
        recording, offset_s, cut_s, channel = _segment(id_, *segments.rows[id_])
    if recording not in recordings.rows:
        raise BadEntryError(f"recording {recording!r} is not in {RECORDINGS}", id_)
    name, place = recordings.rows[recording]
    return entry(
        id_=id_,
        text=text,
        audio=_file(name, folder, place, id_),
        speaker=speakers.rows[id_][0] if id_ in speakers.rows else "",
        offset_s=offset_s,
        cut_s=cut_s,
        duration_s=cut_s,
        channel=channel,
        overshoot_s=MAX_OVERSHOOT_S,
    )


def _segment(id_: str, line: str, place: Place) -> tuple[str, float, float | None, int | None]:
    """`recording begin end [channel]`."""
    fields = line.split()
    try:
        begin_s, end_s = float(fields[1]), float(fields[2])
        channel = int(fields[3]) if len(fields) > 3 else None
    except (IndexError, ValueError):
        raise BadEntryError(f"not `utterance recording begin end` at {place}", id_) from None
    if not (math.isfinite(begin_s) and math.isfinite(end_s) and begin_s >= 0):
        raise BadEntryError(f"begin and end are not times at {place}", id_)
    if end_s == -1:
        return fields[0], begin_s, None, channel
    if end_s <= begin_s:
        raise BadEntryError(f"the segment ends at {end_s:g} s, before it begins, at {place}", id_)
    return fields[0], begin_s, end_s - begin_s, channel


def _file(name: str, folder: Path, place: Place, id_: str) -> Path:
    """The audio file of an extended filename. Commands, standard input and places inside archives are refused."""
    if name.startswith("|") or name.endswith("|") or name == "-":
        raise BadEntryError(f"a command at {place}, which is not run: write its output to a file and name that", id_)
    path = near(folder, name)
    if _OFFSET.fullmatch(name) and not path.exists():
        raise BadEntryError(f"a place inside an archive at {place}: unpack it (wav-copy) and name the files", id_)
    return path


def _table(path: Path) -> Table:
    """Raises InputError where the file cannot be read."""
    table = Table(rows={}, bad=[])
    for place, line in text_lines(path):
        if isinstance(line, BadEntryError):
            table.bad.append((place, line))
            continue
        key, *value = line.split(None, 1)
        if not value:
            table.bad.append((place, BadEntryError(f"nothing after the id in {path.name}", key)))
        elif key in table.rows:
            table.bad.append((place, BadEntryError(f"duplicate id, first in line {table.rows[key][1].line}", key)))
        else:
            table.rows[key] = (value[0].strip(), place)
    return table
