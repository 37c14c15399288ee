"""Random bytes from the system's source, fetched many at a time: a system call for each id costs more than the id."""

from __future__ import annotations

import os

_FETCHED = 4096


class _Pool:
    def __init__(self) -> None:
        self._bytes, self._at = b"", _FETCHED

    def empty(self) -> None:
        self._at = _FETCHED

    def take(self, count: int) -> bytes:
        """`count` bytes that nobody can guess; for ids, not for keys. To be called in one thread."""
        if count > _FETCHED:
            return os.urandom(count)
        if self._at + count > _FETCHED:
            self._bytes, self._at = os.urandom(_FETCHED), 0
        self._at += count
        return self._bytes[self._at - count : self._at]


_pool = _Pool()
os.register_at_fork(after_in_child=_pool.empty)  # else two processes would give the same bytes
random_bytes = _pool.take
