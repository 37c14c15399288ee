"""Looking at jobs, ending them, and the dead letters; who sees what."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx
import orjson
import pytest

from services.shared.jobs.retry import Caps
from services.shared.keys.base import Scope
from services.shared.keys.issue import NewKey, issue
from services.shared.keys.memory import MemoryKeyStore
from tests.support.api_jobs import MemoryJobs
from tests.support.job_bodies import FORM_TYPE, images
from tests.support.jobs import claimed, make, new_job

URL = "/v1/models/pets/jobs"


async def submit(http: httpx.AsyncClient, count: int = 2, headers: Mapping[str, str] | None = None) -> str:
    body = images(*(b"image %d" % index for index in range(count)))
    answer = await http.post(URL, content=body, headers={"content-type": FORM_TYPE.decode(), **(headers or {})})
    assert answer.status_code == 202, answer.text
    job_id: str = answer.json()["job_id"]
    return job_id


async def key(keys: MemoryKeyStore, *scopes: Scope) -> dict[str, str]:
    issued = issue(NewKey("k", frozenset(scopes)), now=0.0)
    await keys.add(issued.key)
    return {"authorization": f"Bearer {issued.secret}"}


def lines(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    return [orjson.loads(line) for line in answer.content.splitlines()]


async def test_a_job_is_shown_as_it_stands(http: httpx.AsyncClient, jobs: MemoryJobs) -> None:
    job_id = await submit(http, 5)
    await jobs.work(failed=(1,))
    shown = (await http.get(f"/v1/jobs/{job_id}")).json()
    assert (shown["state"], shown["done"], shown["failed"], shown["total"]) == ("succeeded", 4, 1, 5)
    assert shown["created_at"].endswith("Z")
    assert (await http.get(shown["results_url"])).status_code == 200


async def test_jobs_are_listed_newest_first_in_pages(http: httpx.AsyncClient) -> None:
    ids = [await submit(http) for _ in range(3)]
    first = (await http.get("/v1/jobs", params={"limit": 2})).json()["jobs"]
    assert [job["job_id"] for job in first] == [ids[2], ids[1]]
    rest = (await http.get("/v1/jobs", params={"before": ids[1]})).json()["jobs"]
    assert [job["job_id"] for job in rest] == [ids[0]]
    assert (await http.get("/v1/jobs", params={"before": "f" * 32})).status_code == 404
    assert (await http.get("/v1/jobs", params={"limit": 1001})).status_code == 400


async def test_the_limits_of_a_job_are_told_before_it_is_sent(http: httpx.AsyncClient) -> None:
    answer = await http.get("/v1/jobs/limits")
    assert answer.json() == {"max_images": 100, "max_bytes": 2_000_000, "max_image_bytes": 1_000_000}


async def test_results_are_lines_in_the_order_of_the_images(http: httpx.AsyncClient, jobs: MemoryJobs) -> None:
    job_id = await submit(http, 40)
    url = f"/v1/jobs/{job_id}/results"
    assert lines(await http.get(url)) == []
    await jobs.work(failed=(3,))
    found = lines(await http.get(url))
    assert [line["index"] for line in found] == [*range(32)]
    assert found[2] == {"index": 2, "name": "2.png", "result": {"predictions": [2]}}
    assert found[3] == {"index": 3, "name": "3.png", "error": {"cause": "undecodable_image", "detail": "no image"}}
    await jobs.work()
    rest = lines(await http.get(url, params={"from": 32, "follow": True}))
    assert [line["index"] for line in rest] == [*range(32, 40)]
    assert [line["index"] for line in lines(await http.get(url, params={"from": 5, "limit": 2}))] == [5, 6]
    for wrong in ({"from": -1}, {"limit": 0}, {"follow": "perhaps"}):
        assert (await http.get(url, params=wrong)).status_code == 400


async def test_progress_is_a_stream_of_events(http: httpx.AsyncClient, jobs: MemoryJobs) -> None:
    job_id = await submit(http)
    reading = asyncio.create_task(http.get(f"/v1/jobs/{job_id}/events", headers={"last-event-id": "7"}))
    await asyncio.sleep(0.02)
    await jobs.work()
    answer = await asyncio.wait_for(reading, 10)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    names = [line for line in answer.text.splitlines() if line.startswith("event: ")]
    assert (names[0], names[-1]) == ("event: progress", "event: end")


async def test_cancelling_ends_a_job_once(http: httpx.AsyncClient, jobs: MemoryJobs) -> None:
    job_id = await submit(http)
    lease = await claimed(jobs.store)
    cancelled = await http.delete(f"/v1/jobs/{job_id}")
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    assert await jobs.store.renew(lease) is None
    assert (await http.delete(f"/v1/jobs/{job_id}")).json() == cancelled.json()
    assert await jobs.staged() == [job_id], "its results and images are kept for a while"


async def test_a_purged_job_is_gone_with_all_that_it_had(http: httpx.AsyncClient, jobs: MemoryJobs) -> None:
    job_id = await submit(http)
    await jobs.work()
    purged = await http.delete(f"/v1/jobs/{job_id}", params={"purge": True})
    assert (purged.status_code, purged.content) == (204, b"")
    for path in ("", "/results", "/events"):
        assert (await http.get(f"/v1/jobs/{job_id}{path}")).status_code == 404
    assert (await http.delete(f"/v1/jobs/{job_id}", params={"purge": True})).status_code == 404
    assert await jobs.staged() == []
    assert await jobs.blobs.manifest(job_id) is None
    assert await jobs.store.sweep() == ()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("DELETE", ""),
        ("DELETE", "?purge=true"),
        ("GET", "/results"),
        ("GET", "/results?follow=true"),
        ("GET", "/events"),
    ],
)
async def test_a_job_of_somebody_else_is_not_there(
    http: httpx.AsyncClient, keys: MemoryKeyStore, jobs: MemoryJobs, method: str, path: str
) -> None:
    ann, bob, admin = [await key(keys, scope) for scope in (Scope.JOBS, Scope.JOBS, Scope.ADMIN)]
    job_id = await submit(http, headers=ann)
    await jobs.work()
    url = f"/v1/jobs/{job_id}{path}"
    for there_or_not in (url, url.replace(job_id, "f" * 32)):
        assert (await http.request(method, there_or_not, headers=bob)).status_code == 404
    assert (await http.request(method, url)).status_code == 401
    assert (await http.get("/v1/jobs", headers=bob)).json() == {"jobs": []}
    assert await jobs.blobs.manifest(job_id) is not None
    assert (await http.request(method, url, headers=admin)).status_code in (200, 204)


async def test_jobs_need_their_own_scope(http: httpx.AsyncClient, keys: MemoryKeyStore) -> None:
    predicting = await key(keys, Scope.PREDICT)
    assert (await http.get("/v1/jobs", headers=predicting)).status_code == 403
    assert (await http.post(URL, content=b"x", headers=predicting)).status_code == 403


@pytest.mark.parametrize(
    ("path", "allow"), [("/v1/jobs/x", "DELETE, GET"), ("/v1/jobs", "GET"), ("/v1/jobs/dead", "GET")]
)
async def test_a_method_that_there_is_not_is_told_all_that_there_are(
    http: httpx.AsyncClient, admin: dict[str, str], path: str, allow: str
) -> None:
    answer = await http.put(path, headers=admin)
    assert (answer.status_code, answer.headers["allow"]) == (405, allow)


@pytest.mark.parametrize("job_id", ["x:items", "..", "a%20b", "f" * 65, "%C3%BC"])
async def test_what_is_no_jobs_id_is_asked_of_no_store(
    http: httpx.AsyncClient, admin: dict[str, str], job_id: str
) -> None:
    for method in ("GET", "DELETE"):
        answer = await http.request(method, f"/v1/jobs/{job_id}", params={"purge": True}, headers=admin)
        assert answer.status_code in (400, 404, 405), answer.text


async def dead_letter(jobs: MemoryJobs) -> str:
    """An image that breaks whatever works on it."""
    job = await make(jobs.store, new_job(items=1, chunk=1, owner=""))
    for _ in range(Caps().strikes):
        await jobs.store.release(await claimed(jobs.store), retry_in_s=0.0, reason="it broke", strike=True)
    return job.job_id


async def test_dead_letters_are_shown_and_tried_again(
    http: httpx.AsyncClient, jobs: MemoryJobs, admin: dict[str, str]
) -> None:
    job_id = await dead_letter(jobs)
    [letter] = (await http.get("/v1/jobs/dead", headers=admin)).json()["dead"]
    assert letter == {
        "dead_id": f"{job_id}:0",
        "job_id": job_id,
        "index": 0,
        "name": "0.png",
        "reason": "it broke",
        "attempts": 3,
        "at": letter["at"],
    }
    again = await http.post(f"/v1/jobs/dead/{letter['dead_id']}/requeue", headers=admin)
    assert (again.status_code, again.json()["state"]) == (200, "running")
    assert len(jobs.queue.woken) == 1
    await jobs.work()
    assert (await http.get(f"/v1/jobs/{job_id}", headers=admin)).json()["state"] == "succeeded"
    assert (await http.get("/v1/jobs/dead", headers=admin)).json() == {"dead": []}
    assert (await http.post(f"/v1/jobs/dead/{job_id}:0/requeue", headers=admin)).status_code == 404


async def test_dead_letters_are_an_administrators(http: httpx.AsyncClient, jobs: MemoryJobs) -> None:
    job_id = await dead_letter(jobs)
    assert (await http.get("/v1/jobs/dead")).status_code == 401
    assert (await http.post(f"/v1/jobs/dead/{job_id}:0/requeue")).status_code == 401
    assert len(await jobs.store.dead()) == 1


async def test_the_metrics_have_the_queue_while_the_store_answers(http: httpx.AsyncClient, jobs: MemoryJobs) -> None:
    await submit(http, 3, {"x-priority": "low"})
    jobs.clock.advance(7)
    text = (await http.get("/metrics")).text
    assert 'grayscale_jobs_waiting_images{priority="low"} 3.0' in text
    assert 'grayscale_jobs_oldest_waiting_seconds{priority="low"} 7.0' in text
    jobs.store.away = True
    jobs.clock.advance(2)
    text = (await http.get("/metrics")).text
    assert "grayscale_jobs" not in text
    assert "grayscale_http_requests_total" in text


async def test_the_document_has_every_call_on_jobs(http: httpx.AsyncClient) -> None:
    document = (await http.get("/openapi.json")).json()
    calls = {(method, path) for path, item in document["paths"].items() for method in item if "/jobs" in path}
    assert calls == {
        ("post", "/v1/models/{model}/jobs"),
        ("get", "/v1/jobs"),
        ("get", "/v1/jobs/{job_id}"),
        ("delete", "/v1/jobs/{job_id}"),
        ("get", "/v1/jobs/{job_id}/results"),
        ("get", "/v1/jobs/{job_id}/events"),
        ("get", "/v1/jobs/limits"),
        ("get", "/v1/jobs/dead"),
        ("post", "/v1/jobs/dead/{dead_id}/requeue"),
    }
    submit = document["paths"]["/v1/models/{model}/jobs"]["post"]
    assert {"multipart/form-data", "application/zip", "application/json"} <= submit["requestBody"]["content"].keys()
    assert "JobDocument" in document["components"]["schemas"]
