"""Releases and feedback over a real server: writers at once, and one vote for each answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from services.api.releases.stores import ReleaseStores
from services.shared.clock import ManualClock
from services.shared.errors import Conflict
from services.shared.feedback import FeedbackClaim, FeedbackSigner
from services.shared.model_ref import ModelRef
from services.shared.observations.base import FeedbackTotals
from services.shared.observations.redis import RedisObservationStore
from services.shared.release.release_counters import ArmKey
from services.shared.release.state import Phase
from services.shared.release_store.base import ReleaseStore
from services.shared.release_store.redis import RedisReleaseStore
from services.shared.repository.disk import DiskRepository
from tests.support.api_releases import PLAN, URL, YAML
from tests.support.fake_serving import FakeServing
from tests.support.valkey import ValkeyServer


class ValkeyReleases:
    """What `http` works with in this file."""

    def __init__(self, url: str, serving: FakeServing, models_dir: Path) -> None:
        self.clock = ManualClock()
        self.made = ReleaseStores(
            RedisReleaseStore(url),
            RedisObservationStore(url),
            serving.store,
            serving.client,
            DiskRepository(models_dir),
        )

    def stores(self) -> ReleaseStores:
        return self.made


@pytest.fixture
async def releases(valkey: ValkeyServer, serving: FakeServing, tmp_path: Path) -> AsyncIterator[ValkeyReleases]:
    made = ValkeyReleases(valkey.url, serving, tmp_path)
    yield made
    await made.made.close()


@pytest.fixture
async def another(valkey: ValkeyServer) -> AsyncIterator[ReleaseStore]:
    """Another process's."""
    store = RedisReleaseStore(valkey.url)
    yield store
    await store.close()


async def touch(store: ReleaseStore, times: int) -> None:
    """Writes the release as often as a busy controller does, and never what somebody else has just changed."""
    while times:
        release = await store.get("pets")
        try:
            await store.put(replace(release, state=release.state), expected_revision=release.revision)
            times -= 1
        except Conflict:
            continue


async def test_people_and_a_controller_write_at_once(
    http: httpx.AsyncClient, admin: dict[str, str], another: ReleaseStore
) -> None:
    http.headers.update(admin)
    begun = (await http.put(URL, content=PLAN, headers=YAML)).json()
    release = await another.get("pets")
    state = replace(release.state, phase=Phase.PROGRESSING, weights=(5.0,))
    await another.put(replace(release, state=state), expected_revision=begun["revision"])
    commands = ["pause", "rollback", "pause"] * 4
    told = asyncio.gather(*(http.post(f"{URL}/{command}") for command in commands))
    _, answers = await asyncio.gather(touch(another, 20), told)
    assert {answer.status_code for answer in answers} <= {200, 409}
    shown = (await http.get(URL)).json()
    assert (shown["phase"], shown["weight"]) == ("rolling_back", 0.0)
    events = (await http.get(f"{URL}/events")).json()["events"]
    assert all(one["to"] == other["from"] for one, other in pairwise(events[1:]))
    assert sum(event["to"] == "rolling_back" for event in events) == 1
    report = await http.get(f"{URL}/report")
    assert report.status_code == 404


async def test_the_same_truth_told_at_once_counts_once(http: httpx.AsyncClient, releases: ValkeyReleases) -> None:
    claim = FeedbackClaim(ModelRef("pets", 1), "candidate", 1, 999_990, "r-valkey", 2)
    body = {"feedback_id": FeedbackSigner(bytes(32)).sign(claim), "label": "dog", "reward": 0.5}
    answers = await asyncio.gather(*(http.post("/v1/feedback", json=body) for _ in range(20)))
    assert sorted(answer.json()["counted"] for answer in answers) == [False] * 19 + [True]
    evidence = (await releases.made.observations.evidence(["r-valkey"]))["r-valkey"]
    totals: FeedbackTotals = evidence.feedback[ArmKey("r-valkey", 2, "candidate")]
    assert (totals.labelled, totals.right, totals.rewards.total) == (1, 1, 0.5)


async def test_a_server_that_is_away_is_503(
    http: httpx.AsyncClient, admin: dict[str, str], valkey: ValkeyServer
) -> None:
    http.headers.update(admin)
    valkey.stop()
    try:
        for method, path in (("GET", ""), ("POST", "/pause"), ("GET", "/events")):
            answer = await http.request(method, URL + path)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert (await http.get("/v1/models/pets")).status_code == 200
    finally:
        valkey.start()
