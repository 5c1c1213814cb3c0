"""Files that users name are opened here: a pipe or a device in a file's place is an error at once, never a wait without end.

Whoever reads a named pipe waits for a writer, and `/dev/zero` has no end. The error is an OSError, as a folder in a file's place
is, so that each reader says it in its own words.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

_KINDS = {
    stat.S_IFIFO: "it is a pipe, not a file",
    stat.S_IFSOCK: "it is a socket, not a file",
    stat.S_IFCHR: "it is a device, not a file",
    stat.S_IFBLK: "it is a device, not a file",
}


def open_bytes(path: str | os.PathLike[str]) -> BinaryIO:
    """To read. Raises OSError, also for what is not a regular file."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    kind = stat.S_IFMT(os.fstat(descriptor).st_mode)
    if kind == stat.S_IFREG:
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if kind == stat.S_IFDIR:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    raise OSError(errno.EINVAL, _KINDS.get(kind, "it is not a regular file"), os.fspath(path))


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """As `Path.read_bytes`."""
    with open_bytes(path) as file:
        return file.read()


def read_text(path: str | os.PathLike[str], *, encoding: str = "utf-8", errors: str = "strict") -> str:
    """As `Path.read_text`, with ends of lines as they are read in text. Raises UnicodeDecodeError too."""
    return read_bytes(path).decode(encoding, errors).replace("\r\n", "\n").replace("\r", "\n")


def check(path: str | os.PathLike[str]) -> Path:
    """For readers that open it by name themselves. Raises OSError unless it is an ordinary file that can be opened."""
    open_bytes(path).close()
    return Path(path)
