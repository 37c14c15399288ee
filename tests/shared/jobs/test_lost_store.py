"""A job store that comes back empty: every accepted job is there again, and no deleted one."""

from __future__ import annotations

import shutil
from pathlib import Path

from services.shared.blobs.disk import DiskBlobStore
from services.shared.clock import ManualClock
from services.shared.jobs.job import JobState
from services.shared.jobs.keeper import JobKeeper
from services.shared.jobs.lost_job import GRACE_S
from services.shared.jobs.memory_queue import MemoryJobQueue
from services.shared.jobs.redis import RedisJobStore
from tests.support.jobs import new_job, work_off
from tests.support.staged_jobs import accepted
from tests.support.valkey import running_valkey


async def test_a_server_that_has_lost_everything_gets_its_jobs_back(tmp_path: Path) -> None:
    clock = ManualClock()
    blobs = DiskBlobStore(tmp_path / "blobs", reserve_bytes=0)
    with running_valkey(tmp_path / "valkey") as server:
        store = RedisJobStore(server.url)
        keeper = JobKeeper(store, blobs, MemoryJobQueue(), clock)
        waiting = await accepted(blobs, store, new_job(6, 2, key="k"), clock)
        purged = await accepted(blobs, store, new_job(2, 2), clock)
        await blobs.delete_manifest(purged.job_id)
        await store.purge(purged.job_id, owner="ann")
        await keeper.sweep()
        server.kill()
        kept = list(server.data_dir.rglob("appendonlydir"))
        assert kept, "the server keeps its file elsewhere"
        for path in kept:
            shutil.rmtree(path)
        server.start()
        assert await store.list(owner=None) == ()
        clock.advance(GRACE_S + 1)
        await keeper.recover()
        assert [job.job_id for job in await store.list(owner=None)] == [waiting.job_id]
        assert (await store.create(new_job(6, 2, key="k"))).job.job_id == waiting.job_id
        lease = await store.claim("w")
        assert lease is not None
        assert [await blobs.get(item.blob_id, max_bytes=100) for item in lease.items] == [b"0.png", b"1.png"]
        await store.release(lease, retry_in_s=0, reason="given back", strike=False)
        assert await work_off(store) == 3
        assert (await store.get(waiting.job_id, owner="ann")).state is JobState.SUCCEEDED
        await store.close()
