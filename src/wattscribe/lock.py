"""One writer at a time: an advisory lock that names its holder and dies with it."""

from __future__ import annotations

import fcntl
import os
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
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 64).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise InputError(
                f"process {holder} is writing this run",
                where=path.parent,
                fix="Wait for it, or write to another --out",
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
