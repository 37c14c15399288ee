"""Closing a connection whose other side may still be sending."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from services.api.alarm import Alarm


class LingeringTransport(asyncio.Transport):
    """A transport whose `close` first says that no more comes, and closes when the other side has ended or after
    `linger_s`, as long as `sending()` is true.

    A socket closed with unread data resets its connection, and the reset makes the other side's kernel throw away an
    answer that was not read yet (RFC 9112, 9.6): a client would see "connection reset" instead of 413.
    Whoever reads must throw away what comes while `is_closing()`.
    """

    def __init__(
        self,
        inner: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        *,
        linger_s: float,
        sending: Callable[[], bool],
    ) -> None:
        super().__init__()
        self._inner = inner
        self._sending = sending
        self._closing = False
        self._end = Alarm(loop, linger_s, inner.abort)

    def close(self) -> None:
        if self.is_closing():
            return
        self._closing = True
        if not self._sending():
            self._inner.close()
            return
        self._end.start()
        self._inner.resume_reading()
        if self._inner.can_write_eof():  # TLS cannot: there the answer's own length tells that it is whole
            self._inner.write_eof()

    def lost(self) -> None:
        """To be called when the connection has ended."""
        self._closing = True
        self._sending = bool  # never
        self._end.close()

    def abort(self) -> None:
        self._closing = True
        self._inner.abort()

    def is_closing(self) -> bool:
        return self._closing or self._inner.is_closing()

    def write(self, data: Any) -> None:
        if not self.is_closing():
            self._inner.write(data)

    def get_write_buffer_size(self) -> int:
        return self._inner.get_write_buffer_size()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._inner.get_extra_info(name, default)

    def pause_reading(self) -> None:
        if not self.is_closing():
            self._inner.pause_reading()

    def resume_reading(self) -> None:
        if not self.is_closing():
            self._inner.resume_reading()
