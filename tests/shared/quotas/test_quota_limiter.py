"""The contract of QuotaLimiter, over every implementation, and what is special to the shared one."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.shared.clock import ManualClock
from services.shared.errors import RateLimited
from services.shared.keys.base import ApiKey, Scope
from services.shared.keys.issue import NewKey, issue
from services.shared.quotas.base import QuotaLimiter
from services.shared.quotas.memory import MemoryQuotaLimiter
from services.shared.quotas.redis import RedisQuotaLimiter
from tests.support.valkey import ValkeyServer, running_valkey


def key(rate: float | None = None, burst: int | None = None, daily: int | None = None) -> ApiKey:
    return issue(NewKey("k", frozenset({Scope.PREDICT}), rate, burst, daily), now=0.0).key


SLOW = 1 / 3600  # so slow that nothing is given back while a test runs


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_700_006_400.0 + 80_000)  # 6,400 s before midnight UTC


@pytest.fixture(params=["memory", "redis"])
async def limiter(request: pytest.FixtureRequest, clock: ManualClock) -> AsyncIterator[QuotaLimiter]:
    if request.param == "memory":
        yield MemoryQuotaLimiter(clock)
    else:
        shared = RedisQuotaLimiter(request.getfixturevalue("valkey").url, clock=clock, timeout_s=10)
        yield shared
        await shared.close()


async def let_through(limiter: QuotaLimiter, key: ApiKey, attempts: int) -> int:
    async def one() -> bool:
        try:
            await limiter.check(key)
        except RateLimited:
            return False
        return True

    return sum([await one() for _ in range(attempts)])


async def test_a_key_without_limits_is_never_refused(limiter: QuotaLimiter) -> None:
    assert await let_through(limiter, key(), 200) == 200


async def test_a_burst_is_let_through_and_the_next_one_told_when_to_come_back(limiter: QuotaLimiter) -> None:
    limited = key(SLOW, 5)
    assert await let_through(limiter, limited, 5) == 5
    with pytest.raises(RateLimited, match="this key may send 5 requests in 18000 s") as caught:
        await limiter.check(limited)
    assert caught.value.retry_after_s is not None
    assert 17_900 < caught.value.retry_after_s <= 18_000


async def test_one_key_does_not_use_up_what_another_has(limiter: QuotaLimiter) -> None:
    one, other = key(SLOW, 2), key(SLOW, 2)
    assert await let_through(limiter, one, 3) == 2
    assert await let_through(limiter, other, 3) == 2


async def test_who_waits_as_long_as_told_is_let_through(limiter: QuotaLimiter) -> None:
    limited = key(2.0, 2)
    assert await let_through(limiter, limited, 2) == 2
    with pytest.raises(RateLimited) as caught:
        await limiter.check(limited)
    wait_s = caught.value.retry_after_s
    assert wait_s is not None
    assert 0 <= wait_s <= 1
    await asyncio.sleep(wait_s + 0.001)
    await limiter.check(limited)


async def test_a_cost_counts_as_so_many_requests(limiter: QuotaLimiter) -> None:
    limited = key(SLOW, 10)
    await limiter.check(limited, 7)
    with pytest.raises(RateLimited):
        await limiter.check(limited, 4)
    await limiter.check(limited, 3)  # what was refused was not counted


async def test_a_cost_beyond_the_limit_says_that_it_can_never_pass(limiter: QuotaLimiter) -> None:
    with pytest.raises(RateLimited, match="send fewer at a time"):
        await limiter.check(key(10.0, 10), 11)


async def test_a_day_ends_at_midnight_utc_whenever_it_began(limiter: QuotaLimiter, clock: ManualClock) -> None:
    limited = key(daily=3)
    assert await let_through(limiter, limited, 4) == 3
    with pytest.raises(RateLimited, match="3 requests a day") as caught:
        await limiter.check(limited)
    assert caught.value.retry_after_s == 6_400
    clock.advance(6_399)
    assert await let_through(limiter, limited, 1) == 0
    clock.advance(1)
    assert await let_through(limiter, limited, 4) == 3


async def test_what_the_day_refuses_leaves_the_rest_of_the_day(limiter: QuotaLimiter) -> None:
    limited = key(daily=10)
    await limiter.check(limited, 8)
    with pytest.raises(RateLimited):
        await limiter.check(limited, 3)
    await limiter.check(limited, 2)


async def test_what_the_rate_refuses_costs_nothing_of_the_day(limiter: QuotaLimiter) -> None:
    limited = key(SLOW, 1, daily=2)
    assert await let_through(limiter, limited, 50) == 1
    unlimited_rate = ApiKey(limited.key_id, "k", limited.scopes, "", 0.0, daily_quota=2)
    assert await let_through(limiter, unlimited_rate, 5) == 1


async def test_many_at_once_never_get_more_than_the_limit(limiter: QuotaLimiter) -> None:
    limited = key(SLOW, 20, daily=15)
    outcomes = await asyncio.gather(*(limiter.check(limited) for _ in range(100)), return_exceptions=True)
    assert sum(outcome is None for outcome in outcomes) == 15
    assert all(outcome is None or isinstance(outcome, RateLimited) for outcome in outcomes)


def _count(url: str, limited: ApiKey, attempts: int, answers: multiprocessing.Queue[int]) -> None:
    async def run() -> int:
        limiter = RedisQuotaLimiter(url, timeout_s=10)
        try:
            return await let_through(limiter, limited, attempts)
        finally:
            await limiter.close()

    answers.put(asyncio.run(run()))


async def test_processes_count_together(valkey: ValkeyServer) -> None:
    context = multiprocessing.get_context("spawn")
    answers: multiprocessing.Queue[int] = context.Queue()
    limited = key(SLOW, 30, daily=25)
    processes = [context.Process(target=_count, args=(valkey.url, limited, 20, answers)) for _ in range(2)]
    for process in processes:
        process.start()
    counts = [await asyncio.to_thread(answers.get, True, 60) for _ in processes]
    for process in processes:
        process.join(20)
    assert sum(counts) == 25


@pytest.mark.parametrize("how", ["hangs", "is gone"])
async def test_while_the_store_is_away_each_process_counts_alone_and_then_together_again(
    tmp_path: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    caplog.set_level(logging.INFO, "services.shared.quotas")
    limited = key(SLOW, 4)
    with running_valkey(tmp_path) as server:
        one, other = (RedisQuotaLimiter(server.url, clock=clock, timeout_s=0.5) for _ in range(2))
        await one.check(limited)
        if how == "hangs":
            server.hang()
        else:
            server.stop()
        async with asyncio.timeout(10):
            assert await let_through(one, limited, 20) == 4  # its own count begins afresh
            outcomes = await asyncio.gather(*(one.check(key(SLOW, 4)) for _ in range(200)), return_exceptions=True)
        assert outcomes == [None] * 200
        assert [r.levelname for r in caplog.records] == ["WARNING"]
        if how == "hangs":
            server.resume()
        else:
            server.start()
        clock.advance(1.0)
        shared = key(SLOW, 4)
        assert await let_through(one, shared, 2) == 2
        assert await let_through(other, shared, 20) == 2
        assert [r.levelname for r in caplog.records] == ["WARNING", "INFO"]
        await one.close()
        await other.close()


async def test_a_server_that_was_started_again_is_not_noticed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with running_valkey(tmp_path) as server:
        limiter = RedisQuotaLimiter(server.url, timeout_s=10)
        await limiter.check(key(10.0))
        server.stop()
        server.start()
        await limiter.check(key(10.0))
        assert not caplog.records
        await limiter.close()
