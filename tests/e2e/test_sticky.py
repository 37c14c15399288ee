"""A release's weights from a real store: two API processes and a worker give every key the same arm, at every step."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace

import httpx
import pytest

from services.shared.model_ref import ModelRef
from services.shared.release.parse_plan import parse_plan
from services.shared.release.routing import ReleaseRouting, choose
from services.shared.release.state import Phase, begin, routing_of
from services.shared.release_store.base import Release
from services.shared.release_store.redis import RedisReleaseStore
from tests.support.api_processes import Api, running_api, wait_until
from tests.support.digit_models import add_rotated_version, copy_digits
from tests.support.images import digit_png
from tests.support.job_client import PREDICT, JobClient
from tests.support.valkey import ValkeyServer, require_valkey, running_valkey
from tests.support.worker_process import Worker, running_worker

KEYS = tuple(f"user-{number}" for number in range(200))
WEIGHTS = (1.0, 5.0, 25.0, 50.0, 100.0)
FOLLOW_S = 10.0  # a process follows within a second where nothing else runs
PLAN = parse_plan(
    {
        "model": "digits",
        "stable": {"model": "digits", "version": 1},
        "candidate": {"model": "digits", "version": 2},
        "strategy": "canary",
        "steps": [{"weight": weight, "for": "600s"} for weight in WEIGHTS[:-1]],  # the last is the hold's
    }
)


@dataclass(frozen=True, slots=True)
class Running:
    valkey: ValkeyServer
    api: Api
    worker: Worker


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    require_valkey()
    directory = tmp_path_factory.mktemp("sticky")
    model = copy_digits(directory / "models")
    add_rotated_version(model, 2, 3)
    config = model / "config.pbtxt"
    config.write_text(config.read_text() + "\nversion_policy { all { } }\n")
    with running_valkey(directory / "data") as valkey:
        environment = {"GRAYSCALE_MODELS": str(directory / "models"), "GRAYSCALE_REDIS_URL": valkey.url}
        slow = {**environment, "GRAYSCALE_WORKER_COURTEOUS": "0"}
        with (
            running_api(directory, 2, environment) as api,
            running_worker(valkey, models=directory / "models", environment=slow) as worker,
        ):
            asyncio.run(worker.until_said("a worker process is ready"))
            yield Running(valkey, api, worker)


@contextlib.asynccontextmanager
async def store(running: Running) -> AsyncIterator[RedisReleaseStore]:
    opened = RedisReleaseStore(running.valkey.url)
    yield opened
    await opened.close()


async def put(running: Running, step: int) -> ReleaseRouting:
    """The release at one of its steps, as a controller leaves it."""
    async with store(running) as releases:
        now, default = time.time(), ModelRef("digits", 1)
        first = begin(PLAN, "r-sticky", bytes(range(16)), default=default, loaded={default}, now=now)
        revision = (await releases.get("digits")).revision if step else 0
        phase, winner = (Phase.PROMOTING, "candidate") if step == len(PLAN.steps) else (Phase.PROGRESSING, "")
        state = replace(first, phase=phase, step=step, weights=(WEIGHTS[step],), winner=winner)
        await releases.put(Release(PLAN, state), expected_revision=revision)
    routing = routing_of(PLAN, state)
    assert routing is not None
    return routing


def arm_of(connection: http.client.HTTPConnection, key: str) -> str:
    connection.request("POST", PREDICT, digit_png(3), {"content-type": "image/png", "x-routing-key": key})
    answer = connection.getresponse()
    document = json.loads(answer.read())
    assert answer.status == 200, document
    return str(document["served_by"]["arm"])


@contextlib.contextmanager
def one_of_each(api: Api) -> Iterator[list[http.client.HTTPConnection]]:
    """A connection to each process."""
    found: dict[int, http.client.HTTPConnection] = {}
    with contextlib.ExitStack() as stack:

        def all_found() -> bool:
            connection = stack.enter_context(contextlib.closing(api.connect()))
            arm_of(connection, "anyone")
            owner = api.owner(connection)
            if owner is not None:
                found.setdefault(owner, connection)
            return len(found) == 2

        wait_until(all_found)
        yield list(found.values())


def expected(routing: ReleaseRouting, keys: Sequence[str]) -> list[str]:
    return [choose(routing, routing.hash_of(key.encode())).arm for key in keys]


async def job_arms(api: Api) -> tuple[list[str], list[str]]:
    """The keys of a job's items, and the arm that each got."""
    async with httpx.AsyncClient(base_url=api.url, timeout=30) as client:
        jobs = JobClient(client)
        job = await jobs.submit([digit_png(index % 10) for index in range(len(KEYS))])
        assert (await jobs.ended(job))["done"] == len(KEYS)
        keys = [f"{job['job_id']}:{index}" for index in range(len(KEYS))]
        return keys, [line["result"]["served_by"]["arm"] for line in await jobs.results(job)]


def until_followed(connections: list[http.client.HTTPConnection], routing: ReleaseRouting) -> None:
    """As soon as every process routes all keys as this step says."""
    wanted, end = expected(routing, KEYS), time.monotonic() + FOLLOW_S
    for connection in connections:
        while (found := [arm_of(connection, key) for key in KEYS]) != wanted:
            assert time.monotonic() < end, "an API process does not follow"
        assert found == wanted


async def until_jobs_follow(api: Api, routing: ReleaseRouting) -> list[str]:
    """The keys of the first job whose items all got the arms of this step."""
    end = time.monotonic() + FOLLOW_S
    while True:
        keys, arms = await job_arms(api)
        if arms == expected(routing, keys):
            return keys
        assert time.monotonic() < end, "a worker does not follow"


def test_every_process_gives_a_key_the_same_arm_and_no_key_moves_back(running: Running) -> None:
    before: set[str] = set()
    for step in range(len(WEIGHTS)):
        routing = asyncio.run(put(running, step))
        with one_of_each(running.api) as connections:
            until_followed(connections, routing)
            inside = {key for key, arm in zip(KEYS, expected(routing, KEYS), strict=True) if arm == "candidate"}
            assert before <= inside
            before = inside
            keys = asyncio.run(until_jobs_follow(running.api, routing))
            for connection in connections:
                assert [arm_of(connection, key) for key in keys] == expected(routing, keys)
    assert before == set(KEYS)
