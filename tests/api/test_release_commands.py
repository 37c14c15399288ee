"""What a person tells a release, and what is known of it."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from itertools import pairwise

import httpx
import pytest

from services.api.releases.command import ATTEMPTS
from services.shared.keys.base import Scope
from services.shared.keys.issue import NewKey, issue
from services.shared.keys.memory import MemoryKeyStore
from services.shared.model_ref import ModelRef
from services.shared.observations.base import Look, Point, PointArm
from services.shared.release.advance import Event
from services.shared.release.state import Phase
from tests.support.api_releases import PLAN, URL, YAML, MemoryReleases

STABLE, CANDIDATE = ModelRef("pets", 1), ModelRef("pets", 2)
AB = """model: pets
strategy: ab
arms:
  one: {model: pets, version: 1, weight: 30}
  two: {model: pets, version: 2, weight: 30}
steps: [{for: 7d}]
"""


@pytest.fixture
async def client(http: httpx.AsyncClient, admin: dict[str, str]) -> httpx.AsyncClient:
    http.headers.update(admin)
    return http


@pytest.fixture
async def release(client: httpx.AsyncClient, releases: MemoryReleases) -> str:
    """One at weight 5; its id."""
    answer = await client.put(URL, content=PLAN, headers=YAML)
    await releases.load(STABLE, CANDIDATE)
    await releases.become("pets", phase=Phase.PROGRESSING, weights=(5.0,))
    found: str = answer.json()["release"]
    return found


@pytest.mark.usefixtures("release")
async def test_a_release_pauses_and_goes_on(client: httpx.AsyncClient) -> None:
    paused = await client.post(f"{URL}/pause")
    assert (paused.status_code, paused.json()["phase"], paused.json()["weight"]) == (200, "paused", 5.0)
    assert paused.headers["etag"] == f'"{paused.json()["revision"]}"'
    again = await client.post(f"{URL}/pause")
    assert again.json() == paused.json(), "said twice changes nothing"
    resumed = await client.post(f"{URL}/resume")
    assert (resumed.json()["phase"], resumed.json()["step"]) == ("progressing", 0)
    events = (await client.get(f"{URL}/events")).json()["events"]
    assert [(event["from"], event["to"]) for event in events] == [
        (None, "pending"),
        ("progressing", "paused"),
        ("paused", "progressing"),
    ]
    assert all(event["by"].startswith("admin (") for event in events)


@pytest.mark.usefixtures("release")
async def test_which_administrator_it_was_is_told_to_administrators_only(
    client: httpx.AsyncClient, releases: MemoryReleases, keys: MemoryKeyStore
) -> None:
    await client.post(f"{URL}/pause")
    [first, last] = (await client.get(f"{URL}/events")).json()["events"]
    assert last["by"] == first["by"] != "an administrator"
    before = await releases.store.get("pets")
    older = Event(1_000_002.0, first["release"], last["by"], None, Phase.PAUSED, 0, 5.0, f"{last['by']} paused it")
    by_itself = replace(older, by="controller", why="it takes too long")
    for event in (older, by_itself):
        before = await releases.store.put(before, expected_revision=before.revision, event=event)
    tester = issue(NewKey("tester", frozenset({Scope.TESTER})), now=0.0)
    await keys.add(tester.key)
    for secret in ("", tester.secret, "gs_nonsense"):
        client.headers["authorization"] = f"Bearer {secret}"
        said = await client.get(f"{URL}/events")
        assert [event["by"] for event in said.json()["events"]] == ["an administrator"] * 3 + ["controller"]
        assert [event["why"] for event in said.json()["events"]][1:] == [
            "an administrator paused it",
            "an administrator paused it",
            "it takes too long",
        ]
        assert last["by"] not in said.text + (await client.get(URL)).text


@pytest.mark.usefixtures("release")
async def test_a_rollback_is_one_write(client: httpx.AsyncClient) -> None:
    state = (await client.post(f"{URL}/rollback")).json()
    assert (state["phase"], state["weight"]) == ("rolling_back", 0.0)
    assert "rolled it back" in state["reason"]
    assert (await client.post(f"{URL}/rollback")).json() == state
    refused = await client.post(f"{URL}/promote")
    assert (refused.status_code, refused.json()["detail"]) == (409, "the release is over: begin another one")


@pytest.mark.usefixtures("release")
async def test_a_promotion_takes_all_when_it_is_warm(client: httpx.AsyncClient) -> None:
    state = (await client.post(f"{URL}/promote")).json()
    assert (state["phase"], state["winner"]) == ("promoting", "candidate")
    assert (await client.post(f"{URL}/promote", json={"arm": "candidate"})).json() == state
    refused = await client.post(f"{URL}/promote", json={"arm": "stable"})
    assert refused.status_code == 409
    assert (await client.post(f"{URL}/promote", json={"arms": "x"})).status_code == 400


async def test_of_several_arms_one_is_named(client: httpx.AsyncClient, releases: MemoryReleases) -> None:
    assert (await client.put(URL, content=AB, headers=YAML)).status_code == 201
    await releases.become("pets", phase=Phase.PROGRESSING, weights=(30.0, 30.0))
    refused = await client.post(f"{URL}/promote")
    assert refused.status_code == 409
    assert "name one of one, two" in refused.json()["detail"]
    assert (await client.post(f"{URL}/promote", json={"arm": "two"})).json()["winner"] == "two"


@pytest.mark.usefixtures("release")
async def test_nothing_is_let_in_that_is_not_warm(client: httpx.AsyncClient, releases: MemoryReleases) -> None:
    await releases.become("pets", phase=Phase.PAUSED)
    await releases.load(STABLE)
    refused = await client.post(f"{URL}/resume")
    assert refused.status_code == 409
    assert "not loaded and warm" in refused.json()["detail"]
    await releases.load(STABLE, CANDIDATE)
    releases.clock.advance(60)  # whoever said so is dead by now
    assert (await client.post(f"{URL}/resume")).status_code == 409
    await releases.load(STABLE, CANDIDATE)
    assert (await client.post(f"{URL}/resume")).status_code == 200


@pytest.mark.usefixtures("release")
async def test_a_command_may_be_meant_for_one_revision(client: httpx.AsyncClient) -> None:
    seen = (await client.get(URL)).headers["etag"]
    paused = await client.post(f"{URL}/pause", headers={"if-match": seen})
    assert paused.status_code == 200
    for method, path in (("POST", "/rollback"), ("DELETE", "")):
        assert (await client.request(method, URL + path, headers={"if-match": seen})).status_code == 412
    assert (await client.get(URL)).json() == paused.json()
    fresh = paused.headers["etag"]
    assert (await client.request("DELETE", URL, headers={"if-match": fresh})).json()["phase"] == "aborted"


@pytest.mark.usefixtures("release")
async def test_writers_in_between_are_no_concern_of_a_person(
    client: httpx.AsyncClient, releases: MemoryReleases
) -> None:
    releases.store.others = ATTEMPTS - 1
    assert (await client.post(f"{URL}/pause")).json()["phase"] == "paused"
    releases.store.others = ATTEMPTS
    refused = await client.post(f"{URL}/resume")
    assert (refused.status_code, refused.headers["retry-after"]) == (409, "1")
    releases.store.others = 1
    seen = (await client.get(URL)).headers["etag"]
    stale = await client.post(f"{URL}/resume", headers={"if-match": seen})
    assert stale.status_code == 412


@pytest.mark.usefixtures("release")
async def test_commands_at_once_leave_a_chain_of_events(client: httpx.AsyncClient) -> None:
    commands = ["pause", "resume", "rollback", "pause"] * 5
    answers = await asyncio.gather(*(client.post(f"{URL}/{command}") for command in commands))
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert (await client.get(URL)).json()["phase"] == "rolling_back"
    events = (await client.get(f"{URL}/events")).json()["events"][1:]
    assert all(one["to"] == other["from"] for one, other in pairwise(events))


@pytest.mark.parametrize("path", ["", "/report", "/events", "/timeline"])
async def test_what_there_is_not_is_404(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(f"{URL}{path}")).status_code == 404
    assert (await client.get(f"/v1/models/..x/release{path}")).status_code == 400


@pytest.mark.parametrize("command", ["promote", "pause", "resume", "rollback"])
async def test_nothing_is_told_to_a_release_that_there_is_not(client: httpx.AsyncClient, command: str) -> None:
    assert (await client.post(f"{URL}/{command}")).status_code == 404
    assert (await client.delete(URL)).status_code == 404


async def test_the_report_is_the_controllers_own(
    client: httpx.AsyncClient, releases: MemoryReleases, release: str
) -> None:
    early = await client.get(f"{URL}/report")
    assert early.status_code == 404
    assert "grayscale controller" in early.json()["detail"]
    report = {"release": release, "verdict": {"outcome": "pass"}, "guardrails": [{"estimate": math.nan}], "at": 5.0}
    await releases.observations.keep_look(release, Look(1_000_001.5, (), report))
    shown = (await client.get(f"{URL}/report")).json()
    assert shown == {
        "release": release,
        "verdict": {"outcome": "pass"},
        "guardrails": [{"estimate": None}],
        "at": "1970-01-12T13:46:41.500Z",
    }


async def test_the_timeline_has_gaps_where_nothing_was_asked(
    client: httpx.AsyncClient, releases: MemoryReleases, release: str
) -> None:
    assert (await client.get(f"{URL}/timeline")).json() == {"release": release, "model": "pets", "points": []}
    arms = {"stable": PointArm(10, 1, 1.5, 2.5, 3.5), "candidate": PointArm(0, 0, math.nan, math.nan, math.nan)}
    await releases.observations.add_point(release, Point(1_000_001.0, 0, "progressing", {"candidate": 5.0}, arms))
    [point] = (await client.get(f"{URL}/timeline")).json()["points"]
    assert (point["at"], point["weights"]) == ("1970-01-12T13:46:41.000Z", {"candidate": 5.0})
    assert point["arms"] == {
        "stable": {"requests": 10, "errors": 1, "p50_ms": 1.5, "p95_ms": 2.5, "p99_ms": 3.5},
        "candidate": {"requests": 0, "errors": 0, "p50_ms": None, "p95_ms": None, "p99_ms": None},
    }


async def test_a_timeline_is_followed_by_asking_for_what_came_after(
    client: httpx.AsyncClient, releases: MemoryReleases, release: str
) -> None:
    for at in (1_000_001.0, 1_000_003.0, 1_000_005.123):
        await releases.observations.add_point(release, Point(at, 0, "progressing", {}, {}))

    async def seen(after: str) -> list[str]:
        answer = await client.get(f"{URL}/timeline", params={"after": after})
        return [point["at"] for point in answer.json()["points"]]

    assert await seen("1970-01-12T13:46:41.000Z") == ["1970-01-12T13:46:43.000Z", "1970-01-12T13:46:45.123Z"]
    assert await seen("1970-01-12T13:46:45.122Z") == ["1970-01-12T13:46:45.123Z"]
    assert await seen("1970-01-12T13:46:45.123Z") == []
    assert (await client.get(f"{URL}/timeline", params={"after": "yesterday"})).status_code == 400


@pytest.mark.usefixtures("release")
async def test_events_come_in_pages(client: httpx.AsyncClient) -> None:
    for command in ("pause", "resume", "pause"):
        await client.post(f"{URL}/{command}")
    first = (await client.get(f"{URL}/events", params={"limit": 3})).json()
    assert (len(first["events"]), first["next"]) == (3, 3)
    rest = (await client.get(f"{URL}/events", params={"start": first["next"]})).json()
    assert (len(rest["events"]), rest["next"]) == (1, 4)
    assert (await client.get(f"{URL}/events", params={"start": 4})).json()["events"] == []
    for wrong in ({"start": -1}, {"limit": 0}, {"limit": 1001}):
        assert (await client.get(f"{URL}/events", params=wrong)).status_code == 400
