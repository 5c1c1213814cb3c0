"""What cannot be written is reported with the fix that applies: room on the disk, or another place."""

from __future__ import annotations

import errno
from pathlib import Path

from wattscribe.errors import TrainingError


def cannot_write(what: str, where: Path, error: OSError, *, kept: str | None = None) -> TrainingError:
    """The error of `what`, which could not be written; `kept` says what is safe after a full disk."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return TrainingError(f"the disk is full: {what} was not written ({error.strerror})", where=where,
                             fix=f"Free some disk space, then start again{f': {kept}' if kept else ''}")  # fmt: skip
    if isinstance(error, (FileExistsError, NotADirectoryError)):
        return TrainingError(f"{what} cannot be written: a file stands where a folder is wanted", where=where,
                             fix="Give another folder")  # fmt: skip
    return TrainingError(f"{what} cannot be written: {error.strerror or error}", where=where,
                         fix="Give a folder that may be written to")  # fmt: skip
