"""Submitting jobs: what is accepted is on disk, what is refused leaves nothing, and one key makes one job."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest

from services.shared.errors import Unavailable
from services.shared.jobs.job import Created, Item, NewJob
from services.shared.jobs.manifest import new_job_from
from services.shared.keys.base import Scope
from services.shared.keys.issue import NewKey, issue
from services.shared.keys.memory import MemoryKeyStore
from services.shared.priority import Priority
from tests.support.api_jobs import LISTED, MAX_WAITING, MemoryJobs
from tests.support.fake_serving import FakeServing
from tests.support.job_bodies import FORM_TYPE, form, images
from tests.support.jobs import make, new_job
from tests.support.zip_files import usual_zip

URL = "/v1/models/pets/jobs"
A, B = b"image a", b"\x89PNG" * 1000
FORM = {"content-type": FORM_TYPE.decode()}
PNG = {"content-type": "image/png"}


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


async def submitted(http: httpx.AsyncClient, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    answer = await http.post(URL, content=A, headers={**PNG, **(headers or {})})
    assert answer.status_code == 202, answer.text
    document: dict[str, Any] = answer.json()
    return document


BODIES: dict[str, dict[str, Any]] = {
    "form": {"headers": FORM, "content": images(A, B)},
    "archive": {"headers": FORM, "content": form(("archive", "x.zip", usual_zip({"0.png": A, "1.png": B})))},
    "zip": {"headers": {"content-type": "application/zip"}, "content": usual_zip({"0.png": A, "1.png": B})},
    "json": {"json": {"images": [{"b64": b64(A), "name": "0.png"}, {"b64": b64(B), "name": "1.png"}]}},
}


@pytest.mark.parametrize("kind", BODIES)
async def test_an_accepted_job_is_on_disk_and_can_be_worked_on(
    http: httpx.AsyncClient, jobs: MemoryJobs, kind: str
) -> None:
    answer = await http.post(URL, **BODIES[kind])
    assert answer.status_code == 202, answer.text
    document = answer.json()
    assert answer.headers["location"] == document["status_url"] == f"/v1/jobs/{document['job_id']}"
    assert "idempotency-replayed" not in answer.headers
    assert (document["state"], document["total"], document["model"]) == ("queued", 2, "pets")
    lease = await jobs.work()
    assert [await jobs.blobs.get(item.blob_id, max_bytes=10**6) for item in lease.items] == [A, B]
    assert [item.name for item in lease.items] == ["0.png", "1.png"]
    assert jobs.blobs.settled == [lease.job_id]
    assert jobs.queue.woken == [Priority.NORMAL]


async def test_the_manifest_is_the_job(http: httpx.AsyncClient, jobs: MemoryJobs) -> None:
    document = await submitted(http, {"idempotency-key": "k", "x-priority": "low", "x-timeout-ms": "5000"})
    manifest = await jobs.blobs.manifest(document["job_id"])
    assert manifest is not None
    new, created_at = new_job_from(manifest)
    lease = await jobs.work()
    assert (new.job_id, new.owner, new.request, new.items) == (lease.job_id, "", lease.request, lease.items)
    assert new.idempotency is not None
    assert new.idempotency.key == "k"
    assert new.request.priority is Priority.LOW
    assert new.request.deadline_at == pytest.approx(created_at + 5)


async def test_the_manifest_is_on_disk_before_the_job_is_made(
    http: httpx.AsyncClient, jobs: MemoryJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    create, seen = jobs.store.create, list[bool]()

    async def watched(new: NewJob) -> Created:
        seen.append(await jobs.blobs.manifest(new.job_id) is not None and jobs.blobs.settled == [new.job_id])
        return await create(new)

    monkeypatch.setattr(jobs.store, "create", watched)
    await submitted(http)
    assert seen == [True]


async def test_a_process_that_ends_before_the_job_is_made_leaves_what_makes_it(
    http: httpx.AsyncClient, jobs: MemoryJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ending(new: NewJob) -> Created:
        raise asyncio.CancelledError

    monkeypatch.setattr(jobs.store, "create", ending)
    with pytest.raises(asyncio.CancelledError):
        await http.post(URL, content=A, headers=PNG)
    [job_id] = await jobs.staged()
    manifest = await jobs.blobs.manifest(job_id)
    assert manifest is not None
    [item] = new_job_from(manifest)[0].items
    assert await jobs.blobs.get(item.blob_id, max_bytes=100) == A


async def test_what_is_asked_for_reaches_the_worker(http: httpx.AsyncClient, jobs: MemoryJobs) -> None:
    url = LISTED + "a.png"
    body = {"images": [{"url": url, "name": "a"}, {"b64": b64(A), "key": "own"}], "top_k": 2, "version": 1}
    http.headers.update([(b"x-routing-key", "übrig".encode())])
    answer = await http.post(URL, json={**body, "callback_url": url})
    assert answer.status_code == 202, answer.text
    lease = await jobs.work()
    request = lease.request
    assert (request.model, request.version, request.top_k, request.callback_url) == ("pets", 1, 2, url)
    fetched, staged = lease.items
    assert fetched == Item("", "a", "übrig", url)
    assert (staged.routing_key, staged.url) == ("own", "")


async def test_a_chunk_is_a_few_of_the_models_batches(
    http: httpx.AsyncClient, jobs: MemoryJobs, serving: FakeServing
) -> None:
    assert serving.fake.models["pets"].config.max_batch_size == 8
    await http.post(URL, headers=FORM, content=images(*[A] * 50))
    assert [(await jobs.work()).chunk.size for _ in range(2)] == [32, 18]
    assert len(jobs.queue.woken) == 2, "one for each chunk"


async def test_fifty_at_once_with_one_key_make_one_job(http: httpx.AsyncClient, jobs: MemoryJobs) -> None:
    answers = await asyncio.gather(
        *(http.post(URL, headers={**FORM, "idempotency-key": "once"}, content=images(A, B)) for _ in range(50))
    )
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["job_id"] for answer in answers}) == 1
    assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1
    assert await jobs.staged() == [answers[0].json()["job_id"]]
    assert len(jobs.queue.woken) == 1


async def test_a_key_with_another_request_is_a_conflict(http: httpx.AsyncClient, jobs: MemoryJobs) -> None:
    first = await submitted(http, {"idempotency-key": "k"})
    other = await http.post(URL, content=B, headers={**PNG, "idempotency-key": "k"})
    assert other.status_code == 409
    assert other.json()["errors"][0]["field"] == "Idempotency-Key"
    assert await jobs.staged() == [first["job_id"]]


@pytest.fixture
async def ann_and_bob(keys: MemoryKeyStore) -> tuple[dict[str, str], dict[str, str]]:
    made = []
    for name in ("ann", "bob"):
        issued = issue(NewKey(name, frozenset({Scope.JOBS})), now=0.0)
        await keys.add(issued.key)
        made.append({"authorization": f"Bearer {issued.secret}"})
    return made[0], made[1]


async def test_an_idempotency_key_is_its_owners_alone(
    http: httpx.AsyncClient, ann_and_bob: tuple[dict[str, str], dict[str, str]]
) -> None:
    ids = {(await submitted(http, {**key, "idempotency-key": "k"}))["job_id"] for key in ann_and_bob}
    assert len(ids) == 2


async def test_naming_an_arm_is_a_testers(
    http: httpx.AsyncClient, ann_and_bob: tuple[dict[str, str], dict[str, str]]
) -> None:
    answer = await http.post(URL, content=A, headers={**PNG, **ann_and_bob[0], "x-release-arm": "canary"})
    assert answer.status_code == 403


class Unread:
    """A body that must not be asked for."""

    def __init__(self) -> None:
        self.read = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.read = True
        yield A


REFUSED = {
    "unknown model": ("/v1/models/nobody/jobs", {}, 404, None),
    "unknown version": (f"{URL}?version=9", {}, 404, None),
    "no model's name": ("/v1/models/.x/jobs", {}, 400, "model"),
    "kind of body": (URL, {"content-type": "text/plain"}, 415, "Content-Type"),
    "option": (f"{URL}?top_k=0", {}, 400, "top_k"),
    "callback": (f"{URL}?callback_url=https://elsewhere.example/", {}, 400, "callback_url"),
    "idempotency key": (URL, {"idempotency-key": "a b"}, 400, "Idempotency-Key"),
    "arm": (URL, {"x-release-arm": "canary"}, 400, "X-Release-Arm"),
    "priority": (URL, {"x-priority": "first"}, 400, "X-Priority"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_is_wrong_is_told_before_the_body_is_read(
    http: httpx.AsyncClient, jobs: MemoryJobs, case: str
) -> None:
    path, headers, status, field = REFUSED[case]
    body = Unread()
    answer = await http.post(path, headers={**PNG, **headers}, content=body)
    assert answer.status_code == status, answer.text
    assert not body.read
    if field is not None:
        assert answer.json()["errors"][0]["field"] == field
    assert await jobs.staged() == []


async def test_other_methods_are_told_which_there_is(http: httpx.AsyncClient) -> None:
    answer = await http.get(URL)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


async def test_an_unknown_version_in_the_body_leaves_nothing(http: httpx.AsyncClient, jobs: MemoryJobs) -> None:
    answer = await http.post(URL, json={"images": [{"b64": b64(A)}], "version": 9})
    assert answer.status_code == 404
    assert await jobs.staged() == []


async def test_a_full_queue_is_told_before_the_body_is_read(http: httpx.AsyncClient, jobs: MemoryJobs) -> None:
    await make(jobs.store, new_job(items=MAX_WAITING))
    body = Unread()
    answer = await http.post(URL, headers=PNG, content=body)
    assert (answer.status_code, body.read) == (503, False)
    assert int(answer.headers["retry-after"]) >= 1


async def test_a_job_that_does_not_fit_any_more_leaves_nothing(http: httpx.AsyncClient, jobs: MemoryJobs) -> None:
    await make(jobs.store, new_job(items=MAX_WAITING - 1))
    answer = await http.post(URL, headers=FORM, content=images(A, B))
    assert answer.status_code == 503
    assert await jobs.staged() == []


async def test_a_full_disk_is_told_before_the_body_is_read(
    http: httpx.AsyncClient, jobs: MemoryJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(size_bytes: int) -> None:
        raise Unavailable("the disk for images is full", retry_after_s=60)

    monkeypatch.setattr(jobs.blobs, "check_room", full)
    body = Unread()
    answer = await http.post(URL, headers=PNG, content=body)
    assert (answer.status_code, answer.headers["retry-after"], body.read) == (503, "60", False)


async def test_a_store_that_is_away_costs_jobs_and_nothing_else(
    http: httpx.AsyncClient, jobs: MemoryJobs, serving: FakeServing
) -> None:
    jobs.store.away = True
    body = Unread()
    answer = await http.post(URL, headers=PNG, content=body)
    assert (answer.status_code, answer.headers["retry-after"], body.read) == (503, "3", False)
    assert (await http.get("/v1/models/pets")).status_code == 200
    jobs.store.away = False
    jobs.clock.advance(2)
    await submitted(http)


async def test_a_store_that_goes_away_before_the_answer_leaves_no_manifest(
    http: httpx.AsyncClient, jobs: MemoryJobs
) -> None:
    """The job may have been made, so its images stay, and nothing makes it if it was not."""
    jobs.store.lost = True
    answer = await http.post(URL, headers={**PNG, "idempotency-key": "k"}, content=A)
    assert answer.status_code == 503
    [job_id] = await jobs.staged()
    assert await jobs.blobs.manifest(job_id) is None
    jobs.store.lost = False
    again = await submitted(http, {"idempotency-key": "k"})
    assert again["job_id"] == job_id
    lease = await jobs.work()
    assert await jobs.blobs.get(lease.items[0].blob_id, max_bytes=100) == A


async def test_no_more_bodies_are_read_at_once_than_there_are_places(http: httpx.AsyncClient, jobs: MemoryJobs) -> None:
    jobs.uploads.uploads = 64
    body = Unread()
    answer = await http.post(URL, headers=PNG, content=body)
    assert (answer.status_code, body.read) == (503, False)
    jobs.uploads.uploads = 0
    await submitted(http)
    assert (jobs.uploads.uploads, jobs.uploads.held_bytes) == (0, 0)
