"""A worker as a user starts it beside a real server, and jobs for it that are made without an API."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.shared.blobs.base import BlobStore
from services.shared.jobs.base import JobStore
from services.shared.jobs.job import Item, ItemResult, Job, JobRequest, NewJob, new_job_id
from tests.support.stack import ROOT, free_ports
from tests.support.valkey import ValkeyServer

START_S = 60.0
STOP_S = 60.0


@dataclass(frozen=True, slots=True)
class Worker:
    """A running `grayscale worker`; `log` is what it and its processes wrote to standard error."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def children(self) -> list[int]:
        """Its processes, oldest first."""
        return sorted(map(int, Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()))

    def lines(self) -> list[Mapping[str, object]]:
        """What it has logged."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def says(self, message: str) -> int:
        """How often it has logged a message."""
        return sum(line["message"] == message for line in self.lines())

    async def until_said(self, message: str, times: int = 1) -> None:
        end = time.monotonic() + START_S
        while self.says(message) < times:
            assert time.monotonic() < end, f"no {message!r} within {START_S} s: {self.log.read_text()[-3000:]}"
            await asyncio.sleep(0.02)

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_S)


@contextlib.contextmanager
def running_worker(
    server: ValkeyServer,
    *,
    models: Path = ROOT / "models",
    environment: Mapping[str, str] | None = None,
    name: str = "worker",
) -> Iterator[Worker]:
    """`grayscale worker` on the server's data directory; whatever is left of it is killed at the end."""
    [port] = free_ports(1)
    log = server.data_dir / f"{name}.log"
    variables = {
        **os.environ,
        "GRAYSCALE_REDIS_URL": server.url,
        "GRAYSCALE_DATA_DIR": str(server.data_dir),
        "GRAYSCALE_MODELS": str(models),
        "GRAYSCALE_WORKER_PORT": str(port),
        **(environment or {}),
    }
    with log.open("wb") as errors:
        command = [sys.executable, "-m", "services.cli", "worker"]
        process = subprocess.Popen(command, cwd=ROOT, env=variables, stderr=errors, start_new_session=True)
    worker = Worker(process, port, log)
    try:
        yield worker
    finally:
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


async def staged_job(
    blobs: BlobStore, pictures: Sequence[bytes], *, chunk_size: int = 8, model: str = "digits"
) -> NewJob:
    """A job of these pictures, whose bytes are on disk."""
    job_id = new_job_id()
    items = [Item(await blobs.put(job_id, data), f"{index}.png") for index, data in enumerate(pictures)]
    await blobs.settle(job_id)
    return NewJob(job_id, "", JobRequest(model), tuple(items), chunk_size)


async def until_ended(store: JobStore, job_id: str, *, bound_s: float = 60.0) -> Job:
    end = time.monotonic() + bound_s
    while not (job := await store.get(job_id, owner=None)).state.ended:
        assert time.monotonic() < end, f"no end within {bound_s} s: {job}"
        await asyncio.sleep(0.02)
    return job


async def all_results(store: JobStore, job_id: str) -> list[ItemResult]:
    """Every page."""
    results: list[ItemResult] = []
    start = 0
    while True:
        page = await store.results(job_id, owner=None, start=start, limit=500)
        results += page.results
        start = page.next_index
        if page.is_last or not page.results:
            return results
