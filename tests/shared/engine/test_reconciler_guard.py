"""What a reconciler tells its guard about a load, and what a refusal becomes."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from services.shared.engine.load_guard import Circumstances
from services.shared.engine.reconciler import Reconciler
from services.shared.errors import InferenceFailed
from services.shared.fleet.base import RefReport
from services.shared.fleet.follower import FleetFollower
from services.shared.model_ref import ModelRef
from tests.support.reconciler_bench import ME, Bench

A1, A2, B1 = ModelRef("a", 1), ModelRef("a", 2), ModelRef("b", 1)


class Remembering:
    """A guard that lets everything in but what it has a reason against."""

    def __init__(self) -> None:
        self.asked: list[tuple[ModelRef, Circumstances]] = []
        self.refused: dict[ModelRef, str] = {}

    @contextlib.asynccontextmanager
    async def loading(self, ref: ModelRef, circumstances: Circumstances) -> AsyncIterator[None]:
        self.asked.append((ref, circumstances))
        if ref in self.refused:
            raise InferenceFailed(self.refused[ref])
        yield


class Guarded(Bench):
    """A bench whose reconciler has a guard; it is not started yet."""

    def __init__(self) -> None:
        super().__init__()
        self.guard = Remembering()
        self.reconciler = Reconciler(
            self.engine, self.store, FleetFollower(self.store), process_id=ME, clock=self.clock, guard=self.guard
        )

    async def want_default(self, name: str, ref: ModelRef) -> None:
        before = await self.store.desired()
        after = replace(before, defaults={**before.defaults, name: ref})
        await self.store.put(after, expected_revision=before.revision)


@pytest.fixture
async def bench() -> AsyncIterator[Guarded]:
    bench = Guarded()
    yield bench
    await bench.reconciler.close()
    await bench.engine.close(5.0)


async def test_the_first_set_is_a_start_and_what_comes_later_meets_a_process_that_serves(bench: Guarded) -> None:
    await bench.want({A1: 1, B1: 1})
    await bench.want_default("a", A1)
    bench.reconciler.start()
    await bench.follow({A1: 1, B1: 1})
    await bench.follow({A1: 1, B1: 1, A2: 1})
    await bench.follow({A1: 2, B1: 1, A2: 1})
    assert bench.guard.asked == [
        (A1, Circumstances(at_start=True, serves=False, is_default=True)),
        (B1, Circumstances(at_start=True, serves=True, is_default=False)),
        (A2, Circumstances(at_start=False, serves=True, is_default=False)),
        (A1, Circumstances(at_start=False, serves=True, is_default=True)),
    ]


async def test_a_process_that_began_with_nothing_has_nothing_to_lose(bench: Guarded) -> None:
    bench.reconciler.start()
    await bench.heard({})
    await bench.follow({A1: 1})
    assert bench.guard.asked == [(A1, Circumstances(at_start=False, serves=False, is_default=False))]


async def test_a_version_that_is_refused_is_reported_with_the_reason_and_what_serves_is_not_touched(
    bench: Guarded,
) -> None:
    bench.reconciler.start()
    await bench.follow({A1: 1})
    bench.guard.refused = {A1: "it is worse", A2: "the process that tried it died (SIGSEGV)"}
    revision = await bench.want({A1: 2, A2: 1})
    await bench.heard(
        {
            A1: RefReport(2, "failed", "it is worse"),
            A2: RefReport(1, "failed", "the process that tried it died (SIGSEGV)"),
        },
        revision,
    )
    assert await bench.ask(A1) == 1.0
    assert len(bench.backend.models) == 1
    bench.guard.refused = {}
    await bench.follow({A1: 3, A2: 2})  # whoever asks again gets another try
