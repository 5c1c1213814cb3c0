"""Speech in lhotse's manifests (`.jsonl`, `.jsonl.gz`, or a JSON array): cuts, or supervisions with their recordings.

Fields: lhotse's to_dict of MonoCut, MultiCut, SupervisionSegment and Recording. A cut with one supervision is one utterance, as
icefall does; of one with several each supervision is an utterance. Only sources of type `file` are read: commands are not run.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wattscribe.containers.mono import Channel
from wattscribe.corpora.listed import BadEntryError, Entry, Line, Place, entry, near, read_bytes, text_lines
from wattscribe.corpora.manifest import channel_of, parse, seconds_of, text_of
from wattscribe.errors import InputError
from wattscribe.text_files import parse_json

SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".json.gz")
CUTS, SUPERVISIONS, RECORDINGS = "cuts", "supervisions", "recordings"
Object = dict[str, Any]
Objects = Iterator[tuple[Place, Object | BadEntryError]]


def lhotse_kind(path: Path) -> str | None:
    """`cuts`, `supervisions` or `recordings`, by the keys of the first object; None for other lists."""
    first = next((value for _, value in _objects(path) if isinstance(value, dict)), {})
    if "supervisions" in first or str(first.get("type", "")).endswith("Cut"):
        return CUTS
    if "recording_id" in first and "start" in first:
        return SUPERVISIONS
    return RECORDINGS if "sources" in first and "sampling_rate" in first else None


def lhotse_lists(folder: Path) -> list[Path]:
    """The lists of a folder that can be read: its cuts, or else its supervisions."""
    files = [path for path in sorted(folder.iterdir()) if path.name.endswith(SUFFIXES) and path.is_file()]
    for kind in (CUTS, SUPERVISIONS):
        lists = [path for path in files if kind in path.name and lhotse_kind(path) == kind]
        if lists:
            return lists
    return []


def lhotse_lines(path: Path) -> Iterator[Line]:
    """Every utterance of a list of cuts or supervisions. Raises InputError for a list of recordings alone."""
    kind = lhotse_kind(path)
    if kind == RECORDINGS:
        raise InputError("recordings alone have no text", where=path, fix="Name the cuts or the supervisions")
    recordings = _recordings(path) if kind == SUPERVISIONS else {}
    for place, value in _objects(path):
        if isinstance(value, BadEntryError):
            yield place, value
            continue
        cuts = _of_cut(value) if kind == CUTS else [(value, value, recordings.get(text_of(value, "recording_id")))]
        for part, supervision, recording in cuts:
            try:
                yield place, _entry(part, supervision, recording, path.parent)
            except BadEntryError as bad:
                yield place, bad


def _of_cut(cut: Object) -> list[tuple[Object, Object, Object | None]]:
    """(what is transcribed, its supervision, the recording): the whole cut, or each of its supervisions."""
    listed = cut.get("supervisions")
    supervisions = [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
    recording = cut.get("recording") if isinstance(cut.get("recording"), dict) else None
    if len(supervisions) <= 1:
        return [(cut, supervisions[0] if supervisions else {}, recording)]
    start_of_cut = cut.get("start")
    begin_s = start_of_cut if isinstance(start_of_cut, (int, float)) else 0.0
    parts = []
    for item in supervisions:
        start = item.get("start")
        moved = begin_s + start if isinstance(start, (int, float)) else start
        parts.append(({**item, "start": moved, "type": cut.get("type")}, item, recording))
    return parts


def _entry(part: Object, supervision: Object, recording: Object | None, folder: Path) -> Entry:
    id_ = text_of(part, "id")
    if not id_:
        raise BadEntryError("id missing")
    if part.get("type") in ("MixedCut", "PaddingCut"):
        raise BadEntryError(f"a {part['type']} is not a part of one recording: save its audio first", id_)
    if recording is None:
        raise BadEntryError("its recording is missing", id_)
    if recording.get("transforms"):
        raise BadEntryError("its recording is transformed by lhotse: save its audio first", id_)
    offset_s, cut_s = seconds_of(part, "start", id_), seconds_of(part, "duration", id_)
    if cut_s is None:
        raise BadEntryError("duration missing", id_)
    channel = channel_of(part, id_)
    name, inside = _source(recording, channel, id_)
    return entry(
        id_=id_,
        text=text_of(supervision, "text") if isinstance(supervision.get("text"), str) else None,
        audio=near(folder, name),
        speaker=text_of(supervision, "speaker"),
        offset_s=offset_s or 0.0,
        cut_s=cut_s,
        duration_s=cut_s,
        channel=inside,
    )


def _source(recording: Object, channel: Channel, id_: str) -> tuple[str, Channel]:
    """The file that holds the channels, and their places in it."""
    listed = recording.get("sources")
    sources = [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
    wanted = [channel] if isinstance(channel, int) else list(channel or ())
    for source in sources:
        held = source.get("channels")
        channels = held if isinstance(held, list) else []
        if any(item not in channels for item in wanted):
            continue
        if source.get("type") != "file" or not text_of(source, "source"):
            raise BadEntryError(f"its audio is of type {source.get('type')!r}, not a file: save it first", id_)
        places = tuple(channels.index(item) for item in wanted) or None
        return text_of(source, "source"), None if places is not None and len(channels) == len(places) else places
    raise BadEntryError(f"no source of its recording holds channel {channel}", id_)


def _recordings(path: Path) -> dict[str, Object]:
    """The recordings that belong to a list of supervisions: the file of the same name, or the only one beside it."""
    beside = path.with_name(path.name.replace(SUPERVISIONS, RECORDINGS))
    lists = [item for item in sorted(path.parent.iterdir()) if RECORDINGS in item.name and item.name.endswith(SUFFIXES)]
    if beside != path and beside.is_file():
        lists = [beside]
    if len(lists) != 1:
        raise InputError(
            f"supervisions need their recordings, and {len(lists)} lists of recordings are beside them",
            where=path,
            fix=f"Put the recordings there as {beside.name}",
        )
    return {text_of(value, "id"): value for _, value in _objects(lists[0]) if isinstance(value, dict)}


def _objects(path: Path) -> Objects:
    """The objects of a list, one per line or as one array; there the number is the object's in the array."""
    data = read_bytes(path).lstrip(b"\xef\xbb\xbf \t\r\n")
    values = None
    if data[:1] == b"[":
        with contextlib.suppress(ValueError):  # then the lines say what is wrong with each
            values = parse_json(data)
    if values is None:
        for place, line in text_lines(path):
            yield place, line if isinstance(line, BadEntryError) else parse(line)
        return
    for number, value in enumerate(values, start=1):
        yield Place(path, number), value if isinstance(value, dict) else BadEntryError("broken JSON: not an object")
