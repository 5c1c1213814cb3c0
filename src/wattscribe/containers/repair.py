"""A recording that is decoded differently from how it is stored: its beginning replaced, its end cut off, nothing copied."""

from __future__ import annotations

import io
import mmap
from dataclasses import dataclass
from typing import Any

Bytes = bytes | mmap.mmap

AGAIN = "Copy or record it again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """How to read a file: `head`, then its bytes from `skip` to `end`."""

    head: bytes
    skip: int
    end: int


class RepairedFile(io.RawIOBase):
    """A file read so. The caller keeps `data` open as long as it reads."""

    def __init__(self, data: Bytes, repair: Repair) -> None:
        super().__init__()
        self._data, self._head, self._skip = data, repair.head, repair.skip
        self._size = len(repair.head) + max(repair.end - repair.skip, 0)
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(start + offset, 0)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        count = max(min(len(buffer), self._size - self._at), 0)
        own = self._head[self._at : self._at + count]
        begin = self._skip + self._at + len(own) - len(self._head)
        buffer[:count] = own + self._data[begin : begin + count - len(own)]
        self._at += count
        return count
