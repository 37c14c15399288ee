"""`/v2` under a release: who answers, how the answer says so, and what a name without a version is otherwise."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from services.shared.keys.base import Scope
from services.shared.keys.issue import NewKey, issue
from services.shared.keys.memory import MemoryKeyStore
from services.shared.model_ref import ModelRef
from services.shared.release.arm_snapshot import ArmSnapshot
from services.shared.release.release_counters import ArmKey
from services.shared.release.routing import Arm, ReleaseRouting, Sticky, choose
from services.shared.router import Router
from tests.support.fake_serving import FakeServing

ONE, TWO = ModelRef("pets", 1), ModelRef("pets", 2)
ROUTING = ReleaseRouting("r-1", "pets", 2, bytes(16), Sticky.KEY, ONE, (Arm("candidate", TWO, 50.0),))
URL = "/v2/models/pets/infer"
BODY = {"inputs": [{"name": "image", "shape": [1, 2, 2, 3], "datatype": "UINT8", "data": [7, 9, 7] * 4}]}


@pytest.fixture(autouse=True)
async def released(serving: FakeServing, router: Router) -> None:
    """Both versions are loaded and share the keys."""
    await serving.fake.load("pets", 2)
    router.routings = {"pets": ROUTING}


def evidence(router: Router, arm: str) -> ArmSnapshot:
    return router.counters.snapshot().arms.get(ArmKey("r-1", 2, arm), ArmSnapshot())


def said(answer: httpx.Response) -> tuple[str, str, str]:
    """Version, X-Served-By and X-Release-Arm of an answer."""
    assert answer.status_code == 200, answer.text
    return answer.json()["model_version"], answer.headers["x-served-by"], answer.headers["x-release-arm"]


async def test_a_client_that_names_no_version_is_routed_by_its_key(http: httpx.AsyncClient, router: Router) -> None:
    arms = []
    for number in range(20):
        key = f"user {number}"
        expected = choose(ROUTING, ROUTING.hash_of(key.encode()))
        told = (str(expected.ref.version), str(expected.ref), expected.arm)
        assert said(await http.post(URL, json=BODY, headers={"x-routing-key": key})) == told
        assert said(await http.post(URL, json={**BODY, "parameters": {"routing_key": key}})) == told
        arms.append(expected.arm)
    for arm in ("stable", "candidate"):
        found = evidence(router, arm)
        assert (found.requests, found.classes, found.failed) == (2 * arms.count(arm), {1: 2 * arms.count(arm)}, 0)


@pytest.mark.parametrize(("version", "ref"), [(1, ONE), (2, TWO)])
async def test_a_version_by_name_is_pinned(
    http: httpx.AsyncClient, router: Router, version: int, ref: ModelRef
) -> None:
    for number in range(5):
        headers = {"x-routing-key": f"user {number}"}
        answer = await http.post(f"/v2/models/pets/versions/{version}/infer", json=BODY, headers=headers)
        assert said(answer) == (str(version), str(ref), "pinned")
    assert not router.counters.snapshot().arms


@pytest.mark.parametrize(("arm", "ref"), [("stable", ONE), ("candidate", TWO)])
async def test_an_arm_may_be_forced_and_is_no_evidence(
    http: httpx.AsyncClient, router: Router, arm: str, ref: ModelRef
) -> None:
    answer = await http.post(URL, json=BODY, headers={"x-release-arm": arm})
    assert said(answer) == (str(ref.version), str(ref), arm)
    assert not router.counters.snapshot().arms


@pytest.mark.parametrize(
    ("headers", "parameters", "says"),
    [
        ({"x-release-arm": "canary"}, {}, "there is no arm 'canary': use one of candidate, stable"),
        ({"x-routing-key": "k" * 257}, {}, "X-Routing-Key is longer than 256 bytes"),
        ({}, {"routing_key": 5}, "parameter 'routing_key' must be a text of 1 to 256 bytes"),
    ],
)
async def test_what_says_nothing_about_a_release_is_refused(
    http: httpx.AsyncClient, serving: FakeServing, headers: dict[str, str], parameters: dict[str, Any], says: str
) -> None:
    answer = await http.post(URL, json={**BODY, "parameters": parameters}, headers=headers)
    assert (answer.status_code, answer.json()) == (400, {"error": says})
    assert not serving.fake.calls


async def test_forcing_an_arm_is_a_testers(http: httpx.AsyncClient, keys: MemoryKeyStore) -> None:
    statuses = []
    for scopes in ({Scope.PREDICT}, {Scope.PREDICT, Scope.TESTER}):
        issued = issue(NewKey("key", frozenset(scopes)), now=0.0)
        await keys.add(issued.key)
        headers = {"authorization": f"Bearer {issued.secret}", "x-release-arm": "candidate"}
        statuses.append((await http.post(URL, json=BODY, headers=headers)).status_code)
    assert statuses == [403, 200]


async def test_what_else_a_name_means_is_its_default_version(http: httpx.AsyncClient) -> None:
    for number in range(6):
        headers = {"x-routing-key": f"user {number}"}
        assert (await http.get("/v2/models/pets/ready", headers=headers)).status_code == 200
        config = (await http.get("/v2/models/pets/config", headers=headers)).json()
        metadata = (await http.get("/v2/models/pets", headers=headers)).json()
        assert (config["name"], metadata["name"], metadata["versions"]) == ("pets", "pets", ["1", "2"])


async def test_a_browsers_cookie_is_its_key(http: httpx.AsyncClient) -> None:
    for number in range(8):
        key = f"{number:032x}"
        expected = choose(ROUTING, ROUTING.hash_of(key.encode()))
        answer = await http.post(URL, json=BODY, headers={"cookie": f"grayscale_key={key}"})
        assert said(answer)[2] == expected.arm
        assert "set-cookie" not in answer.headers


async def test_without_a_release_the_default_answers_and_says_so(http: httpx.AsyncClient, router: Router) -> None:
    router.routings = {}
    assert said(await http.post(URL, json=BODY)) == ("1", "pets/1", "stable")
    unknown = await http.post("/v2/models/nobody/infer", json=BODY)
    assert (unknown.status_code, "unknown model: 'nobody'" in unknown.json()["error"]) == (400, True)
