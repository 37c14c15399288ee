"""The measurement of a controller's look: that it measures looks at live evidence."""

from __future__ import annotations

from pathlib import Path

from loadtests.controller_tick import LIVE, World, measure, plan_of
from services.controller.tick import Stores
from services.shared.fleet.memory import MemoryFleetStore
from services.shared.observations.memory import MemoryObservationStore
from services.shared.release.release_counters import ArmKey
from services.shared.release.routing import STABLE
from services.shared.release.state import Phase
from services.shared.release_store.memory import MemoryReleaseStore
from tests.support.valkey import running_valkey


async def test_every_look_is_timed(tmp_path: Path) -> None:
    with running_valkey(tmp_path / "data") as server:
        measured = await measure(server.url, tmp_path, releases=3, processes=2, looks=2)
    assert {kind: len(times) for kind, times in measured.items()} == {"live": 2, "quiet": 2}
    assert min(min(times) for times in measured.values()) > 0


async def test_each_second_brings_new_answers_of_every_process_to_every_release() -> None:
    stores = Stores(MemoryReleaseStore(), MemoryObservationStore(), MemoryFleetStore())
    world = World(stores, releases=2, processes=2)
    await world.begin()
    for second in (1, 2):
        await world.second()
        evidence = await stores.observations.evidence(["r-model0", "r-model1"])
        for name, found in evidence.items():
            for step, arm, per_s in LIVE:
                before = 60 * per_s if (step, arm) == (2, "candidate") else 0
                assert found.totals.arms[ArmKey(name, step, arm)].requests == before + second * per_s
            assert found.totals.arms[ArmKey(name, 1, STABLE)].requests == 60 * 190
    assert (await stores.releases.get("model1")).state.phase is Phase.PROGRESSING
    assert len(plan_of("model1").guardrails) == 4
