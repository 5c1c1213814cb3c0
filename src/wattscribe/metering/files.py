"""Sensor files: kept open, re-read with pread, and told apart when they are empty, forbidden, busy or gone."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

GONE = frozenset({errno.ENODEV, errno.ENOENT, errno.ENXIO, errno.ESTALE, errno.EBADF, errno.ENOTDIR})
"""The device was unbound, or renumbered: the path must be looked up again."""
FORBIDDEN = frozenset({errno.EACCES, errno.EPERM})


class SensorFiles:
    """A file system seen from `root`, so that a tree of another board can stand in for this machine's /sys and /proc.

    `testing.FaultyFiles` overrides `pread` to let reads fail as real sensors do.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self.root = root
        self.is_copy = root != Path("/")
        """A copied tree keeps answering through an open file that was removed; the kernel's own files do not."""

    def path(self, name: str) -> Path:
        """`sys/class/…` or `/sys/class/…` → the path below the root."""
        return self.root / name.lstrip("/")

    def glob(self, pattern: str) -> list[Path]:
        """Matching paths in natural order: `hwmon2` before `hwmon10`."""
        return sorted(self.root.glob(pattern.lstrip("/")), key=_natural)

    def text(self, path: Path) -> str | None:
        """The stripped content, or None where it is missing, empty or cannot be read."""
        return self.text_or_error(path)[0]

    def text_or_error(self, path: Path) -> tuple[str | None, OSError | None]:
        """Like `text`, with the error, so that `forbidden` can be told from `missing`."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            return None, error
        try:
            return self.pread(path, fd).decode("utf-8", "replace").strip(" \n\t\0") or None, None
        except OSError as error:
            return None, error
        finally:
            os.close(fd)

    def number(self, path: Path) -> float | None:
        """The content as a number, or None."""
        text = self.text(path)
        try:
            return None if text is None else float(text)
        except ValueError:
            return None

    def write(self, path: Path, text: str) -> None:
        """Give a file that the kernel made a new value; it is never created. Raises OSError."""
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | (os.O_TRUNC if self.is_copy else 0))
        try:
            os.write(fd, text.encode("ascii"))
        finally:
            os.close(fd)

    def pread(self, path: Path, fd: int) -> bytes:
        """Read from the start. `path` is for those who override this."""
        return os.pread(fd, 4096, 0)


class OpenFile:
    """A file that is read again and again: it stays open; a failed read is None and kept in `last_error`."""

    __slots__ = ("_fd", "_files", "last_error", "path")

    def __init__(self, files: SensorFiles, path: Path) -> None:
        self._files = files
        self._fd = -1
        self.path = path
        self.last_error: OSError | None = None

    @property
    def gone(self) -> bool:
        """True: the last read failed because the file is no longer there."""
        return self.last_error is not None and self.last_error.errno in GONE

    @property
    def forbidden(self) -> bool:
        return self.last_error is not None and self.last_error.errno in FORBIDDEN

    def content(self) -> bytes | None:
        """What it holds now; None where it is busy, forbidden or gone."""
        try:
            if self._fd < 0:
                self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            content = self._files.pread(self.path, self._fd)
            if self._files.is_copy and os.fstat(self._fd).st_nlink == 0:
                raise OSError(errno.ENODEV, "the file was removed")
        except OSError as error:
            self.last_error = error
            self.close()
            return None
        self.last_error = None
        return content

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class ValueFile(OpenFile):
    """One number that is read again and again; a failed read is None and counted, never 0."""

    __slots__ = ()

    def read(self) -> float | None:
        """The number in the file's own unit; None where it is empty, no number, busy, forbidden or gone."""
        content = self.content()
        try:
            return None if content is None else float(content)
        except ValueError:
            return None


class MovingFile:
    """A ValueFile whose path may change while we read: when it is gone, `find` is asked for the new one."""

    __slots__ = ("_files", "_find", "file")

    def __init__(self, files: SensorFiles, path: Path, find: Callable[[], Path | None]) -> None:
        self._files = files
        self._find = find
        self.file = ValueFile(files, path)

    def read(self) -> float | None:
        """As `ValueFile.read`, tried once more at the new place."""
        value = self.file.read()
        if value is None and self.file.gone:
            path = self._find()
            if path is not None:
                self.file = ValueFile(self._files, path)
                value = self.file.read()
        return value

    @property
    def gone(self) -> bool:
        return self.file.gone

    @property
    def forbidden(self) -> bool:
        return self.file.forbidden

    def close(self) -> None:
        self.file.close()


def _natural(path: Path) -> list[tuple[int, int, str]]:
    return list(_parts(str(path)))


def _parts(text: str) -> Iterator[tuple[int, int, str]]:
    number, word = "", ""
    for letter in text + "\0":
        if letter.isdigit():
            if word:
                yield 1, 0, word
                word = ""
            number += letter
        else:
            if number:
                yield 0, int(number), ""
                number = ""
            word += letter
    yield 1, 0, word
