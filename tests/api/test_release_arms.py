"""`/v1` predictions under a release: its arms, an arm by name, and a version by name."""

from __future__ import annotations

import httpx
import pytest

from services.shared.keys.base import Scope
from services.shared.keys.issue import NewKey, issue
from services.shared.keys.memory import MemoryKeyStore
from services.shared.model_ref import ModelRef
from services.shared.release.routing import Arm, ReleaseRouting, Sticky, choose
from services.shared.router import Router
from tests.support.fake_serving import FakeServing
from tests.support.images import digit_png

ONE, TWO = ModelRef("pets", 1), ModelRef("pets", 2)
ROUTING = ReleaseRouting("r-1", "pets", 2, bytes(16), Sticky.KEY, ONE, (Arm("candidate", TWO, 50.0),))
URL = "/v1/models/pets/predict"
PNG = {"content-type": "image/png"}


@pytest.fixture(autouse=True)
async def released(serving: FakeServing, router: Router) -> None:
    """Both versions are loaded and share the keys."""
    await serving.fake.load("pets", 2)
    router.routings = {"pets": ROUTING}


async def ask(http: httpx.AsyncClient, url: str = URL, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await http.post(url, content=digit_png(3), headers={**PNG, **named})


def said(answer: httpx.Response) -> tuple[int, str]:
    """Version and arm, which body and headers tell alike."""
    assert answer.status_code == 200, answer.text
    by = answer.json()["served_by"]
    assert answer.headers["x-served-by"] == f"{by['model']}/{by['version']}"
    assert answer.headers["x-release-arm"] == by["arm"]
    return by["version"], by["arm"]


async def test_a_key_keeps_its_arm(http: httpx.AsyncClient) -> None:
    seen = set()
    for number in range(12):
        route = choose(ROUTING, ROUTING.hash_of(b"user %d" % number))
        for _ in range(2):
            assert said(await ask(http, x_routing_key=f"user {number}")) == (route.ref.version, route.arm)
        seen.add(route.arm)
    assert seen == {"stable", "candidate"}


@pytest.mark.parametrize(("arm", "version"), [("stable", 1), ("candidate", 2)])
async def test_a_tester_chooses_the_arm_whatever_the_key(http: httpx.AsyncClient, arm: str, version: int) -> None:
    for number in range(4):
        assert said(await ask(http, x_release_arm=arm, x_routing_key=f"user {number}")) == (version, arm)


async def test_an_arm_that_there_is_not_is_refused_naming_those_there_are(http: httpx.AsyncClient) -> None:
    answer = await ask(http, x_release_arm="canary")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "X-Release-Arm")
    assert answer.json()["detail"] == "there is no arm 'canary': use one of candidate, stable"


async def test_forcing_an_arm_is_a_testers(http: httpx.AsyncClient, keys: MemoryKeyStore) -> None:
    statuses = []
    for scopes in ({Scope.PREDICT}, {Scope.PREDICT, Scope.TESTER}):
        issued = issue(NewKey("key", frozenset(scopes)), now=0.0)
        await keys.add(issued.key)
        answer = await ask(http, authorization=f"Bearer {issued.secret}", x_release_arm="candidate")
        statuses.append(answer.status_code)
    assert statuses == [403, 200]


@pytest.mark.parametrize("version", [1, 2])
async def test_a_version_by_name_goes_before_arm_and_release(http: httpx.AsyncClient, version: int) -> None:
    for number in range(4):
        answer = await ask(http, f"{URL}?version={version}", x_release_arm="stable", x_routing_key=f"user {number}")
        assert said(answer) == (version, "pinned")


async def test_only_what_the_release_decided_is_evidence(http: httpx.AsyncClient, router: Router) -> None:
    for headers in ({}, {"x_release_arm": "candidate"}, {"x_release_arm": "stable"}):
        await ask(http, **headers)
    await ask(http, f"{URL}?version=2")
    assert sum(arm.requests for arm in router.counters.snapshot().arms.values()) == 1
