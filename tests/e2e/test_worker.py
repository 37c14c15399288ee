"""A real worker on a real server: it works, it is killed, it is told to end, its server goes away."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import httpx
import pytest

from services.shared.blobs.disk import DiskBlobStore
from services.shared.jobs.celery import CeleryJobQueue
from services.shared.jobs.job import ItemResult, Job, JobState
from services.shared.jobs.redis import RedisJobStore
from tests.support.images import digit_png
from tests.support.polling import until
from tests.support.stack import ROOT, running_stack
from tests.support.valkey import ValkeyServer, running_valkey
from tests.support.worker_process import Worker, all_results, running_worker, staged_job, until_ended

NOT_AN_IMAGE = b"these bytes are no picture"
READY = "a worker process is ready"
MANY = 3000  # enough for half a second of work: somebody can be killed in the middle


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ValkeyServer]:
    with running_valkey(tmp_path / "data") as server:
        yield server


@pytest.fixture
async def store(server: ValkeyServer) -> AsyncIterator[RedisJobStore]:
    store = RedisJobStore(server.url)
    yield store
    await store.close()


@pytest.fixture
def blobs(server: ValkeyServer) -> DiskBlobStore:
    return DiskBlobStore(server.data_dir / "blobs")


def pictures(count: int) -> list[bytes]:
    """Digits, and every hundredth no picture at all."""
    good = [digit_png(label) for label in range(10)]
    return [NOT_AN_IMAGE if index % 100 == 50 else good[index % 10] for index in range(count)]


async def begun(store: RedisJobStore, blobs: DiskBlobStore, count: int = MANY) -> Job:
    """A job of which something is done, and not all."""
    job = (await store.create(await staged_job(blobs, pictures(count), chunk_size=4))).job
    while (job := await store.get(job.job_id, owner=None)).done == 0:
        pass
    assert not job.state.ended
    return job


async def kill_in_the_middle(worker: Worker, store: RedisJobStore) -> None:
    """SIGKILL while a chunk is in work."""
    while True:
        os.killpg(worker.process.pid, signal.SIGSTOP)
        held = (await store.stats()).running
        os.killpg(worker.process.pid, signal.SIGKILL if held else signal.SIGCONT)
        if held:
            return


async def check_every_item_once(store: RedisJobStore, job: Job) -> None:
    count = job.total
    assert (job.state, job.failed, job.done) == (JobState.SUCCEEDED, count // 100, count - count // 100)
    results = await all_results(store, job.job_id)
    assert [result.index for result in results] == list(range(count))
    assert [result.name for result in results] == [f"{index}.png" for index in range(count)]
    right = sum(top_1(result) == result.index % 10 for result in results if result.result is not None)
    assert right >= 0.8 * job.done  # the sample model takes one of these ten for another at most
    assert {cause(result) for result in results if result.result is None} == {"undecodable_image"}
    totals = (await store.stats()).totals
    assert (totals["done"], totals["failed"], totals["buried"]) == (job.done, job.failed, 0)


def top_1(result: ItemResult) -> object:
    return result.result["predictions"][0]["index"] if result.result else None  # type: ignore[index]


def cause(result: ItemResult) -> str:
    return result.error.cause if result.error else ""


def is_alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


async def test_a_job_is_answered_and_the_worker_tells_of_it(
    server: ValkeyServer, store: RedisJobStore, blobs: DiskBlobStore
) -> None:
    with running_worker(server, environment={"GRAYSCALE_WORKER_PROCESSES": "2"}) as worker:
        await worker.until_said(READY, times=2)
        queue = CeleryJobQueue(server.url)
        new = await staged_job(blobs, pictures(120))
        await store.create(new)
        await queue.wake(new.request.priority, 15)
        await check_every_item_once(store, await until_ended(store, new.job_id))
        await queue.close()
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{worker.port}") as client:
            assert (await client.get("/healthz/live")).status_code == 200
            assert (await client.get("/healthz/ready")).json() == {"status": "ok"}
            shown = ""
            while 'items_total{outcome="done"} 119.0' not in shown:  # each process writes its numbers every second
                shown = (await client.get("/metrics")).text
        assert 'grayscale_jobs_worker_chunks_total{outcome="completed"} 15.0' in shown
        assert "nv_inference_count" in shown
        assert len(worker.children()) == 2
        assert worker.stop() == 0


async def test_a_worker_that_is_killed_is_followed_by_another_and_no_item_is_lost_or_doubled(
    server: ValkeyServer, store: RedisJobStore, blobs: DiskBlobStore
) -> None:
    with running_worker(server, name="first") as worker:
        await worker.until_said(READY)
        job = await begun(store, blobs)
        await kill_in_the_middle(worker, store)
    assert not (await store.get(job.job_id, owner=None)).state.ended
    with running_worker(server, name="second"):
        await check_every_item_once(store, await until_ended(store, job.job_id))
    assert (await store.stats()).totals["lapsed"] >= 1


async def test_a_process_that_is_killed_is_replaced_by_its_parent(
    server: ValkeyServer, store: RedisJobStore, blobs: DiskBlobStore
) -> None:
    with running_worker(server, environment={"GRAYSCALE_WORKER_PROCESSES": "1"}) as worker:
        await worker.until_said(READY)
        job = await begun(store, blobs)
        [pid] = worker.children()
        os.kill(pid, signal.SIGKILL)
        await worker.until_said("a worker process died and is replaced")
        await check_every_item_once(store, await until_ended(store, job.job_id))
        assert worker.children() != [pid]


async def test_a_worker_that_is_told_to_end_leaves_nothing_half_done(
    server: ValkeyServer, store: RedisJobStore, blobs: DiskBlobStore
) -> None:
    with running_worker(server, name="first") as worker:
        await worker.until_said(READY)
        job = await begun(store, blobs)
        assert worker.stop() == 0
    stats = await store.stats()
    assert (stats.running, stats.delayed) == (0, 0)  # all that is left can be claimed at once
    assert not (await store.get(job.job_id, owner=None)).state.ended
    with running_worker(server, name="second"):
        await check_every_item_once(store, await until_ended(store, job.job_id))
    totals = (await store.stats()).totals
    assert totals["lapsed"] == 0


async def test_processes_whose_parent_was_killed_end_by_themselves(server: ValkeyServer) -> None:
    with running_worker(server) as worker:
        await worker.until_said(READY)
        children = worker.children()
        os.kill(worker.process.pid, signal.SIGKILL)
        await until(lambda: not any(map(is_alive, children)))


async def test_a_server_that_is_away_in_the_middle_costs_time_only(
    server: ValkeyServer, store: RedisJobStore, blobs: DiskBlobStore
) -> None:
    with running_worker(server) as worker:
        await worker.until_said(READY)
        job = await begun(store, blobs)
        server.stop()
        await worker.until_said("no work can be asked for")
        server.start()
        await check_every_item_once(store, await until_ended(store, job.job_id))
        await worker.until_said("work can be asked for again")


async def test_up_starts_a_worker_that_takes_what_others_leave(tmp_path: Path) -> None:
    with running_stack(tmp_path) as stack:
        await until(lambda: bool(stack.pids("services.worker")))
        await until(lambda: all(os.getpriority(os.PRIO_PROCESS, pid) == 19 for pid in stack.pids("services.worker")))
        assert len(stack.pids("cli worker")) == 1
        assert {os.getpriority(os.PRIO_PROCESS, pid) for pid in stack.pids("services.api")} == {0}
        assert stack.stop() == 0


def test_up_starts_none_when_it_is_not_wanted(tmp_path: Path) -> None:
    with running_stack(tmp_path, "--no-worker") as stack:
        assert stack.stop() == 0
    assert "the worker starts" not in stack.log.read_text()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"GRAYSCALE_REDIS_URL": ""}, "GRAYSCALE_REDIS_URL"),
        ({"GRAYSCALE_WORKER_PORT": "taken"}, "GRAYSCALE_WORKER_PORT"),
    ],
)
def test_what_cannot_run_says_why_and_that_starting_it_again_does_not_help(
    tmp_path: Path, change: dict[str, str], said: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        variables = {
            **os.environ,
            "GRAYSCALE_REDIS_URL": "unix:///nowhere",
            "GRAYSCALE_DATA_DIR": str(tmp_path),
            **{name: port if value == "taken" else value for name, value in change.items()},
        }
        done = run([sys.executable, "-m", "services.cli", "worker"], variables)
    assert done.returncode == 2
    assert said in done.stderr


def run(command: Sequence[str], variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=False, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=60)


def test_a_worker_whose_processes_are_still_starting_ends_as_well(server: ValkeyServer) -> None:
    with running_worker(server) as worker:
        assert isinstance(worker, Worker)
        signal_when_listening(worker)
        assert worker.process.wait(60) == 0


def signal_when_listening(worker: Worker) -> None:
    """SIGTERM as soon as the parent can hear it: its processes are still being started then."""
    while not worker.says("the worker starts"):
        assert worker.process.poll() is None
    worker.process.send_signal(signal.SIGTERM)
