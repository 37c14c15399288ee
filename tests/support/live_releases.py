"""Releases that are in progress, as a controller would have left them in the store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from services.shared.fleet.file import FileFleetStore
from services.shared.fleet.live import live
from services.shared.model_ref import ModelRef
from services.shared.release.parse_plan import parse_plan
from services.shared.release.routing import ReleaseRouting
from services.shared.release.state import Phase, begin, routing_of
from services.shared.release_store.base import Release
from services.shared.release_store.redis import RedisReleaseStore

BOUND_S = 60.0
STABLE, CANDIDATE = ModelRef("digits", 1), ModelRef("digits", 2)
SALT = bytes(range(16))


def live_release(weight: float = 50.0, release: str = "r-1") -> Release:
    """Of digits: the second version has `weight` percent of the keys, for hours."""
    plan = parse_plan(
        {
            "model": "digits",
            "stable": {"model": "digits", "version": 1},
            "candidate": {"model": "digits", "version": 2},
            "strategy": "canary",
            "steps": [{"weight": 50, "for": "5h"}],
            "hold": "5h",
        }
    )
    state = begin(plan, release, SALT, default=STABLE, loaded=(STABLE, CANDIDATE), now=time.time())
    return Release(plan, replace(state, phase=Phase.PROGRESSING, weights=(weight,)))


def routing(release: Release) -> ReleaseRouting:
    found = routing_of(release.plan, release.state)
    assert found is not None
    return found


def keys_of(release: Release, arm: str, count: int) -> list[str]:
    """Routing keys that get an arm."""
    place, found, number = routing(release), list[str](), 0
    bound = int(place.arms[0].weight / 100 * 2**64)
    while len(found) < count:
        key = f"key-{number}"
        if (place.hash_of(key.encode()) < bound) == (arm == "candidate"):
            found.append(key)
        number += 1
    return found


async def put_release(url: str, release: Release) -> Release:
    """Writes it in place of whatever there is of its model."""
    store = RedisReleaseStore(url)
    try:
        before = (await store.list()).by_model.get(release.plan.model)
        return await store.put(release, expected_revision=before.revision if before else 0)
    finally:
        await store.close()


async def until_followed(data_dir: Path, release: Release, kinds: Collection[str] = ("api",)) -> None:
    """Returns when processes of every kind (`api`, `worker`) are alive and all that are route by this release; raises
    TimeoutError when that does not happen within BOUND_S."""
    store = FileFleetStore(data_dir / "fleet")
    async with asyncio.timeout(BOUND_S):
        while True:
            beats = [beat for beat in live(await store.heartbeats(), time.time()) if beat.routing_revision is not None]
            alive = {beat.process_id.partition("-")[0] for beat in beats}
            if alive >= set(kinds) and all((beat.routing_revision or 0) >= release.revision for beat in beats):
                return
            await asyncio.sleep(0.02)
