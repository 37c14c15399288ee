"""Random bytes from the system's source, fetched many at a time: a system call for each id costs more than the id."""

from __future__ import annotations

import os

_FETCHED = 4096


class _Pool:
    def __init__(self) -> None:
        self._bytes, self._at, self._pid = b"", _FETCHED, 0

    def take(self, count: int) -> bytes:
        if self._at + count > _FETCHED or self._pid != os.getpid():  # a fork would hand the same bytes to two processes
            self._bytes, self._at, self._pid = os.urandom(_FETCHED), 0, os.getpid()
        self._at += count
        return self._bytes[self._at - count : self._at]


_pool = _Pool()


def random_bytes(count: int) -> bytes:
    """`count` bytes that nobody can guess; for ids, not for keys. To be called in one thread."""
    return _pool.take(count) if count <= _FETCHED else os.urandom(count)
