"""Speech in NIST's segment time marks (STM), as TED-LIUM, Switchboard and the NIST evaluations come: one segment per line.

`file channel speaker begin end [<label>] words`, `;;` begins a comment (SCTK, infmts). Recordings lie beside the list, or in
`sph` or `wav` beside its folder. A segment marked IGNORE_TIME_SEGMENT_IN_SCORING is left out, as sclite does.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from wattscribe.corpora.audio import AUDIO_SUFFIXES
from wattscribe.corpora.folders import files_below
from wattscribe.corpora.listed import BadEntryError, Entry, Line, entry, text_lines

SUFFIX = ".stm"
IGNORED = "ignore_time_segment_in_scoring"
_CHANNELS = {"1": 0, "a": 0, "2": 1, "b": 1}
_ALTERNATION = re.compile(r"\{([^{}]*)\}")
_LABEL = re.compile(r"<[^<>\s]*>$")
MAX_OVERSHOOT_S = 0.5
"""Marks are set by hand; as much as Kaldi allows a segment."""


def stm_files(folder: Path) -> list[Path]:
    """Every STM file below a folder, by relative path."""
    return [path for path in files_below(folder).files if path.suffix.lower() == SUFFIX]


def stm_lines(files: Sequence[Path]) -> Iterator[Line]:
    """File by file, line by line; an utterance is called after its recording, channel and times."""
    for path in files:
        for place, line in text_lines(path):
            if isinstance(line, str) and line.lstrip().startswith(";;"):
                continue
            try:
                if isinstance(line, BadEntryError):
                    raise line
                yield place, _entry(line, path)
            except BadEntryError as bad:
                yield place, bad


def _entry(line: str, path: Path) -> Entry:
    fields = line.split(None, 5)
    if len(fields) < 5:
        raise BadEntryError("not `file channel speaker begin end words`")
    name, side, speaker = fields[:3]
    try:
        begin_s, end_s = float(fields[3]), float(fields[4])
    except ValueError:
        raise BadEntryError(f"begin and end are not times: {fields[3]} {fields[4]}") from None
    if not 0 <= begin_s < end_s < math.inf:
        raise BadEntryError(f"the segment from {begin_s:g} s to {end_s:g} s has no length")
    id_ = f"{name}-{side}-{begin_s:09.3f}-{end_s:09.3f}"
    words = fields[5].strip() if len(fields) > 5 else ""
    label, _, rest = words.partition(" ")
    text = rest.strip() if _LABEL.fullmatch(label) else words
    if text.lower() == IGNORED:
        raise BadEntryError("marked to be ignored in scoring", id_)
    audio = _recordings(path.parent).get(name) or _recordings(path.parent).get(Path(name).stem)
    if audio is None:
        raise BadEntryError(f"missing file: no recording {name} beside the list, in sph or in wav", id_)
    return entry(
        id_=id_,
        text=_ALTERNATION.sub(lambda match: match[1].partition("/")[0].strip(), text),
        audio=audio,
        speaker=speaker,
        offset_s=begin_s,
        cut_s=end_s - begin_s,
        duration_s=end_s - begin_s,
        channel=_channel(side, id_),
        overshoot_s=MAX_OVERSHOOT_S,
    )


def _channel(side: str, id_: str) -> int:
    """A or 1 is the first, B or 2 the second."""
    if side.lower() not in _CHANNELS:
        raise BadEntryError(f"channel {side!r} is none of 1, 2, A, B", id_)
    return _CHANNELS[side.lower()]


@lru_cache(maxsize=16)
def _recordings(folder: Path) -> dict[str, Path]:
    """Audio beside a list, in `sph`, `wav` or `flac` there or beside its folder, by stem; the nearest of one name."""
    by_stem: dict[str, Path] = {}
    for nearby in (
        folder,
        *(base / name for base in (folder, folder.parent) for name in ("sph", "wav", "flac", "audio")),
    ):
        if nearby.is_dir():
            for path in sorted(nearby.iterdir()):
                if path.suffix.lower() in AUDIO_SUFFIXES:
                    by_stem.setdefault(path.stem, path)
    return by_stem
