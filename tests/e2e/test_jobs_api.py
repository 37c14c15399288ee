"""Jobs over real sockets: API processes, a Valkey server and files; this test is the worker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from services.shared.blobs.disk import DiskBlobStore
from services.shared.jobs.job import ItemResult, Lease
from services.shared.jobs.redis import RedisJobStore
from tests.support.api_processes import BOUND_S, Api, picture, running_api
from tests.support.job_bodies import FORM_TYPE, images
from tests.support.jobs import claimed
from tests.support.valkey import ValkeyServer, running_valkey
from tests.support.zip_files import usual_zip

SUBMIT = "/v1/models/digits/jobs"
FORM = {"content-type": FORM_TYPE.decode()}


@dataclass(frozen=True, slots=True)
class Deployed:
    """Two API processes that share a Valkey server and a data directory."""

    api: Api
    valkey: ValkeyServer


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    directory = tmp_path_factory.mktemp("jobs")
    with (
        running_valkey(directory / "valkey") as valkey,
        running_api(directory, environment={"GRAYSCALE_REDIS_URL": valkey.url}) as api,
    ):
        yield Deployed(api, valkey)


@pytest.fixture
async def http(deployed: Deployed) -> AsyncIterator[httpx.AsyncClient]:
    limits = httpx.Limits(max_connections=100)
    async with httpx.AsyncClient(base_url=deployed.api.url, timeout=30, limits=limits) as client:
        yield client


@pytest.fixture
async def store(deployed: Deployed) -> AsyncIterator[RedisJobStore]:
    store = RedisJobStore(deployed.valkey.url)
    yield store
    await store.close()


@pytest.fixture
def blobs(deployed: Deployed) -> DiskBlobStore:
    return DiskBlobStore(deployed.api.data_dir / "blobs")


async def work(store: RedisJobStore) -> Lease:
    """Answers the next chunk."""
    lease = await claimed(store)
    await store.complete(lease, [ItemResult(index, result={"predictions": [index]}) for index in lease.chunk.indices])
    return lease


async def submit(http: httpx.AsyncClient, count: int = 3, **headers: str) -> str:
    answer = await http.post(SUBMIT, content=images(*[picture()] * count), headers={**FORM, **headers})
    assert answer.status_code == 202, answer.text
    job_id: str = answer.json()["job_id"]
    return job_id


async def _metrics(http: httpx.AsyncClient) -> str:
    return (await http.get("/metrics")).text


async def gone(read: Callable[[], Awaitable[str]], *words: str) -> None:
    """Returns when what is read has none of the words any more; it may be a second old."""
    end = time.monotonic() + BOUND_S
    while True:
        text = await read()
        if not any(word in text for word in words):
            return
        assert time.monotonic() < end, text
        await asyncio.sleep(0.05)


def lines(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    return [orjson.loads(line) for line in answer.content.splitlines()]


@pytest.mark.parametrize("kind", ["application/zip", "image/png"])
async def test_a_jobs_images_reach_the_worker_and_its_results_the_client(
    http: httpx.AsyncClient, store: RedisJobStore, blobs: DiskBlobStore, kind: str
) -> None:
    body = picture() if kind == "image/png" else usual_zip({"a/0.png": picture(), "b/1.png": picture()})
    answer = await http.post(SUBMIT, content=body, headers={"content-type": kind})
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert await blobs.manifest(job["job_id"]) is not None
    lease = await work(store)
    assert {await blobs.get(item.blob_id, max_bytes=10_000) for item in lease.items} == {picture()}
    found = lines(await http.get(job["results_url"], params={"follow": True}))
    assert [line["index"] for line in found] == [*range(job["total"])]
    assert (await http.get(job["status_url"])).json()["state"] == "succeeded"
    assert 'grayscale_jobs_images_total{outcome="done"}' in (await http.get("/metrics")).text


async def test_fifty_at_once_with_one_key_make_one_job(
    http: httpx.AsyncClient, store: RedisJobStore, blobs: DiskBlobStore
) -> None:
    ids = set(await asyncio.gather(*(submit(http, 2, **{"idempotency-key": "once"}) for _ in range(50))))
    assert len(ids) == 1
    [job_id] = ids
    assert [job.job_id for job in await blobs.jobs() if job.job_id in ids] == [job_id]
    lease = await work(store)
    assert lease.job_id == job_id
    assert await store.claim("w") is None
    others = [job.job_id for job in await blobs.jobs()]
    known = {job.job_id for job in await store.list(owner=None)}
    assert set(others) <= known, "what was staged for the other 49 is gone"


async def test_progress_is_told_while_the_job_runs(http: httpx.AsyncClient, store: RedisJobStore) -> None:
    job_id = await submit(http, 100)
    states: list[tuple[str, int]] = []
    async with http.stream("GET", f"/v1/jobs/{job_id}/events") as answer:
        name = ""
        async for line in answer.aiter_lines():
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: "):
                states.append((name, orjson.loads(line[6:])["done"]))
                await work(store) if name == "progress" else None
    assert states == [("progress", 0), ("progress", 64), ("end", 100)]


async def test_a_stream_whose_reader_left_is_not_held(http: httpx.AsyncClient, store: RedisJobStore) -> None:
    job_id = await submit(http)
    for path in ("events", "results?follow=true"):
        async with http.stream("GET", f"/v1/jobs/{job_id}/{path}") as answer:
            assert answer.status_code == 200
    await gone(lambda: _metrics(http), "grayscale_http_requests_in_flight 2.0", "grayscale_http_requests_in_flight 3.0")
    await store.cancel(job_id, owner=None)


async def test_a_purge_leaves_nothing(http: httpx.AsyncClient, store: RedisJobStore, blobs: DiskBlobStore) -> None:
    job_id = await submit(http)
    cancelled = await http.delete(f"/v1/jobs/{job_id}")
    assert cancelled.json()["state"] == "cancelled"
    assert await store.claim("w") is None
    assert (await http.delete(f"/v1/jobs/{job_id}", params={"purge": True})).status_code == 204
    assert (await http.get(f"/v1/jobs/{job_id}")).status_code == 404
    assert job_id not in [job.job_id for job in await blobs.jobs()]
    assert await store.sweep() == ()


@pytest.mark.parametrize("how", ["stopped", "hanging"])
async def test_while_the_store_is_away_only_jobs_are_refused(
    deployed: Deployed, http: httpx.AsyncClient, store: RedisJobStore, how: str
) -> None:
    before = await submit(http, 2)
    deployed.valkey.stop() if how == "stopped" else deployed.valkey.hang()
    try:
        for _ in range(3):  # both processes, also once they know it
            refused = await http.post(SUBMIT, content=images(picture()), headers=FORM)
            assert refused.status_code == 503, refused.text
            assert int(refused.headers["retry-after"]) >= 1
            predicted = await http.post(
                "/v1/models/digits/predict", content=picture(), headers={"content-type": "image/png"}
            )
            assert predicted.status_code == 200
        assert (await http.get(f"/v1/jobs/{before}")).status_code == 503
        await gone(lambda: _metrics(http), "grayscale_jobs")
    finally:
        deployed.valkey.start() if how == "stopped" else deployed.valkey.resume()
    end = time.monotonic() + BOUND_S
    while (answer := await http.post(SUBMIT, content=images(picture()), headers=FORM)).status_code != 202:
        assert (answer.status_code, time.monotonic() < end) == (503, True)
        await asyncio.sleep(0.1)
    worked = [lease.job_id for lease in [await work(store), await work(store)]]
    while lease := await store.claim("w"):  # one that was refused because its answer was lost in the hanging server
        worked.append(lease.job_id)
    assert {before, answer.json()["job_id"]} <= set(worked)


async def test_streams_end_with_the_server_and_are_not_cut(tmp_path: Path) -> None:
    """Within FINISH_S they would be cut, which a client sees as an error."""
    with (
        running_valkey(tmp_path / "valkey") as valkey,
        running_api(tmp_path, processes=1, environment={"GRAYSCALE_REDIS_URL": valkey.url}) as api,
    ):
        async with httpx.AsyncClient(base_url=api.url, timeout=60) as http:
            job_id = await submit(http)
            async with (
                http.stream("GET", f"/v1/jobs/{job_id}/events") as events,
                http.stream("GET", f"/v1/jobs/{job_id}/results?follow=true") as results,
            ):
                said = events.aiter_text()
                text = await anext(said)
                api.process.terminate()
                text += "".join([piece async for piece in said])
                assert "event: progress" in text
                assert "event: end" not in text
                assert await results.aread() == b""
            assert await asyncio.to_thread(api.process.wait, BOUND_S) == 0


async def test_the_log_names_the_job(tmp_path: Path) -> None:
    with (
        running_valkey(tmp_path / "valkey") as valkey,
        running_api(
            tmp_path, processes=1, environment={"GRAYSCALE_REDIS_URL": valkey.url, "GRAYSCALE_ACCESS_LOG": "1"}
        ) as api,
    ):
        async with httpx.AsyncClient(base_url=api.url, timeout=30) as http:
            job_id = await submit(http)
            await http.get(f"/v1/jobs/{job_id}")
            api.stop()
        logged = [orjson.loads(line) for line in api.log.read_text().splitlines() if line.startswith("{")]
    assert [line["status"] for line in logged if line.get("job_id") == job_id] == [202, 200]


async def test_without_a_store_jobs_say_what_to_set(tmp_path: Path) -> None:
    with running_api(tmp_path, processes=1, environment={"GRAYSCALE_REDIS_URL": ""}) as api:
        async with httpx.AsyncClient(base_url=api.url, timeout=30) as http:
            for answer in (
                await http.post(SUBMIT, content=images(picture()), headers=FORM),
                await http.get("/v1/jobs"),
                await http.get(f"/v1/jobs/{'f' * 32}/events"),
            ):
                assert answer.status_code == 503
                assert "GRAYSCALE_REDIS_URL" in answer.json()["detail"]
