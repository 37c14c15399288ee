"""Jobs on a stack that asks for keys and shares its model's traffic between two versions."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import re
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.shared.embedded_valkey import valkey_url
from services.shared.jobs.redis import RedisJobStore
from services.shared.keys.base import Scope
from services.shared.keys.file import FileKeyStore
from services.shared.keys.issue import IssuedKey, NewKey, issue
from services.shared.release.routing import choose
from tests.support.digit_models import add_rotated_version, copy_digits
from tests.support.images import digit_png
from tests.support.job_client import BOUND_S, PREDICT, SUBMIT, JobClient
from tests.support.live_releases import live_release, put_release, routing, until_followed
from tests.support.stack import Stack, free_ports, running_stack
from tests.support.valkey import require_valkey
from tests.support.worker_process import all_results

SHIFT, COUNT = 3, 200
RELEASE = live_release(30.0)
ROUTING = routing(RELEASE)
EVIDENCE = re.compile(r'grayscale_release_requests_total{arm="(\w+)",release="r-1",source="job",step="0"} (\S+)')


@dataclass(frozen=True, slots=True)
class Guarded:
    """The stack, two keys that may predict and use jobs, and one that may force an arm, too."""

    stack: Stack
    worker_port: int
    one: IssuedKey
    other: IssuedKey
    tester: IssuedKey


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    require_valkey()
    directory = tmp_path_factory.mktemp("release")
    model, data_dir = copy_digits(directory / "models"), directory / "data"
    add_rotated_version(model, 2, SHIFT)
    config = model / "config.pbtxt"
    config.write_text(config.read_text() + "\nversion_policy { all { } }\n")
    usual = frozenset({Scope.PREDICT, Scope.JOBS})
    scopes = {"one": usual, "other": usual, "tester": usual | {Scope.TESTER}}
    keys = {name: issue(NewKey(name, each), now=time.time()) for name, each in scopes.items()}
    asyncio.run(_add(FileKeyStore(data_dir), *keys.values()))
    [worker_port] = free_ports(1)
    environment = {"GRAYSCALE_WORKER_COURTEOUS": "0", "GRAYSCALE_WORKER_PORT": str(worker_port)}
    with running_stack(
        directory,
        *("--model-server", "--no-controller", "--processes", "1"),
        models=directory / "models",
        environment=environment,
    ) as stack:
        asyncio.run(_begin_release(data_dir))
        yield Guarded(stack, worker_port, **keys)


async def _begin_release(data_dir: Path) -> None:
    release = await put_release(valkey_url(data_dir), RELEASE)
    await until_followed(data_dir, release, ("api", "worker"))


async def _add(store: FileKeyStore, *keys: IssuedKey) -> None:
    for key in keys:
        await store.add(key.key)


def bearer(key: IssuedKey) -> dict[str, str]:
    return {"authorization": f"Bearer {key.secret}"}


@contextlib.asynccontextmanager
async def as_client(guarded: Guarded, headers: dict[str, str]) -> AsyncIterator[JobClient]:
    async with httpx.AsyncClient(base_url=guarded.stack.url, timeout=30, headers=headers) as http:
        yield JobClient(http)


async def all_done(client: JobClient, count: int, **headers: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A job of so many digits, whose index is their last figure, and its results."""
    job = await client.submit([digit_png(index % 10) for index in range(count)], **headers)
    assert (await client.ended(job))["done"] == count
    return job, [line["result"] for line in await client.results(job)]


async def test_every_item_gets_the_arm_that_its_key_has_and_the_answer_of_a_live_request(guarded: Guarded) -> None:
    async with as_client(guarded, bearer(guarded.one)) as client:
        job, results = await all_done(client, COUNT)
        arms = [result["served_by"]["arm"] for result in results]
        keys = [f"{job['job_id']}:{index}" for index in range(COUNT)]
        assert arms == [choose(ROUTING, ROUTING.hash_of(key.encode())).arm for key in keys]
        assert set(arms) == {"candidate", "stable"}
        for index in range(40):
            headers = {"content-type": "image/png", "x-routing-key": keys[index]}
            live = (await client.http.post(PREDICT, content=digit_png(index % 10), headers=headers)).json()
            assert results[index]["served_by"] == live["served_by"]
            assert top(results[index]) == pytest.approx(top(live["results"][0]), abs=1e-6)


async def test_one_key_for_a_whole_job_gives_one_arm_and_a_version_or_an_arm_may_be_asked_for(
    guarded: Guarded,
) -> None:
    async with as_client(guarded, bearer(guarded.tester)) as client:
        for key in ("ann", "bob", "eve", "joe"):
            _, results = await all_done(client, 20, x_routing_key=key)
            expected = choose(ROUTING, ROUTING.hash_of(key.encode()))
            assert served(results) == {(expected.ref.version, expected.arm): 20}
        _, results = await all_done(client, 20, x_release_arm="candidate")
        assert served(results) == {(2, "candidate"): 20}


def top(result: dict[str, Any]) -> tuple[float, float]:
    """The best class and its score."""
    best = result["predictions"][0]
    return best["index"], best["score"]


def served(results: list[dict[str, Any]]) -> collections.Counter[tuple[int, str]]:
    return collections.Counter((each["served_by"]["version"], each["served_by"]["arm"]) for each in results)


async def test_items_are_counted_as_evidence_with_a_source_of_their_own(guarded: Guarded) -> None:
    async with as_client(guarded, bearer(guarded.one)) as client:
        await all_done(client, COUNT)
    expected = await answered_by_the_release(guarded)
    end = time.monotonic() + BOUND_S
    while (counted := await evidence(guarded)) != expected:  # each process tells its numbers every second
        assert time.monotonic() < end, (counted, expected)
        await asyncio.sleep(0.05)


async def answered_by_the_release(guarded: Guarded) -> dict[str, int]:
    """How many items of all jobs each arm has answered, without being forced."""
    store, arms = RedisJobStore(valkey_url(guarded.stack.data_dir)), collections.Counter[str]()
    for job in await store.list(owner=None):
        if not job.request.arm:
            results = await all_results(store, job.job_id)
            arms.update(each.result["served_by"]["arm"] for each in results if each.result)  # type: ignore[index]
    await store.close()
    return dict(arms)


async def evidence(guarded: Guarded) -> dict[str, int]:
    """What the worker says that it has counted, by arm."""
    async with httpx.AsyncClient() as http:
        shown = (await http.get(f"http://127.0.0.1:{guarded.worker_port}/metrics")).text
    return {arm: int(float(count)) for arm, count in EVIDENCE.findall(shown)}


async def test_a_job_of_one_key_is_not_there_for_another(guarded: Guarded) -> None:
    async with as_client(guarded, bearer(guarded.one)) as one:
        job, _ = await all_done(one, 3, idempotency_key="shared")
        assert job["job_id"] in await listed(one)
    async with as_client(guarded, bearer(guarded.other)) as other:
        assert job["job_id"] not in await listed(other)
        calls = [("GET", job[name]) for name in ("status_url", "results_url", "events_url")]
        for method, url in [*calls, ("DELETE", job["status_url"]), ("DELETE", job["status_url"] + "?purge=true")]:
            answer = await other.http.request(method, url)
            assert (answer.status_code, answer.json()["type"]) == (404, "urn:grayscale:problem:not-found"), url
        theirs, _ = await all_done(other, 3, idempotency_key="shared")
        assert theirs["job_id"] != job["job_id"]
    async with as_client(guarded, {}) as nobody:
        assert (await nobody.http.get(job["status_url"])).status_code == 401
        assert (await nobody.http.post(SUBMIT, content=b"")).status_code == 401
    async with as_client(guarded, guarded.stack.admin) as admin:
        assert {job["job_id"], theirs["job_id"]} <= await listed(admin)
        assert (await admin.shown(job))["done"] == 3


async def listed(client: JobClient) -> set[str]:
    return {job["job_id"] for job in (await client.http.get("/v1/jobs")).json()["jobs"]}
