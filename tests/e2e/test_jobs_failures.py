"""Jobs on a real stack whose parts go away, one at a time; nobody but the stack itself does anything about it."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import pytest

from services.shared.jobs.job import StoreStats
from services.shared.jobs.redis import RedisJobStore
from tests.support.images import digit_png, encoded, held_out_digits
from tests.support.job_client import PREDICT, SUBMIT, JobClient, Picture, body_of, check_lines
from tests.support.polling import until
from tests.support.stack import Stack, running_stack
from tests.support.valkey import ValkeyServer, running_valkey

# Longer than a lease and than every timeout of a call of the server; GRAYSCALE_TEST_OUTAGE_S asks for another.
OUTAGE_S = float(os.environ.get("GRAYSCALE_TEST_OUTAGE_S", "9"))
RESUMES_S = 10.0  # what is promised of a chunk whose worker was killed
SIMULTANEOUS = 50


@dataclass(frozen=True, slots=True)
class Deployed:
    """A stack with a model server and a worker of two processes, and the Valkey server that it is told to use."""

    stack: Stack
    valkey: ValkeyServer


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    directory = tmp_path_factory.mktemp("failures")
    with running_valkey(directory / "valkey") as valkey:
        environment = {
            "GRAYSCALE_REDIS_URL": valkey.url,
            "GRAYSCALE_WORKER_PROCESSES": "2",
            "GRAYSCALE_WORKER_RUNNERS": "1",  # so that a job of some chunks is not done in one go
            "GRAYSCALE_WORKER_COURTEOUS": "0",
        }
        with running_stack(directory, "--model-server", "--processes", "1", environment=environment) as stack:
            yield Deployed(stack, valkey)


@pytest.fixture
async def client(deployed: Deployed) -> AsyncIterator[JobClient]:
    limits = httpx.Limits(max_connections=SIMULTANEOUS)
    async with httpx.AsyncClient(base_url=deployed.stack.url, timeout=30, limits=limits) as http:
        yield JobClient(http)


@pytest.fixture
async def store(deployed: Deployed) -> AsyncIterator[RedisJobStore]:
    store = RedisJobStore(deployed.valkey.url)
    yield store
    await store.close()


def large_digit(label: int) -> bytes:
    """A picture whose decoding takes about ten milliseconds: a chunk of them can be met in the middle."""
    return encoded(np.kron(held_out_digits()[label][0], np.ones((160, 160), np.uint8)), "PNG")


async def large(client: JobClient, count: int) -> list[Picture]:
    answered = [await client.answered(large_digit(label)) for label in range(5)]
    return [answered[index % 5] for index in range(count)]


def data_of(pictures: list[Picture]) -> list[bytes]:
    return [picture.data for picture in pictures]


@pytest.mark.parametrize("how", ["stopped", "hanging"])
async def test_a_job_ends_by_itself_after_its_store_was_away_and_predictions_do_not_notice(
    deployed: Deployed, client: JobClient, store: RedisJobStore, how: str
) -> None:
    pictures = await large(client, 300)
    job = await client.submit(data_of(pictures))
    following = asyncio.create_task(client.followed(job))
    await client.begun(job)
    deployed.valkey.stop() if how == "stopped" else deployed.valkey.hang()
    try:
        end = time.monotonic() + OUTAGE_S
        while time.monotonic() < end:
            await check_only_jobs_are_refused(client)
    finally:
        deployed.valkey.start() if how == "stopped" else deployed.valkey.resume()
    ended = await client.ended(job)
    assert (ended["state"], ended["done"]) == ("succeeded", 300)
    check_lines(await client.results(job), pictures)
    check_lines(await following, pictures)
    assert (await store.stats()).totals["buried"] == 0


async def check_only_jobs_are_refused(client: JobClient) -> None:
    body, media_type = body_of("form", [digit_png(3)])
    refused = await client.http.post(SUBMIT, content=body, headers={"content-type": media_type})
    assert refused.status_code == 503, refused.text
    assert int(refused.headers["retry-after"]) >= 1
    predicted = await client.http.post(PREDICT, content=digit_png(3), headers={"content-type": "image/png"})
    assert predicted.status_code == 200, predicted.text


async def test_the_chunk_of_a_worker_that_was_killed_resumes_within_ten_seconds(
    deployed: Deployed, client: JobClient, store: RedisJobStore
) -> None:
    pictures = await large(client, 64)  # one chunk
    stats = before = await store.stats()
    while stats.totals["lapsed"] == before.totals["lapsed"]:  # the other process may have had it
        job, (victim, *others) = await met_in_the_middle(deployed, client, store, pictures)
        os.kill(victim, signal.SIGKILL)
        send(signal.SIGCONT, others)
        killed_at = time.monotonic()
        while (stats := await store.stats()).active_jobs and not resumed(before, stats):
            assert time.monotonic() - killed_at < RESUMES_S, stats
            await asyncio.sleep(0.005)
    await client.ended(job)
    check_lines(await client.results(job), pictures)


def resumed(before: StoreStats, now: StoreStats) -> bool:
    """Whether the one chunk whose lease lapsed is in work again."""
    return now.totals["lapsed"] > before.totals["lapsed"] and now.running == 1


async def met_in_the_middle(
    deployed: Deployed, client: JobClient, store: RedisJobStore, pictures: list[Picture]
) -> tuple[dict[str, Any], list[int]]:
    """A job of one chunk, which is in work, and the worker's processes, all of which stand still."""
    while True:
        job = await client.submit(data_of(pictures))
        while not (stats := await store.stats()).running and stats.active_jobs:
            await asyncio.sleep(0.001)
        processes = deployed.stack.pids("-m services.worker")
        send(signal.SIGSTOP, processes)
        if (await store.stats()).running:
            return job, processes
        send(signal.SIGCONT, processes)


def send(number: signal.Signals, processes: list[int]) -> None:
    for pid in processes:
        os.kill(pid, number)


async def test_a_worker_that_wakes_up_after_others_did_its_work_changes_nothing(
    deployed: Deployed, client: JobClient, store: RedisJobStore
) -> None:
    pictures = await large(client, 320)
    asleep = first = (await store.stats()).totals
    while asleep["lapsed"] == first["lapsed"]:  # it may have had nothing in work
        job = await client.submit(data_of(pictures))
        await client.begun(job)
        sleeper = deployed.stack.pids("-m services.worker")[0]
        os.kill(sleeper, signal.SIGSTOP)
        try:
            ended, lines = await client.ended(job), await client.results(job)
            asleep, said = (await store.stats()).totals, lost_chunks(deployed.stack)
        finally:
            os.kill(sleeper, signal.SIGCONT)
    await until(lambda: lost_chunks(deployed.stack) > said)
    assert await client.shown(job) == ended
    assert await client.results(job) == lines  # each with its feedback_id: another answer would have another
    check_lines(lines, pictures)
    assert (await store.stats()).totals == asleep


def lost_chunks(stack: Stack) -> int:
    """How often a worker has logged that a chunk is not its own any more."""
    text = stack.log.read_text()
    return text.count("a chunk is left to others") + text.count('"outcome":"lost"')


async def test_nothing_is_added_to_a_job_that_was_cancelled_in_the_middle(
    client: JobClient, store: RedisJobStore
) -> None:
    pictures = await large(client, 400)
    job = await client.submit(data_of(pictures))
    await client.begun(job)
    cancelled = (await client.http.delete(job["status_url"])).json()
    assert cancelled["state"] == "cancelled"
    lines = await client.results(job)
    assert cancelled["failed"] == 0
    assert 0 < len(lines) == cancelled["done"] < 400
    other = await client.submit([digit_png(1)] * 300)  # its end: every worker has had time to say what it had in work
    assert (await client.ended(other))["done"] == 300
    assert await client.shown(job) == cancelled
    assert await client.results(job) == lines
    assert (await store.stats()).running == 0


async def test_fifty_submissions_at_once_with_one_key_make_one_job(client: JobClient, store: RedisJobStore) -> None:
    before = (await store.stats()).totals
    body, media_type = body_of("form", [digit_png(label) for label in range(10)])
    headers = {"content-type": media_type, "idempotency-key": "fifty"}
    answers = await asyncio.gather(
        *(client.http.post(SUBMIT, content=body, headers=headers) for _ in range(SIMULTANEOUS))
    )
    assert [answer.status_code for answer in answers] == [202] * SIMULTANEOUS
    assert len({answer.json()["job_id"] for answer in answers}) == 1
    assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1
    assert (await client.ended(answers[0].json()))["done"] == 10
    totals = (await store.stats()).totals
    assert {name: totals[name] - before[name] for name in ("created", "done")} == {"created": 1, "done": 10}
