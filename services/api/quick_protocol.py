"""A connection on which small predictions are answered without being taken apart by the parser."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from services.api.alarm import Alarm
from services.api.bounded_protocol import BoundedProtocol
from services.api.connection_bounds import ConnectionBounds
from services.api.quick_post import MAX_BODY_BYTES, MAX_HEAD_BYTES, Unread
from services.api.request_cycle import Refuse

_WHOLE_S = 0.05  # how long the rest of a request is waited for before the parser gets what there is
_MAX_HELD_BYTES = MAX_HEAD_BYTES + MAX_BODY_BYTES


class QuickConnection(Protocol):
    """What who answers quickly needs of a connection. One request at a time is offered, and its answer, or the word
    that the application is to answer, may come before `offer` returns."""

    @property
    def answer_headers(self) -> list[tuple[bytes, bytes]]:
        """What every answer has beside its own."""
        ...

    @property
    def is_secure(self) -> bool: ...

    @property
    def is_ending(self) -> bool:
        """The answer is the connection's last, and has to say so."""
        ...

    def answer_quickly(self, answer: bytes) -> None:
        """The whole answer, head and body."""
        ...

    def give_back(self) -> None:
        """The application is to answer."""
        ...


class Asked(Protocol):
    """A request that is being answered, or was."""

    def leave(self) -> None:
        """The client is gone: no answer is wanted."""
        ...


class QuickAnswers(Protocol):
    def offer(self, connection: QuickConnection, data: bytes) -> Asked | Unread:
        """Takes the request that `data` is, from first to last byte, or says who is to have it. Never raises."""
        ...


class QuickProtocol(BoundedProtocol):
    """What begins between two requests is offered to `quick` first. While that answers, what else comes is held."""

    def __init__(
        self,
        config: Any,
        server_state: Any,
        app_state: Any,
        loop: asyncio.AbstractEventLoop,
        bounds: ConnectionBounds,
        on_close: Callable[[], None],
        quick: QuickAnswers,
        refuse: Refuse | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, loop, bounds, on_close, refuse)
        self._quick = quick
        self._asked: Asked | None = None
        self._offered = b""
        self._held = b""  # what came behind the offered request, or the beginning of one
        self._rest_due = Alarm(loop, _WHOLE_S, self._parse_held)
        self.is_ending = False

    @property
    def answer_headers(self) -> list[tuple[bytes, bytes]]:
        headers: list[tuple[bytes, bytes]] = self.server_state.default_headers
        return headers

    @property
    def is_secure(self) -> bool:
        return self.scheme == "https"

    def connection_lost(self, exc: Exception | None) -> None:
        self._rest_due.close()
        asked, self._asked = self._asked, None
        if asked is not None:
            asked.leave()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        self.is_ending = True
        if self._asked is None:
            self._parse_held()
            super().shutdown()

    def data_received(self, data: bytes) -> None:
        if self._asked is not None:
            self._held += data
            if len(self._held) > _MAX_HELD_BYTES:
                self.flow.pause_reading()
            return
        if self._held:
            self._rest_due.stop()
            data, self._held = self._held + data, b""
        if self.flow.write_paused or not self.is_between_requests:
            super().data_received(data)
            return
        self._offered = data
        outcome = self._quick.offer(self, data)
        if outcome is Unread.PARSER:
            self._offered = b""
            super().data_received(data)
        elif outcome is Unread.MORE:
            self._offered = b""
            self._held = data
            self._idle.stop()
            self._rest_due.start()
        elif self._offered:  # there is no answer yet
            self._asked = outcome
            self._headers_due.stop()
            self._idle.stop()

    def answer_quickly(self, answer: bytes) -> None:
        self._asked, self._offered = None, b""
        self.server_state.total_requests += 1
        self.transport.write(answer)
        if self.is_ending:
            self.transport.close()
            return
        self._headers_due.stop()
        self._idle.start()
        if self._held:
            self._go_on()

    def give_back(self) -> None:
        data, self._asked, self._offered = self._offered, None, b""
        super().data_received(data)
        self._parse_held()
        if self.is_ending:
            super().shutdown()

    def _go_on(self) -> None:
        held, self._held = self._held, b""
        self.flow.resume_reading()
        self.data_received(held)

    def _parse_held(self) -> None:
        self._rest_due.stop()
        held, self._held = self._held, b""
        if held:
            self.flow.resume_reading()
            super().data_received(held)
