"""A recording that the decoder reads otherwise than it lies on disk: its beginning replaced, its end cut off, nothing copied."""

from __future__ import annotations

import io
import mmap
from typing import Any

Bytes = bytes | mmap.mmap

AGAIN = "Copy or record it again"


class Mended(io.RawIOBase):
    """`head`, then the bytes of `data` from `skip` to `end`. The caller keeps `data` open as long as it reads."""

    def __init__(self, data: Bytes, *, head: bytes, skip: int, end: int) -> None:
        super().__init__()
        self._data, self._head, self._skip = data, head, skip
        self._size = len(head) + max(end - skip, 0)
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
