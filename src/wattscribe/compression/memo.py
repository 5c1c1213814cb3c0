"""What a run has measured, row by row in a file: the same command goes on without measuring it again.

JSON lines, each with a checksum as the rows of a bench journal have. A row is one write to the end of the file, so that a process
that is killed leaves whole rows, or one without its end, which is cut off. What was measured is found by contents (digests of
networks and of speech), never by a step's name: another question finds nothing here that is not its own.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from wattscribe import __version__
from wattscribe.errors import InputError
from wattscribe.journal_rows import checksum

T = TypeVar("T")
MARK = "measured"
"""The key that every row has: what was measured."""


class Memo:
    """Answers by kind and key. Without a path they are not kept beyond the process."""

    def __init__(self, path: Path | None = None) -> None:
        """Raises InputError for a place where nothing can be kept, a file that is no journal, and a row that is damaged."""
        self.path = path
        self._rows: dict[tuple[str, str], Any] = {}
        if path is not None:
            self._read(path)

    def __len__(self) -> int:
        return len(self._rows)

    def recall(
        self, kind: str, key: str, measure: Callable[[], T], *, of: Callable[[Any], T], to: Callable[[T], Any]
    ) -> T:
        """The answer that is known, or the one that `measure` gives; `to` and `of` make JSON of it and back."""
        known = (kind, f"{__version__}:{key}")
        if known not in self._rows:
            answer = measure()
            self._rows[known] = to(answer)
            self._append(*known, self._rows[known])
            return answer
        try:
            return of(self._rows[known])
        except (KeyError, TypeError, ValueError, InputError) as error:
            raise InputError(f"its answer to {kind} {key} is of another form", where=self.path, fix=_FIX) from error

    def remove(self) -> None:
        """The run is complete: nobody goes on from here."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    # --- the file ---------------------------------------------------------------------------------------------------
    def _append(self, kind: str, key: str, value: Any) -> None:
        if self.path is None:
            return
        text = json.dumps(value, separators=(",", ":"))
        row = json.dumps({MARK: kind, "key": key, "value": text, "checksum": checksum(kind, key, text)}) + "\n"
        try:
            file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                if os.write(file, row.encode("ascii")) != len(row):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            finally:
                os.close(file)
        except OSError as error:
            raise InputError(f"cannot be written: {error.strerror}", where=self.path, fix=_ROOM) from error

    def _read(self, path: Path) -> None:
        _refuse_place(path)
        try:
            whole = path.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror}", where=path, fix=_FIX) from error
        lines = whole.split(b"\n")
        for number, line in enumerate(lines[:-1], start=1):
            kind, key, value = _row(line, number, path)
            self._rows[kind, key] = value
        if lines[-1]:
            if not lines[-1].startswith(f'{{"{MARK}"'.encode()[: len(lines[-1])]):
                raise InputError("is no journal of compress", where=path, fix=_OTHER)
            os.truncate(path, len(whole) - len(lines[-1]))  # a row that a killed process did not finish


_OTHER = "Give `storage` another file"
_ROOM = "Make room, or give `storage` another file"
_FIX = "Delete it to measure again, or give `storage` another file"

_LINE = "Delete that line to measure it again, or give `storage` another file"


def _refuse_place(path: Path) -> None:
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise InputError("is no plain file", where=path, fix=_OTHER)
    if not path.absolute().parent.is_dir():
        raise InputError("its parent directory does not exist", where=path, fix="Create it first")
    if not os.access(path if path.exists() else path.absolute().parent, os.W_OK):
        raise InputError("cannot be written", where=path, fix=_OTHER)


def _row(line: bytes, number: int, path: Path) -> tuple[str, str, Any]:
    """(kind, key, value) of a line. Raises InputError that names it."""
    try:
        row = json.loads(line)
        kind, key, text = row[MARK], row["key"], row["value"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        if number == 1:
            raise InputError("is no journal of compress", where=path, fix=_OTHER) from error
        raise InputError(f"line {number} is damaged", where=path, fix=_LINE) from error
    kinds = isinstance(kind, str) and kind.isascii() and isinstance(key, str) and isinstance(text, str)
    if not kinds or row.get("checksum") != checksum(kind, key, text):
        raise InputError(
            f"line {number} is damaged: it does not fit its checksum",
            where=path,
            fix=_LINE,
        )
    return kind, key, json.loads(text)
