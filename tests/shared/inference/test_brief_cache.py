from __future__ import annotations

import asyncio

import pytest

from services.shared.clock import ManualClock
from services.shared.errors import NotReady
from services.shared.inference.brief_cache import MAX_ENTRIES, BriefCache
from services.shared.model_ref import ModelRef

REF = ModelRef("pets", 1)


class Source:
    """Counts up; waits while `gate` is shut, breaks while `error` is set."""

    def __init__(self) -> None:
        self.fetches = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None

    async def fetch(self, ref: ModelRef) -> int:
        self.fetches += 1
        value = self.fetches
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return value


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def cache(source: Source, clock: ManualClock) -> BriefCache[int]:
    return BriefCache(source.fetch, ttl_s=2.0, clock=clock)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_value_is_fetched_again_when_it_is_too_old(cache: BriefCache[int], clock: ManualClock) -> None:
    seen = []
    for seconds in (0.0, 1.9, 0.1, 1.0):
        clock.advance(seconds)
        seen.append(await cache.get(REF))
    assert seen == [1, 1, 2, 2]


async def test_who_asks_at_once_shares_one_fetch(cache: BriefCache[int], source: Source) -> None:
    assert await asyncio.gather(*(cache.get(REF) for _ in range(9))) == [1] * 9
    assert await cache.get(ModelRef("pets", 2)) == 2


async def test_one_who_gives_up_does_not_end_the_fetch_of_the_others(cache: BriefCache[int], source: Source) -> None:
    source.gate.clear()
    first, second = (asyncio.create_task(cache.get(REF)) for _ in range(2))
    await settle()
    first.cancel()
    await settle()
    source.gate.set()
    assert await second == 1


async def test_an_error_is_not_kept(cache: BriefCache[int], source: Source) -> None:
    source.error = NotReady("away")
    with pytest.raises(NotReady):
        await cache.get(REF)
    source.error = None
    assert await cache.get(REF) == 2


async def test_the_latest_value_comes_at_once_and_is_renewed_behind_it(
    cache: BriefCache[int], clock: ManualClock
) -> None:
    assert cache.latest(REF) is None
    await settle()
    assert cache.latest(REF) == 1
    clock.advance(2.0)
    assert cache.latest(REF) == 1
    await settle()
    assert cache.latest(REF) == 2


async def test_a_background_fetch_that_fails_is_tried_again_after_the_lifetime_only(
    cache: BriefCache[int], source: Source, clock: ManualClock
) -> None:
    source.error = NotReady("away")
    for _ in range(5):
        cache.latest(REF)
        await settle()
    assert source.fetches == 1
    clock.advance(2.0)
    cache.latest(REF)
    await settle()
    assert source.fetches == 2


async def test_a_fetch_that_began_before_a_reload_is_not_kept(cache: BriefCache[int], source: Source) -> None:
    source.gate.clear()
    before = asyncio.create_task(cache.get(REF))
    await settle()
    cache.forget(REF.name)
    source.gate.set()
    assert await before == 1
    assert await cache.get(REF) == 2


async def test_made_up_names_do_not_fill_the_memory(cache: BriefCache[int], source: Source) -> None:
    for version in range(1, MAX_ENTRIES + 2):
        await cache.get(ModelRef("pets", version))
    before = source.fetches
    assert await cache.get(ModelRef("pets", MAX_ENTRIES + 1)) == before
    assert await cache.get(REF) == before + 1


async def test_closing_ends_fetches(cache: BriefCache[int], source: Source) -> None:
    source.gate.clear()
    asked = asyncio.create_task(cache.get(REF))
    await settle()
    await cache.close()
    with pytest.raises(NotReady):
        await asked


async def test_a_fault_in_the_background_is_reported(cache: BriefCache[int], source: Source) -> None:
    reported: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))
    source.error = KeyError("a fault")
    cache.latest(REF)
    await settle()
    assert [context["exception"] for context in reported] == [source.error]
