"""When a process tells the store what it has counted, and that nothing of it reaches those who serve."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from services.shared.clock import ManualClock
from services.shared.errors import Unavailable
from services.shared.model_ref import ModelRef
from services.shared.observations import publisher as publisher_module
from services.shared.observations.memory import MemoryObservationStore
from services.shared.observations.publisher import FORGET_S, EvidencePublisher
from services.shared.release.arm_counters import ArmCounters
from services.shared.release.arm_snapshot import ArmSnapshot
from services.shared.release.release_counters import ArmKey, ReleaseCounters, ReleaseSnapshot
from services.shared.release.routing import Route
from tests.support.polling import until

ROUTE = Route(ModelRef("digits", 2), "candidate", "r-1", 1, None, True)
KEY = ArmKey("r-1", 1, "candidate")


class Store(MemoryObservationStore):
    """Notes what it was given; `error` is raised instead, `hang` waits for it to be set."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[ReleaseSnapshot] = []
        self.error: Exception | None = None
        self.hang: asyncio.Event | None = None

    async def publish(self, incarnation: str, totals: ReleaseSnapshot) -> None:
        self.given.append(totals)
        if self.hang is not None:
            await self.hang.wait()
        if self.error is not None:
            raise self.error
        await super().publish(incarnation, totals)


@dataclass(slots=True)
class Bench:
    store: Store = field(default_factory=Store)
    counters: ReleaseCounters = field(default_factory=ReleaseCounters)
    clock: ManualClock = field(default_factory=ManualClock)
    routed: set[str] = field(default_factory=lambda: {"r-1"})

    def publisher(self) -> EvidencePublisher:
        return EvidencePublisher(self.store, "api-1", self.counters, lambda: self.routed, clock=self.clock)

    @property
    def arm(self) -> ArmCounters:
        found = self.counters.of(ROUTE)
        assert found is not None
        return found

    def answer(self) -> None:
        self.arm.begin()
        self.arm.observe(0.002, 7)

    def err(self) -> None:
        self.arm.begin()
        self.arm.observe_error("InferenceFailed", 7)

    def errors_given(self) -> list[int]:
        return [totals.arms[KEY].failed for totals in self.store.given]


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
async def running(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    """A publisher that runs, with a period that does not come within a test."""
    monkeypatch.setattr(publisher_module, "PERIOD_S", 60.0)
    task = asyncio.create_task(bench.publisher().run())
    await until(lambda: bench.counters.on_error is not None)
    yield bench
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_what_is_counted_is_published_with_every_period(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher_module, "PERIOD_S", 0.01)
    bench.answer()
    task = asyncio.create_task(bench.publisher().run())
    await until(lambda: len(bench.store.given) >= 2)
    bench.answer()
    await until(lambda: bench.store.given[-1].arms[KEY].requests == 2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (await bench.store.evidence(["r-1"]))["r-1"].totals.arms[KEY].requests == 2
    assert bench.counters.on_error is None


async def test_answers_wait_for_the_period_and_the_first_error_does_not(running: Bench) -> None:
    running.clock.advance(10.0)  # nothing was published for long
    running.answer()
    running.err()
    await until(lambda: bool(running.store.given))
    assert running.errors_given() == [1]
    assert running.store.given[0].arms[KEY].requests == 2


async def test_errors_that_come_together_are_published_together(running: Bench) -> None:
    running.clock.advance(10.0)
    for _ in range(500):
        running.err()
    await until(lambda: bool(running.store.given))
    assert running.errors_given() == [500]


async def test_a_burst_is_published_less_and_less_often(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        slept.append(round(seconds, 3))
        bench.clock.advance(seconds)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", noted)
    monkeypatch.setattr(publisher_module, "PERIOD_S", 60.0)
    publisher = bench.publisher()
    task = asyncio.create_task(publisher.run())
    while bench.counters.on_error is None:
        await sleep(0)
    bench.clock.advance(10.0)
    for number in range(1, 7):
        bench.err()
        while len(bench.store.given) < number:
            await sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert slept == [0.05, 0.1, 0.2, 0.25, 0.25]


async def test_an_error_while_the_store_is_slow_is_published_next(running: Bench) -> None:
    running.clock.advance(10.0)
    running.store.hang = asyncio.Event()
    running.err()
    await until(lambda: bool(running.store.given))
    running.err()
    running.store.hang.set()
    await until(lambda: len(running.store.given) == 2)
    assert running.errors_given() == [1, 2]


@pytest.mark.parametrize("error", [Unavailable("the server is away"), RuntimeError("a mistake")], ids=["away", "wrong"])
async def test_a_store_that_fails_is_told_of_once_and_tried_again(
    bench: Bench, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    publisher = bench.publisher()
    bench.answer()
    bench.store.error = error
    assert [await publisher.publish() for _ in range(3)] == [False, False, False]
    assert caplog.text.count("cannot be published") == 1
    bench.store.error = None
    assert await publisher.publish()
    assert caplog.text.count("published again") == 1
    assert (await bench.store.evidence(["r-1"]))["r-1"].totals.arms[KEY].requests == 1


async def test_the_last_words_are_bounded_in_time(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher_module, "FINISH_S", 0.01)
    bench.answer()
    bench.store.hang = asyncio.Event()
    async with asyncio.timeout(20):
        await bench.publisher().finish()
    assert len(bench.store.given) == 1


async def test_a_release_that_nothing_is_routed_by_is_forgotten_after_its_late_answers(bench: Bench) -> None:
    publisher, arm = bench.publisher(), bench.arm
    arm.begin()
    bench.answer()
    await publisher.publish()
    bench.routed = set()
    await publisher.publish()
    bench.clock.advance(FORGET_S)
    await publisher.publish()
    assert KEY in bench.counters.snapshot().arms  # one is still on its way
    arm.observe(3.0, 7)
    await publisher.publish()
    assert KEY not in bench.counters.snapshot().arms
    published = (await bench.store.evidence(["r-1"]))["r-1"].totals.arms[KEY]
    assert (published.requests, published.in_flight) == (2, 0)


async def test_what_the_store_has_not_got_is_not_forgotten(bench: Bench) -> None:
    publisher = bench.publisher()
    bench.answer()
    bench.routed = set()
    await publisher.publish()
    bench.clock.advance(FORGET_S)
    bench.store.error = Unavailable("the server is away")
    await publisher.publish()
    assert KEY in bench.counters.snapshot().arms


async def test_a_release_that_is_routed_by_again_is_kept(bench: Bench) -> None:
    publisher = bench.publisher()
    bench.answer()
    for routed in (set[str](), {"r-1"}, set[str]()):
        bench.routed = routed
        await publisher.publish()
        bench.clock.advance(FORGET_S - 1)
    await publisher.publish()
    assert KEY in bench.counters.snapshot().arms


def test_every_error_of_any_arm_is_told(bench: Bench) -> None:
    told: list[Any] = []
    bench.err()  # nobody listens
    bench.counters.on_error = lambda: told.append(None)
    bench.answer()
    bench.err()
    assert len(told) == 1


async def test_keys_are_told_every_few_seconds_and_the_last_ones_at_the_end(bench: Bench) -> None:
    publisher = bench.publisher()
    for key_hash in (2, 3 << 20):
        bench.arm.begin()
        bench.arm.observe(0.01, key_hash)
        await publisher.publish()

    async def published() -> ArmSnapshot:
        return (await bench.store.evidence(["r-1"]))["r-1"].totals.arms[KEY]

    newest = bench.counters.snapshot().arms[KEY]
    assert (await published()).requests == 2
    assert (await published()).keys != newest.keys
    await publisher.finish()
    assert await published() == newest
