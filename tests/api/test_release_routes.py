"""Beginning, showing and ending releases."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from services.shared.audit import AUDIT_FILE
from services.shared.keys.base import Scope
from services.shared.keys.issue import NewKey, issue
from services.shared.keys.memory import MemoryKeyStore
from services.shared.release.state import Phase, routing_of
from services.shared.router import Router
from tests.support.api_releases import PLAN, URL, YAML, MemoryReleases

AS_JSON: dict[str, Any] = {
    "model": "pets",
    "candidate": {"model": "pets", "version": 2},
    "strategy": "blue-green",
}


@pytest.fixture
async def client(http: httpx.AsyncClient, admin: dict[str, str]) -> httpx.AsyncClient:
    http.headers.update(admin)
    return http


async def begun(client: httpx.AsyncClient, plan: str = PLAN) -> httpx.Response:
    answer = await client.put(URL, content=plan, headers=YAML)
    assert answer.status_code == 201, answer.text
    return answer


async def test_a_release_begins_and_is_shown(client: httpx.AsyncClient) -> None:
    answer = await begun(client)
    state = answer.json()
    assert answer.headers["etag"] == f'"{state["revision"]}"'
    assert answer.headers["location"] == URL
    assert state["release"].startswith("pets-19700112-")
    assert (state["phase"], state["step"], state["steps"], state["weight"]) == ("pending", 0, 2, 0.0)
    assert state["arms"] == [
        {"arm": "stable", "ref": "pets/1", "weight": 100.0},
        {"arm": "candidate", "ref": "pets/2", "weight": 0.0},
    ]
    assert (state["created_at"], state["is_over"], state["winner"]) == ("1970-01-12T13:46:40.000Z", False, None)
    assert state["plan"]["steps"][0] == {"weight": 5.0, "for": "1m", "min_requests": 500}
    shown = await client.get(URL)
    assert (shown.json(), shown.headers["etag"]) == (state, answer.headers["etag"])
    assert (await client.get("/v1/releases")).json() == {"releases": [state], "unreadable": []}


async def test_a_plan_may_be_json(client: httpx.AsyncClient) -> None:
    answer = await client.put(URL, json=AS_JSON)
    assert (answer.status_code, answer.json()["strategy"]) == (201, "blue-green")


@pytest.mark.parametrize(
    ("content", "media_type", "status", "said"),
    [
        (
            PLAN.replace("weight: 5,", "weight: five,"),
            "text/yaml",
            400,
            "line 5, steps[0].weight: 'five' is not a number",
        ),
        (PLAN.replace("model: pets\n", "model: dogs\n", 1), "application/yaml", 400, "the path names 'pets'"),
        (PLAN.replace("pets, version: 2", "pets, version: 1"), "application/yaml", 400, "name another candidate"),
        (
            PLAN.replace("pets, version: 2", "pets, version: 9"),
            "application/yaml",
            404,
            "candidate: pets has no version 9",
        ),
        (PLAN.replace("{model: pets,", "{model: cats,"), "application/yaml", 404, "there is no model 'cats'"),
        (PLAN + "stable: {model: pets, version: 7}\n", "application/yaml", 404, "stable: pets has no version 7"),
        (PLAN + "more: 1\n", "", 400, "line 9, more: 'more' is not known here"),
        ("{\n 'model': 1}", "application/json", 400, "line 2: this is not JSON"),
        (b"model: \xff", "application/yaml", 400, "not UTF-8"),
        ("", "application/yaml", 400, "the plan is empty"),
        ("x" * 70_000, "application/yaml", 400, "at most 65536 characters"),
        ("x" * 1_100_000, "application/yaml", 413, "1048576"),
        (PLAN, "application/x-www-form-urlencoded", 415, "application/yaml or application/json"),
    ],
)
async def test_what_cannot_begin_is_refused_in_words(
    client: httpx.AsyncClient, content: str | bytes, media_type: str, status: int, said: str
) -> None:
    refused = await client.put(URL, content=content, headers={"content-type": media_type} if media_type else {})
    assert refused.status_code == status
    assert refused.headers["content-type"] == "application/problem+json"
    assert said in refused.json()["detail"]
    assert (await client.get(URL)).status_code == 404


async def test_an_error_names_its_field(client: httpx.AsyncClient) -> None:
    refused = await client.put(URL, content=PLAN.replace("0.005", "2"), headers=YAML)
    assert refused.json()["errors"][0]["field"] == "guardrails[0].max_increase"


async def test_a_version_that_only_our_repository_knows_of_may_be_a_candidate(
    client: httpx.AsyncClient, releases: MemoryReleases
) -> None:
    """A model server that is not ours lists what it was asked to load, and no more."""
    plan = PLAN.replace("pets, version: 2", "pets, version: 9")
    model = releases.models_dir / "pets"
    (model / "9").mkdir(parents=True)
    (model / "9" / "model.onnx").write_bytes(b"")
    (model / "config.pbtxt").write_text(
        'platform: "onnxruntime_onnx"\ninput { name: "i" data_type: TYPE_FP32 dims: [ 1 ] }\n'
        'output { name: "o" data_type: TYPE_FP32 dims: [ 1 ] }\n'
    )
    assert (await client.put(URL, content=plan, headers=YAML)).status_code == 201


async def test_a_model_of_another_task_is_no_candidate(client: httpx.AsyncClient, releases: MemoryReleases) -> None:
    config = releases.models_dir / "pets" / "config.pbtxt"  # the version is not loaded: its files tell
    config.parent.mkdir(parents=True)
    config.write_text(
        'platform: "onnxruntime_onnx"\ninput { name: "i" data_type: TYPE_FP32 dims: [ 1 ] }\n'
        'output { name: "o" data_type: TYPE_FP32 dims: [ 1 ] }\n'
        'parameters { key: "task" value { string_value: "embedding" } }\n'
    )
    refused = await client.put(URL, content=PLAN, headers=YAML)
    assert refused.status_code == 400
    assert refused.json()["errors"][0]["field"] == "candidate"
    assert "pets/2 is a model for embedding, and pets/1, which answers for pets" in refused.json()["detail"]


async def test_a_name_has_one_release_at_a_time(client: httpx.AsyncClient, releases: MemoryReleases) -> None:
    first = (await begun(client)).json()
    refused = await client.put(URL, content=PLAN, headers=YAML)
    assert refused.status_code == 409
    assert first["release"] in refused.json()["detail"]
    await releases.become("pets", phase=Phase.ROLLED_BACK)
    second = (await begun(client)).json()
    assert second["release"] != first["release"]
    assert second["revision"] > first["revision"]


async def test_a_default_that_has_to_be_written_back_is_waited_for(
    client: httpx.AsyncClient, releases: MemoryReleases
) -> None:
    await begun(client)
    await releases.become("pets", phase=Phase.ABORTED, winner="candidate")
    refused = await client.put(URL, content=PLAN, headers=YAML)
    assert (refused.status_code, refused.headers["retry-after"]) == (409, "1")
    await releases.become("pets", settled=True)
    await begun(client)


async def test_a_plan_may_be_meant_for_one_revision(client: httpx.AsyncClient, releases: MemoryReleases) -> None:
    for tag in ('"1"', "*"):
        assert (await client.put(URL, content=PLAN, headers=YAML | {"if-match": tag})).status_code == 412
    begun_as = (await begun(client)).headers["etag"]
    over = await releases.become("pets", phase=Phase.PROMOTED)
    stale = await client.put(URL, content=PLAN, headers=YAML | {"if-match": begun_as})
    assert stale.status_code == 412
    assert stale.json()["errors"][0]["field"] == "If-Match"
    fresh = await client.put(URL, content=PLAN, headers=YAML | {"if-match": f'"{over.revision}"'})
    assert fresh.status_code == 201
    assert (await client.put(URL, content=PLAN, headers=YAML | {"if-match": "1"})).status_code == 412


async def test_a_write_whose_answer_is_lost_is_no_other_release(
    client: httpx.AsyncClient, releases: MemoryReleases
) -> None:
    releases.store.lost = True
    begun_as = (await begun(client)).json()["release"]
    assert (await client.get(URL)).json()["release"] == begun_as


async def test_ending_a_release_gives_everything_back_to_stable(
    client: httpx.AsyncClient, releases: MemoryReleases
) -> None:
    await begun(client)
    await releases.become("pets", phase=Phase.PROGRESSING, weights=(50.0,))
    ended = await client.delete(URL)
    state = ended.json()
    assert (ended.status_code, state["phase"], state["weight"], state["is_over"]) == (200, "aborted", 0.0, True)
    assert "admin" in state["reason"]
    again = await client.delete(URL)
    assert again.json() == state, "its answer may have been lost: asking twice changes nothing"


@pytest.mark.parametrize("phase", [Phase.PROMOTED, Phase.ROLLED_BACK, Phase.ABORTED])
async def test_a_release_that_is_over_is_archived_and_routes_as_before(
    client: httpx.AsyncClient, releases: MemoryReleases, phase: Phase
) -> None:
    await begun(client)
    over = await releases.become("pets", phase=phase, settled=phase is Phase.ABORTED)
    assert (await client.delete(URL)).status_code == 200
    archived = await releases.store.get("pets")
    assert archived == replace(over, revision=archived.revision, archived=True)
    assert routing_of(archived.plan, archived.state) == routing_of(over.plan, over.state)
    for path in ("", "/report", "/timeline"):
        assert (await client.get(f"{URL}{path}")).status_code == 404
    assert (await client.delete(URL)).status_code == 404
    assert (await client.get("/v1/releases")).json()["releases"] == []
    [*_, last] = (await client.get(f"{URL}/events")).json()["events"]
    assert (last["from"], last["to"]) == (phase.value, phase.value)
    assert last["why"].endswith("archived it")
    await begun(client)


async def test_writes_need_an_administrator_and_are_audited(
    http: httpx.AsyncClient, keys: MemoryKeyStore, admin: dict[str, str], tmp_path: Path
) -> None:
    issued = issue(NewKey("k", frozenset({Scope.PREDICT, Scope.TESTER})), now=0.0)
    await keys.add(issued.key)
    mine = {"authorization": f"Bearer {issued.secret}"}
    for method, path in (("PUT", ""), ("DELETE", ""), ("POST", "/pause"), ("POST", "/promote")):
        assert (await http.request(method, URL + path, content=b"")).status_code == 401
        assert (await http.request(method, URL + path, content=b"", headers=mine)).status_code == 403
    assert (await http.put(URL, content=PLAN, headers=admin | YAML)).status_code == 201
    [line] = (tmp_path / AUDIT_FILE).read_bytes().splitlines()
    entry = orjson.loads(line)
    assert (entry["method"], entry["path"], entry["status"], entry["key_name"]) == ("PUT", URL, 201, "admin")
    assert (await http.get(URL)).status_code == 200, "reading needs no key, as for models"


async def test_a_model_tells_by_which_release_it_is_routed(
    client: httpx.AsyncClient, releases: MemoryReleases, router: Router
) -> None:
    assert (await client.get("/v1/models/pets")).json()["release"] is None
    release_id = (await begun(client)).json()["release"]
    release = await releases.become("pets", phase=Phase.PROGRESSING, weights=(33.3,))
    routing = routing_of(release.plan, release.state)
    assert routing is not None
    router.routings = {"pets": routing}
    assert (await client.get("/v1/models/pets")).json()["release"] == {
        "release": release_id,
        "weight": 33.3,
        "shadow": 0.0,
        "arms": [
            {"arm": "stable", "ref": "pets/1", "weight": 66.7},
            {"arm": "candidate", "ref": "pets/2", "weight": 33.3},
        ],
    }


async def test_without_a_store_it_is_said_what_to_set(client: httpx.AsyncClient, releases: MemoryReleases) -> None:
    releases.missing = "set GRAYSCALE_REDIS_URL"
    calls = [("GET", ""), ("DELETE", ""), ("POST", "/pause"), ("GET", "/report"), ("GET", "/events")]
    for method, path in calls:
        answer = await client.request(method, URL + path)
        assert (answer.status_code, answer.json()["detail"]) == (503, "set GRAYSCALE_REDIS_URL")
    assert (await client.put(URL, content=PLAN, headers=YAML)).status_code == 503
    assert (await client.get("/v1/models/pets")).status_code == 200
