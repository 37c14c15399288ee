"""One engine that follows the desired set, and what it says of itself meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from services.shared.engine.base import State
from services.shared.engine.reconciler import Reconciler
from services.shared.errors import NotFound
from services.shared.fleet.base import HEARTBEAT_S, Desired, RefReport
from services.shared.fleet.follower import FleetFollower
from services.shared.fleet.memory import MemoryFleetStore
from services.shared.model_ref import ModelRef
from tests.support.polling import BOUND_S, until
from tests.support.reconciler_bench import ME, Bench

A1, A2, B1 = ModelRef("a", 1), ModelRef("a", 2), ModelRef("b", 1)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    bench.reconciler.start()
    yield bench
    bench.store.away = False
    if bench.script.load_gate is not None:
        bench.script.load_gate.set()
    await bench.reconciler.close()
    await bench.engine.close(5.0)


async def test_what_is_desired_is_loaded_and_answers(bench: Bench) -> None:
    await bench.follow({A1: 1, A2: 1, B1: 4})
    assert [await bench.ask(ref) for ref in (A1, A2, B1)] == [1.0, 2.0, 1.0]
    assert bench.reconciler.missing() == {}


async def test_an_empty_process_says_that_it_lives(bench: Bench) -> None:
    beat = await bench.heard({})
    assert (beat.at, beat.seen_revision) == (bench.clock.now(), 0)


async def test_a_load_is_told_while_it_lasts_and_the_process_is_heard_all_the_time(bench: Bench) -> None:
    gate = bench.shut()
    revision = await bench.want({A1: 1})
    await bench.heard({A1: RefReport(1, "loading")}, revision)
    assert bench.reconciler.missing() == {A1: "loading"}
    for _ in range(3):
        before = bench.store.beats
        bench.clock.advance(HEARTBEAT_S)
        await until(lambda before=before: bench.store.beats > before)  # type: ignore[misc]
        beat = await bench.heard({A1: RefReport(1, "loading")})
        assert beat.at == bench.clock.now()
    gate.set()
    await bench.heard({A1: RefReport(1, "loaded")})
    assert bench.reconciler.missing() == {}


async def test_nothing_is_written_between_heartbeats_when_nothing_changes(bench: Bench) -> None:
    await bench.follow({A1: 1})
    refreshed = bench.store.beats
    looks = 0

    async def desired() -> Desired:
        nonlocal looks
        looks += 1
        return await MemoryFleetStore.desired(bench.store)

    bench.store.desired = desired  # type: ignore[method-assign]
    await until(lambda: looks >= 5)
    assert bench.store.beats <= refreshed + 1  # one may have been due


async def test_versions_are_loaded_one_at_a_time(bench: Bench) -> None:
    gate = bench.shut()
    revision = await bench.want({A1: 1, A2: 1, B1: 1})
    await bench.heard(dict.fromkeys((A1, A2, B1), RefReport(1, "loading")), revision)
    await until(lambda: bool(bench.engine.states()))
    assert {ref: state.state for ref, state in bench.engine.states().items()} == {A1: State.LOADING}
    gate.set()
    await bench.heard(dict.fromkeys((A1, A2, B1), RefReport(1, "loaded")))
    assert [model.version for model in bench.backend.models] == [1, 2, 1]


async def test_a_load_that_fails_is_told_with_its_reason_and_not_tried_again(bench: Bench) -> None:
    bench.script.load_error = "the file is broken"
    revision = await bench.want({A1: 1})
    await bench.heard({A1: RefReport(1, "failed", "the file is broken")}, revision)
    assert bench.reconciler.missing() == {A1: "the file is broken"}
    bench.script.load_error = None
    revision = await bench.want({A1: 1, B1: 1})
    await bench.heard({A1: RefReport(1, "failed", "the file is broken"), B1: RefReport(1, "loaded")}, revision)
    await bench.follow({A1: 2, B1: 1})  # whoever asks again gets another try
    assert await bench.ask(A1) == 1.0


async def test_a_version_that_is_not_there_is_told(bench: Bench) -> None:
    missing = ModelRef("a", 9)
    revision = await bench.want({missing: 1})
    await bench.heard({missing: RefReport(1, "failed", "model 'a' has no version 9")}, revision)


async def test_a_failure_that_nobody_foresaw_is_told_by_its_kind(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def load(ref: ModelRef) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(bench.engine, "load", load)
    revision = await bench.want({A1: 1})
    await bench.heard({A1: RefReport(1, "failed", "MemoryError: no room")}, revision)


async def test_a_higher_generation_is_a_reload(bench: Bench) -> None:
    await bench.follow({A1: 1})
    await bench.follow({A1: 2})
    first, second = bench.backend.models
    assert first.closed
    assert not second.closed
    assert await bench.ask(A1) == 1.0


async def test_what_serves_stays_while_it_is_loaded_anew(bench: Bench) -> None:
    await bench.follow({A1: 1})
    gate = bench.shut()
    revision = await bench.want({A1: 2})
    await bench.heard({A1: RefReport(2, "loading")}, revision)
    assert bench.reconciler.missing() == {}
    assert await bench.ask(A1) == 1.0
    gate.set()
    await bench.heard({A1: RefReport(2, "loaded")})


async def test_a_failed_reload_that_is_taken_back_leaves_what_served(bench: Bench) -> None:
    await bench.follow({A1: 1})
    bench.script.load_error = "the new file is broken"
    revision = await bench.want({A1: 2})
    await bench.heard({A1: RefReport(2, "failed", "the new file is broken")}, revision)
    assert await bench.ask(A1) == 1.0
    assert bench.reconciler.missing() == {}
    await bench.follow({A1: 1})  # nothing is loaded for it: the script would make it fail
    assert await bench.ask(A1) == 1.0
    assert len(bench.backend.models) == 1


async def test_a_generation_that_comes_during_a_load_is_loaded_after_it(bench: Bench) -> None:
    gate = bench.shut()
    await bench.heard({A1: RefReport(1, "loading")}, await bench.want({A1: 1}))
    await bench.heard({A1: RefReport(1, "loading")}, await bench.want({A1: 2}))
    gate.set()
    await bench.heard({A1: RefReport(2, "loaded")})
    assert [model.closed for model in bench.backend.models] == [True, False]


async def test_what_is_no_longer_desired_is_unloaded(bench: Bench) -> None:
    await bench.follow({A1: 1, B1: 1})
    await bench.follow({B1: 1})
    assert set(bench.engine.states()) == {B1}
    assert [model.closed for model in bench.backend.models] == [True, False]
    with pytest.raises(NotFound):
        await bench.ask(A1)


async def test_what_is_no_longer_desired_while_it_loads_is_unloaded_after(bench: Bench) -> None:
    gate = bench.shut()
    await bench.heard({A1: RefReport(1, "loading")}, await bench.want({A1: 1}))
    await bench.heard({A1: RefReport(1, "loading")}, await bench.want({}))
    gate.set()
    await bench.heard({})
    assert not bench.engine.states()
    assert [model.closed for model in bench.backend.models] == [True]


async def test_a_version_that_is_wanted_again_while_it_goes_is_loaded_again(bench: Bench) -> None:
    await bench.follow({A1: 1})
    running = threading.Event()
    bench.script.gate = running
    asked = asyncio.create_task(bench.ask(A1))
    await until(lambda: len(bench.backend.models[0].batches) > 2)  # two warm-ups, then this one
    await bench.heard({A1: RefReport(0, "unloading")}, await bench.want({}))
    await bench.heard({A1: RefReport(0, "unloading")}, await bench.want({A1: 1}))
    running.set()
    assert await asked == 1.0  # what was accepted is finished
    await bench.heard({A1: RefReport(1, "loaded")})
    assert len(bench.backend.models) == 2


async def test_a_failed_version_that_is_no_longer_desired_is_forgotten(bench: Bench) -> None:
    bench.script.load_error = "broken"
    await bench.heard({A1: RefReport(1, "failed", "broken")}, await bench.want({A1: 1}))
    await bench.heard({}, await bench.want({}))


async def test_while_the_store_is_away_everything_serves_and_then_it_catches_up(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    await bench.follow({A1: 1})
    bench.store.away = True
    bench.clock.advance(10 * HEARTBEAT_S)
    await until(lambda: "the last known set stays" in caplog.text and "no heartbeat" in caplog.text)
    assert await bench.ask(A1) == 1.0
    bench.store.away = False
    await bench.follow({A1: 1, B1: 1})
    beat = await bench.heard({A1: RefReport(1, "loaded"), B1: RefReport(1, "loaded")})
    assert beat.at == bench.clock.now()


async def test_a_report_that_could_not_be_written_is_written_when_the_store_is_back(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    gate = bench.shut()
    await bench.heard({A1: RefReport(1, "loading")}, await bench.want({A1: 1}))
    bench.store.away = True
    gate.set()
    await until(lambda: bench.reconciler.missing() == {})
    bench.clock.advance(HEARTBEAT_S)
    await until(lambda: "no heartbeat could be written" in caplog.text)
    bench.store.away = False
    bench.clock.advance(HEARTBEAT_S)
    await bench.heard({A1: RefReport(1, "loaded")})


async def test_closing_retires_the_process_and_leaves_the_engine_to_its_owner() -> None:
    bench = Bench()
    bench.reconciler.start()
    await bench.follow({A1: 1})
    await bench.reconciler.close()
    assert await bench.store.heartbeats() == ()
    assert await bench.ask(A1) == 1.0
    assert not [task for task in asyncio.all_tasks() if "reconcil" in task.get_name()]
    await bench.engine.close(5.0)


async def test_closing_waits_for_neither_a_load_nor_the_store() -> None:
    bench = Bench()
    bench.reconciler.start()
    gate = bench.shut()
    await bench.heard({A1: RefReport(1, "loading")}, await bench.want({A1: 1}))
    bench.store.away = True
    async with asyncio.timeout(BOUND_S):
        await bench.reconciler.close()
    gate.set()
    await bench.engine.close(5.0)
    assert all(model.closed for model in bench.backend.models)


async def test_before_anything_is_begun_a_desired_version_waits() -> None:
    bench = Bench()
    follower = FleetFollower(bench.store)
    reconciler = Reconciler(bench.engine, bench.store, follower, process_id=ME, clock=bench.clock)
    await bench.want({A1: 1})
    await follower.refresh()
    assert reconciler.missing() == {A1: "waiting"}
    await reconciler.close()
    await bench.engine.close(1.0)


async def test_a_new_revision_of_the_routing_is_told_at_once() -> None:
    bench, revision = Bench(), -1
    follower = FleetFollower(bench.store)
    reconciler = Reconciler(
        bench.engine, bench.store, follower, process_id=ME, clock=bench.clock, routing_revision=lambda: revision
    )
    reconciler.start()
    assert (await bench.heard({})).routing_revision == -1
    revision, beats = 7, bench.store.beats
    await until(lambda: bench.store.beats > beats)  # and no time has passed
    assert (await bench.heard({})).routing_revision == 7
    await reconciler.close()
    await bench.engine.close(1.0)
