"""A file that appears whole or not at all: written beside its place, then renamed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from wattscribe.errors import InputError

NEW_FILE_MODE = 0o666


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """A new file in the same folder, to be written; in the end it takes `path`'s place, or is gone where that failed.

    Raises InputError where a link or a device stands there, through which nothing is written, and OSError as writing does.
    """
    if path.is_symlink() or (path.exists() and not path.is_file() and not path.is_dir()):
        raise InputError("this is a link or a device, which is never written through", where=path, fix="Name a file")
    if path.is_dir():
        raise IsADirectoryError(path)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".new")
    draft = Path(name)
    try:
        os.fchmod(descriptor, _mode(path))
        os.close(descriptor)
        yield draft
        draft.replace(path)
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise


def write_text(path: Path, text: str) -> None:
    """The text, in UTF-8; a lone surrogate, which UTF-8 has not, becomes a question mark."""
    with beside(path) as draft:
        draft.write_text(text, encoding="utf-8", errors="replace")


def _mode(path: Path) -> int:
    """That of the file which is replaced, or what any new file gets."""
    with suppress(OSError):
        return path.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return NEW_FILE_MODE & ~mask
