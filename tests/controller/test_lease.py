"""Who leads, by both leases and by one's own clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import redis

from services.controller.lease import RENEW_S, TTL_S, Leadership, Lease, MemoryLease, Taken
from services.controller.redis import KEY, RedisLease
from services.shared.clock import ManualClock, SystemClock
from services.shared.errors import Unavailable
from tests.support.polling import BOUND_S, until
from tests.support.valkey import ValkeyServer, running_valkey


@pytest.fixture(params=["memory", "redis"])
async def lease(request: pytest.FixtureRequest) -> AsyncIterator[Lease]:
    made: Lease
    if request.param == "memory":
        made = MemoryLease(SystemClock())
    else:
        server: ValkeyServer = request.getfixturevalue("empty_valkey")
        made = RedisLease(server.url)
    yield made
    await made.close()


async def test_one_has_it_until_it_is_given_back(lease: Lease) -> None:
    assert await lease.take("a", 30.0) is Taken.NEW
    assert await lease.take("b", 30.0) is Taken.NOT
    assert await lease.take("a", 30.0) is Taken.KEPT
    await lease.give_back("b")
    assert await lease.take("b", 30.0) is Taken.NOT
    await lease.give_back("a")
    assert await lease.take("b", 30.0) is Taken.NEW


async def test_it_ends_by_itself_and_a_renewal_counts_from_its_own_time(lease: Lease) -> None:
    assert await lease.take("a", 0.1) is Taken.NEW
    assert await lease.take("a", 30.0) in (Taken.KEPT, Taken.NEW)  # a machine that is busy may take longer
    await asyncio.sleep(0.12)
    assert await lease.take("b", 0.1) is Taken.NOT
    assert await lease.take("a", 0.1) is Taken.KEPT
    async with asyncio.timeout(BOUND_S):
        while await lease.take("b", 30.0) is not Taken.NEW:
            await asyncio.sleep(0.01)


async def test_a_server_that_is_away_is_told_as_such(tmp_path_factory: pytest.TempPathFactory) -> None:
    with running_valkey(tmp_path_factory.mktemp("away")) as server:
        lease = RedisLease(server.url, timeout_s=0.1)
        await lease.take("a", 30.0)
        server.hang()
        with pytest.raises(Unavailable):
            await lease.take("a", 30.0)
        server.resume()
        await until_taken(lease)
        server.stop()
        with pytest.raises(Unavailable):
            await lease.give_back("a")
        await lease.close()


async def until_taken(lease: Lease) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                assert await lease.take("a", 30.0) is Taken.KEPT
            except Unavailable:
                continue
            return


def holds(leadership: Leadership) -> bool:
    return leadership.held


class AwayLease(MemoryLease):
    """One whose store may be away, or slow by `takes_s`."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.manual, self.away, self.takes_s = clock, False, 0.0

    async def take(self, holder: str, ttl_s: float) -> Taken:
        if self.away:
            raise Unavailable("no answer")
        taken = await super().take(holder, ttl_s)
        self.manual.advance(self.takes_s)
        return taken


async def test_a_leader_that_cannot_renew_stops_by_its_own_clock() -> None:
    clock = ManualClock()
    lease = AwayLease(clock)
    leadership = Leadership(lease, "a", clock)
    assert not holds(leadership)
    assert await leadership.renew()
    assert (leadership.held, leadership.term) == (True, 1)
    lease.away = True
    clock.advance(TTL_S - 0.01)
    assert not await leadership.renew()
    assert holds(leadership)
    assert leadership.away
    clock.advance(0.01)
    assert not holds(leadership)
    lease.away = False
    assert await leadership.renew()
    assert (leadership.held, leadership.term, leadership.away) == (True, 2, "")  # others may have led in between


async def test_a_lease_counts_from_when_it_was_asked_for() -> None:
    clock = ManualClock()
    lease = AwayLease(clock)
    leadership = Leadership(lease, "a", clock)
    lease.takes_s = TTL_S
    await leadership.renew()
    assert not holds(leadership)
    lease.takes_s = 1.0
    await leadership.renew()
    clock.advance(TTL_S - 1.01)
    assert holds(leadership)
    clock.advance(0.01)
    assert not holds(leadership)


async def test_who_gives_it_back_leads_no_more_and_another_does_at_once() -> None:
    clock = ManualClock()
    lease = MemoryLease(clock)
    one, other = Leadership(lease, "a", clock), Leadership(lease, "b", clock)
    await one.renew()
    await other.renew()
    assert (one.held, other.held) == (True, False)
    await one.give_back()
    await other.renew()
    assert (one.held, other.held) == (False, True)
    await one.renew()
    assert not one.held


async def test_a_term_stays_the_same_while_it_is_renewed(valkey: ValkeyServer) -> None:
    lease = RedisLease(valkey.url)
    leadership = Leadership(lease, "a-running-one", SystemClock())
    with redis.Redis.from_url(valkey.url) as plain:
        plain.delete(KEY)
        running = asyncio.create_task(leadership.run())
        await until(lambda: leadership.held)
        assert leadership.term == 1
        plain.pexpire(KEY, 1500)
        await until(lambda: plain.pttl(KEY) > 1500)
        assert (leadership.held, leadership.term) == (True, 1)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await leadership.give_back()
        assert plain.get(KEY) is None
    await lease.close()
    assert RENEW_S < TTL_S / 2


async def test_how_far_the_clocks_are_apart_is_known_once_the_server_has_answered(valkey: ValkeyServer) -> None:
    lease = RedisLease(valkey.url, clock=ManualClock(time.time() + 3600))
    assert lease.clock_offset_s is None
    await lease.take("a", 30.0)
    assert lease.clock_offset_s == pytest.approx(3600, abs=60)
    await lease.close()
