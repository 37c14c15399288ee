"""What is special to the store that processes share: it outlives them and itself, and says when it is away."""

from __future__ import annotations

import asyncio
import multiprocessing
from pathlib import Path

import pytest
import redis

from services.shared.errors import Unavailable
from services.shared.jobs.job import JobState
from services.shared.jobs.plan import MAX_CHUNK
from services.shared.jobs.redis import RedisJobStore
from tests.support.jobs import answers, claimed, make, new_job, work_off
from tests.support.polling import until
from tests.support.valkey import ValkeyServer, running_valkey

PROCESSES = 3


async def test_a_job_survives_its_server_being_killed(tmp_path: Path) -> None:
    with running_valkey(tmp_path) as server:
        with redis.Redis.from_url(server.url) as plain:
            plain.config_set("appendfsync", "always")  # its last second may be lost otherwise
        store = RedisJobStore(server.url)
        job_id = (await make(store, new_job(6, 2, key="k"))).job_id
        done, working = await claimed(store), await claimed(store)
        await store.complete(done, answers(done, failed=[1]))
        before = await store.get(job_id, owner="ann")
        server.kill()
        with pytest.raises(Unavailable, match="the job store cannot be used"):
            await store.claim("w")
        server.start()
        assert await store.get(job_id, owner="ann") == before
        assert not (await store.create(new_job(key="k"))).is_new
        assert len((await store.results(job_id, owner="ann")).results) == 2
        assert (await store.complete(working, answers(working))).ended is None  # its lease survived, too
        assert await work_off(store) == 1
        job = await store.get(job_id, owner="ann")
        assert (job.state, job.done, job.failed) == (JobState.SUCCEEDED, 5, 1)
        await store.close()


async def test_the_largest_chunk_is_claimed_and_completed_at_once(empty_valkey: ValkeyServer) -> None:
    store = RedisJobStore(empty_valkey.url)
    job_id = (await make(store, new_job(MAX_CHUNK, MAX_CHUNK))).job_id
    lease = await claimed(store)
    assert [item.name for item in lease.items] == [item.name for item in new_job(MAX_CHUNK, MAX_CHUNK).items]
    await store.complete(lease, answers(lease, failed=[1]))
    job = await store.get(job_id, owner="ann")
    assert (job.state, job.done, job.failed) == (JobState.SUCCEEDED, MAX_CHUNK - 1, 1)
    await store.close()


async def test_a_server_that_hangs_is_unavailable_within_the_bound(tmp_path: Path) -> None:
    with running_valkey(tmp_path) as server:
        store = RedisJobStore(server.url, timeout_s=0.2)
        await store.stats()
        server.hang()
        async with asyncio.timeout(10):
            with pytest.raises(Unavailable):
                await store.create(new_job())
        server.resume()
        assert await store.list(owner=None) == () or len(await store.list(owner=None)) == 1
        await store.close()


async def test_the_servers_clock_counts_where_nobody_gives_one(valkey: ValkeyServer) -> None:
    store = RedisJobStore(valkey.url)
    with redis.Redis.from_url(valkey.url) as plain:
        seconds, _ = plain.time()
    job = await make(store, new_job())
    assert 0 <= job.created_at - seconds < 60
    await store.cancel(job.job_id, owner="ann")
    await store.close()


def _work(url: str, answered: multiprocessing.Queue[list[tuple[int, int]]]) -> None:
    async def run() -> list[tuple[int, int]]:
        store = RedisJobStore(url)
        chunks = []
        while lease := await store.claim("w"):
            await store.complete(lease, answers(lease))
            chunks.append((lease.chunk.first, lease.token))
        await store.close()
        return chunks

    answered.put(asyncio.run(run()))


async def test_processes_never_get_the_same_chunk(tmp_path: Path) -> None:
    with running_valkey(tmp_path) as server:
        store = RedisJobStore(server.url)
        job_id = (await make(store, new_job(600, 2))).job_id
        context = multiprocessing.get_context("spawn")
        answered: multiprocessing.Queue[list[tuple[int, int]]] = context.Queue()
        processes = [context.Process(target=_work, args=(server.url, answered)) for _ in range(PROCESSES)]
        for process in processes:
            process.start()
        chunks = [chunk for _ in processes for chunk in await asyncio.to_thread(answered.get, True, 60)]
        for process in processes:
            process.join(20)
        assert sorted(first for first, _ in chunks) == list(range(0, 600, 2))
        assert len({token for _, token in chunks}) == 300
        job = await store.get(job_id, owner="ann")
        assert (job.state, job.done) == (JobState.SUCCEEDED, 600)
        await store.close()


async def test_a_task_that_asks_again_and_again_can_be_stopped(valkey: ValkeyServer) -> None:
    store = RedisJobStore(valkey.url)
    asked: list[bool] = []

    async def ask() -> None:
        while True:
            await store.reap()
            asked.append(True)

    for _ in range(50):
        task = asyncio.create_task(ask())
        asked.clear()
        await until(lambda: bool(asked))
        task.cancel()
        await asyncio.wait({task}, timeout=10)
        assert task.cancelled()
    await store.close()
