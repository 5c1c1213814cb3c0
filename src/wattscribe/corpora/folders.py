"""Every file below a folder, through links too: speakers and noises are often links into another disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Below:
    """What lies below a folder; nothing of it is left out without a word."""

    files: tuple[Path, ...]
    """By relative path."""
    lost: tuple[tuple[Path, str], ...]
    """Links that lead nowhere and folders that cannot be read, with the reason."""


def files_below(folder: Path) -> Below:
    """Walk a folder; each real folder once, so that a link to one of its parents ends.

    A folder that is there itself goes before a link to it, whatever their names, so that its files keep their place.
    """
    files: list[Path] = []
    lost: list[tuple[Path, str]] = []
    links: list[Path] = [folder]
    seen: set[tuple[int, int]] = set()
    while links:
        waiting, links = sorted(links), []
        for link in waiting:
            for path, reason in _walk(link, seen, links):
                if reason is None:
                    files.append(path)
                else:
                    lost.append((path, reason))
    return Below(files=tuple(sorted(files, key=lambda path: path.relative_to(folder).as_posix())), lost=tuple(lost))


def _walk(folder: Path, seen: set[tuple[int, int]], links: list[Path]) -> Iterator[tuple[Path, str | None]]:
    """Files below, without those behind links to folders, which are added to `links`."""
    try:
        status = folder.stat()
        if (status.st_dev, status.st_ino) in seen:
            return
        seen.add((status.st_dev, status.st_ino))
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        yield folder, f"the folder cannot be read ({error.strerror})"
        return
    for entry in entries:
        path = folder / entry.name
        if entry.is_symlink() and not path.exists():
            yield path, "the link leads nowhere"
        elif entry.is_symlink() and path.is_dir():
            links.append(path)
        elif entry.is_dir():
            yield from _walk(path, seen, links)
        elif path.is_file():
            yield path, None
