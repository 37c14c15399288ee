"""How long a command tries again before it gives up."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.markup import escape

from services.cli.jobs.server import Final, Passing, Silence
from services.cli.terminal import err

MAX_WAIT_S = 300.0  # in one go without an answer: longer than a server needs to start again
_FIRST_S = 0.5
_LONGEST_S = 10.0
_SHOWN_FROM_S = 2.0


def next_wait_s(
    attempt: int, waited_s: float, retry_after_s: float | None, max_wait_s: float = MAX_WAIT_S
) -> float | None:
    """The pause after failed attempt number `attempt` (from 0), or None when it is enough.

    0.5, 1, 2, 4, 8, 10, 10 … s, or what the server says where that is longer; all pauses together are at most
    `max_wait_s`, so a quota that comes back tomorrow is not waited for.
    """
    pause_s = max(min(_FIRST_S * 2 ** min(attempt, 10), _LONGEST_S), retry_after_s or 0.0)
    return pause_s if waited_s + pause_s <= max_wait_s else None


class Patience:
    """One command's. `pause` sleeps for so many seconds."""

    def __init__(self, pause: Callable[[float], object] = time.sleep) -> None:
        self.pause = pause
        self._attempt = 0
        self._waited_s = 0.0
        self._said = ""

    def answered(self) -> None:
        """The server is there: waiting begins anew."""
        self._attempt, self._waited_s, self._said = 0, 0.0, ""

    def wait(self, failure: Passing, *, max_wait_s: float = MAX_WAIT_S) -> None:
        """Sleeps, and says so once where it takes a while; raises Final when it is enough."""
        pause_s = next_wait_s(self._attempt, self._waited_s, failure.retry_after_s, max_wait_s)
        if pause_s is None:
            raise Final(failure.detail, failure.code) from failure
        is_worth_a_line = not isinstance(failure, Silence) and failure.detail != self._said
        if is_worth_a_line and (self._attempt or pause_s >= _SHOWN_FROM_S):
            err.print(f"[yellow]waiting:[/] {escape(failure.detail)}; trying again in {pause_s:g} s", soft_wrap=True)
            self._said = failure.detail
        self.pause(pause_s)
        self._attempt += 1
        self._waited_s += pause_s
