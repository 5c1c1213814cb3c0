"""Speech in tab-separated lists: Mozilla Common Voice (with a header) and Google's FLEURS (without).

Common Voice: `client_id`, `path` and `sentence` among other columns, clips in `clips/` beside the list; written by pandas, so
that a sentence with quotes stands in quotes, its own doubled. FLEURS: id, file, raw transcription, transcription, characters,
samples, gender; audio in `audio/SPLIT/` as its archive unpacks; the id is the sentence's, which several people read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from wattscribe.corpora.listed import BadEntryError, Entry, Line, entry, is_file, text_lines
from wattscribe.errors import InputError
from wattscribe.text_files import whole

SUFFIX = ".tsv"
_FLEURS_COLUMNS = 7
_FILE, _TRANSCRIPTION, _SAMPLES = 1, 3, 5
FLEURS_RATE_HZ = 16_000


def is_tsv(path: Path) -> bool:
    """Whether the list is one of the two; its first line tells."""
    first = next((line for _, line in text_lines(path) if isinstance(line, str)), "")
    return _columns(first) is not None or _is_fleurs(first.split("\t"))


def tsv_lines(path: Path) -> Iterator[Line]:
    """In the order of the lines. Raises InputError for a file that is neither."""
    lines = text_lines(path)
    place, first = next(lines, (None, ""))
    columns = None if isinstance(first, BadEntryError) else _columns(first)
    read: Callable[[list[str]], Entry]
    if columns is not None:
        wanted = columns

        def read(fields: list[str]) -> Entry:
            return _common_voice(fields, wanted, path)
    else:
        if isinstance(first, BadEntryError) or place is None or not _is_fleurs(first.split("\t")):
            raise InputError(
                "neither Common Voice's columns (path, sentence) nor the seven of FLEURS",
                where=path,
                fix="Name one of their lists, for instance test.tsv",
            )

        def read(fields: list[str]) -> Entry:
            return _fleurs(fields, path)

        lines = text_lines(path)
    for at, line in lines:
        try:
            if isinstance(line, BadEntryError):
                raise line
            yield at, read(line.split("\t"))
        except BadEntryError as bad:
            yield at, bad


def _columns(header: str) -> dict[str, int] | None:
    names = [name.strip() for name in header.split("\t")]
    return {name: names.index(name) for name in names} if {"path", "sentence"} <= set(names) else None


def _is_fleurs(fields: list[str]) -> bool:
    return (
        len(fields) >= _FLEURS_COLUMNS
        and whole(fields[0]) is not None
        and "." in fields[_FILE]
        and whole(fields[_SAMPLES]) is not None
    )


def _common_voice(fields: list[str], columns: dict[str, int], path: Path) -> Entry:
    def value(name: str) -> str:
        index = columns.get(name)
        return "" if index is None or index >= len(fields) else _unquoted(fields[index].strip())

    name = value("path")
    if not name:
        raise BadEntryError("path missing")
    sentence = value("sentence") if columns["sentence"] < len(fields) else None
    places = [path.parent / "clips" / name, path.parent / "clips" / f"{name}.mp3", path.parent / name]
    return entry(id_=Path(name).stem, text=sentence, audio=_first(places), speaker=value("client_id"))


def _unquoted(text: str) -> str:
    """What pandas wrote in quotes; a sentence that merely begins and ends with one keeps them."""
    inner = text[1:-1]
    quoted = len(text) > 1 and text[0] == text[-1] == '"' and '"' not in inner.replace('""', "")
    return inner.replace('""', '"') if quoted else text


def _fleurs(fields: list[str], path: Path) -> Entry:
    if not _is_fleurs(fields):
        raise BadEntryError(f"not the seven columns of FLEURS, but {len(fields)}")
    name = fields[_FILE].strip()
    split = path.parent / path.stem
    places = [path.parent / "audio" / path.stem / name, split / name, path.parent / "audio" / name, path.parent / name]
    return entry(
        id_=Path(name).stem,
        text=fields[_TRANSCRIPTION].strip(),
        audio=_first(places),
        duration_s=int(fields[_SAMPLES]) / FLEURS_RATE_HZ,
    )


def _first(places: list[Path]) -> Path:
    """The first that is there; else the first, whose absence is then reported."""
    return next((place for place in places if is_file(place)), places[0])
