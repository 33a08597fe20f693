"""Read large stored files from beginning to end: in large pieces, prefetching the next ones.

An object store needs a request for each read, so small reads cost more than they bring.
"""

import io
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pyarrow as pa

PIECE = 8 * 1024 * 1024
"""Bytes per request."""
AHEAD = 2
"""Pieces requested while one is in use."""


class ReadAhead(io.RawIOBase):
    """The bytes of an open pyarrow file, to be read once; a context manager that closes the file.

    Reading raises the file's errors.
    """

    def __init__(self, file: pa.NativeFile) -> None:
        self._file = file
        self.size: int = file.size()
        self._asked = 0
        self._threads = ThreadPoolExecutor(AHEAD)
        self._coming: deque[Future[bytes]] = deque()
        self._piece = memoryview(b"")

    def readable(self) -> bool:
        """It can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer from the current piece; 0 at the end of the file."""
        if not self._piece:
            self._piece = memoryview(self._next())
        count = min(len(buffer), len(self._piece))
        buffer[:count] = self._piece[:count]
        self._piece = self._piece[count:]
        return count

    def _next(self) -> bytes:
        while self._asked < self.size and len(self._coming) <= AHEAD:
            length = min(PIECE, self.size - self._asked)
            self._coming.append(self._threads.submit(self._file.read_at, length, self._asked))
            self._asked += length
        return self._coming.popleft().result() if self._coming else b""

    def close(self) -> None:
        """Wait for pending requests, and close the file."""
        if not self.closed:
            self._threads.shutdown(cancel_futures=True)
            self._file.close()
        super().close()
