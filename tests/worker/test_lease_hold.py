"""How long a lease is held: as long as the store says so, and not a moment beyond what was asked for."""

from __future__ import annotations

import asyncio

import pytest

from services.shared.clock import SystemClock
from services.shared.errors import Unavailable
from services.shared.jobs.job import Lease
from services.shared.jobs.memory import MemoryJobStore
from services.worker import lease_hold
from services.worker.lease_hold import LeaseHold
from tests.support.jobs import claimed, make, new_job
from tests.support.polling import until


class Store(MemoryJobStore):
    """`answers` says what each renewal comes to; after them it is the store's own word."""

    def __init__(self, *answers: str) -> None:
        super().__init__()
        self.answers = list(answers)
        self.renewed = 0

    async def renew(self, lease: Lease) -> Lease | None:
        self.renewed += 1
        match self.answers.pop(0) if self.answers else "":
            case "away":
                raise Unavailable("away")
            case "hangs":
                await asyncio.Event().wait()
            case "lost":
                return None
        return await super().renew(lease)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_hold, "RENEW_S", 0.01)
    monkeypatch.setattr(lease_hold, "_AGAIN_S", 0.001)


async def held(store: Store) -> LeaseHold:
    await make(store, new_job())
    return LeaseHold(store, await claimed(store), SystemClock(), SystemClock().monotonic())


async def test_a_lease_is_renewed_until_the_store_takes_it_back() -> None:
    store = Store("", "", "lost")
    assert "taken back" in await (await held(store)).until_lost()
    assert store.renewed == 3


async def test_a_store_that_is_away_for_a_moment_is_asked_again() -> None:
    store = Store("away", "away", "", "lost")
    assert "taken back" in await (await held(store)).until_lost()
    assert store.renewed == 4


@pytest.mark.parametrize("answer", ["away", "hangs"])
async def test_a_lease_ends_by_the_holders_own_time(answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_hold, "LEASE_S", 0.1)
    store = Store(*[answer] * 10_000)
    assert "could not be asked" in await (await held(store)).until_lost()
    assert store.renewed > 0


async def test_a_lease_that_was_asked_for_long_ago_is_no_lease() -> None:
    store = Store()
    await make(store, new_job())
    hold = LeaseHold(store, await claimed(store), SystemClock(), SystemClock().monotonic() - 6.0)
    assert "could not be asked" in await hold.until_lost()
    assert store.renewed == 0


async def test_a_lease_that_is_renewed_in_time_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_hold, "LEASE_S", 5.0)
    store = Store()
    holding = asyncio.create_task((await held(store)).until_lost())
    await until(lambda: store.renewed > 10)
    assert not holding.done()
    holding.cancel()
