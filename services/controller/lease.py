"""Who leads: of any number of controllers one holds a lease, and knows by its own clock until when.

A lease is good for TTL_S from the moment it was asked for, however long the answer took: the store counts from a later
one. So a leader that could not renew stops before another can begin, as long as both clocks run at one speed. What it
may have sent by then is harmless, because every write names the revision that it replaces.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from typing import Protocol

from services.shared.clock import Clock
from services.shared.errors import Unavailable

_log = logging.getLogger(__name__)

TTL_S = 3.0
RENEW_S = 1.0
_AGAIN_S = 0.25  # until a store that is away is asked again


class Taken(enum.Enum):
    """NEW: nobody held the lease, and now the caller does. KEPT: it did all along. NOT: another does."""

    NEW = "new"
    KEPT = "kept"
    NOT = "not"


class Lease(Protocol):
    """Atomic; every method raises Unavailable when the store cannot be used."""

    async def take(self, holder: str, ttl_s: float) -> Taken:
        """Takes or renews it for `ttl_s` from now on."""
        ...

    async def give_back(self, holder: str) -> None:
        """Ends it where `holder` has it."""
        ...

    async def close(self) -> None: ...


class MemoryLease:
    """A lease among the controllers of one process, for tests."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._holder, self._until = "", float("-inf")

    async def take(self, holder: str, ttl_s: float) -> Taken:
        now = self._clock.monotonic()
        expired = now >= self._until
        if not expired and holder != self._holder:
            return Taken.NOT
        self._holder, self._until = holder, now + ttl_s
        return Taken.NEW if expired else Taken.KEPT

    async def give_back(self, holder: str) -> None:
        if holder == self._holder:
            self._until = float("-inf")

    async def close(self) -> None:
        """Nothing to free."""


class Leadership:
    """`run` takes the lease and renews it. `term` is another one whenever others may have led in between: what a leader
    remembers is good for its term only."""

    def __init__(self, lease: Lease, holder: str, clock: Clock) -> None:
        self._lease = lease
        self._holder = holder
        self._clock = clock
        self._until = float("-inf")
        self.term = 0
        self.away = ""  # why the store cannot be asked; empty when it can

    @property
    def held(self) -> bool:
        """Whether this controller may act now."""
        return self._clock.monotonic() < self._until

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(RENEW_S if await self.renew() else _AGAIN_S)

    async def renew(self) -> bool:
        """Asks once; False, and never an error, when the store is away."""
        asked_s = self._clock.monotonic()
        try:
            async with asyncio.timeout(TTL_S / 2):
                taken = await self._lease.take(self._holder, TTL_S)
        except (Unavailable, TimeoutError) as error:
            if not self.away:
                _log.warning("the lease cannot be renewed", extra={"reason": str(error)})
            self.away = "the release store cannot be used"
            return False
        self.away = ""
        was_held = self.held
        self._until = asked_s + TTL_S if taken is not Taken.NOT else float("-inf")
        if self.held and not (was_held and taken is Taken.KEPT):
            self.term += 1
            _log.info("this controller leads", extra={"holder": self._holder, "term": self.term})
        elif was_held and not self.held:
            _log.warning("this controller leads no more", extra={"holder": self._holder})
        return True

    async def give_back(self) -> None:
        """Lets another one lead at once; never raises."""
        self._until = float("-inf")
        try:
            async with asyncio.timeout(TTL_S / 2):
                await self._lease.give_back(self._holder)
        except (Unavailable, TimeoutError) as error:
            _log.warning("the lease was not given back and ends by itself", extra={"reason": str(error)})
