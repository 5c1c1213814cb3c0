"""One writer at a time: an advisory lock that names its holder and dies with it."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from wattscribe.errors import InputError


@dataclass(slots=True, kw_only=True)
class Lock:
    """The kernel drops the lock with the process that holds it, so that a dead writer's is free for the next one.

    The file's text is the holder's process id, for the message; it stays behind, empty, when the lock is released.
    """

    path: Path
    descriptor: int | None

    @classmethod
    def take(cls, path: Path) -> Lock:
        """Raises InputError that names the process which holds it, OSError when the file cannot be written."""
        descriptor = _opened(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 64).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise InputError(
                f"process {holder} is writing this run",
                where=path.parent,
                fix="Wait for it, or write to another `out`",
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
        return cls(path=path, descriptor=descriptor)

    def release(self) -> None:
        """Let the next writer in; idempotent."""
        if self.descriptor is not None:
            os.ftruncate(self.descriptor, 0)
            os.close(self.descriptor)
            self.descriptor = None


def _opened(path: Path) -> int:
    """The lock's file, and no other that a link or a device leads to: it is emptied when the lock is released."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise link_in_the_way(path) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InputError("this is not a regular file", where=path, fix="Remove it, or choose another `out`")
    return descriptor


def link_in_the_way(path: Path) -> InputError:
    """What to say where a run would write through a symbolic link into a file that is not its own."""
    return InputError(
        "this is a symbolic link, and a run does not write through links",
        where=path,
        fix="Remove it, or choose another `out`",
    )
