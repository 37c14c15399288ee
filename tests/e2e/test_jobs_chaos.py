"""Jobs while everything that works on them is killed, again and again: none is lost, and no image is answered twice."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.shared.embedded_valkey import valkey_url
from services.shared.errors import Unavailable
from services.shared.jobs.redis import RedisJobStore
from tests.support.images import digit_png
from tests.support.job_client import JobClient, Picture, check_lines
from tests.support.stack import Stack, running_stack
from tests.support.valkey import require_valkey

IMAGES, SEED = 5_000, 20
VICTIMS = ("worker process", "model server", "worker", "worker process", "valkey", "api process", "model server",
           "worker process", "worker")  # fmt: skip
BAD = (b"these bytes are no picture", digit_png(7)[:60], b"\x89PNG\r\n\x1a\n" + bytes(40))
BUSY_S = 30.0


@pytest.fixture
def rng() -> random.Random:
    return random.Random(SEED)


def sizes(rng: random.Random) -> list[int]:
    """Of jobs of 1 to 500 images, IMAGES in all."""
    found = [1, 500, 1, 500]
    while (left := IMAGES - sum(found)) > 0:
        found.append(min(left, rng.randint(1, 250)))
    rng.shuffle(found)
    return found


COMMANDS = {
    "worker process": "-m services.worker",
    "worker": "services.cli worker",
    "model server": "services.cli model-server",
    "valkey": "valkey-server",
    "api process": "-m services.api",
}


async def until_busy(store: RedisJobStore, stack: Stack, victim: str) -> list[int]:
    """The processes that a victim has, as soon as it has one while some chunk is in work; or after BUSY_S, whoever is
    there then."""
    end = time.monotonic() + BUSY_S
    while time.monotonic() < end:
        try:
            if (await store.stats()).running and (pids := stack.pids(COMMANDS[victim])):
                return pids
        except Unavailable:
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.001)
    return stack.pids(COMMANDS[victim])


def kill(victim: str, pid: int) -> None:
    """SIGKILL. A whole worker dies with its processes: nobody is left to hand anything over."""
    with contextlib.suppress(ProcessLookupError):
        (os.killpg if victim == "worker" else os.kill)(pid, signal.SIGKILL)


async def submitted_amid_kills(
    client: JobClient, store: RedisJobStore, stack: Stack, drawn: Sequence[Sequence[Picture]], rng: random.Random
) -> list[dict[str, Any]]:
    """A wave of jobs, and while it is in work somebody dies; the next wave comes at once."""

    async def submit(number: int) -> dict[str, Any]:
        pictures = [picture.data for picture in drawn[number]]
        kind = ("form", "zip", "json")[number % 3]
        return await client.submit(pictures, kind=kind, idempotency_key=f"job-{number}")

    wave = -(-len(drawn) // len(VICTIMS))
    jobs: list[dict[str, Any]] = []
    for turn, victim in enumerate(VICTIMS):
        numbers = range(len(drawn))[turn * wave : (turn + 1) * wave]
        coming = asyncio.gather(*map(submit, numbers))
        pids = await until_busy(store, stack, victim)
        await asyncio.sleep(rng.random() * 0.3)  # for nothing: so that it hits anywhere
        kill(victim, rng.choice(pids))
        jobs += await coming
    return jobs


async def gallery(client: JobClient) -> tuple[list[Picture], list[Picture]]:
    """Pictures with their synchronous answers, and bad ones."""
    good = [await client.answered(digit_png(label, index)) for label in range(10) for index in range(6)]
    bad = [await client.answered(data) for data in BAD]
    assert not any(picture.cause for picture in good)
    assert {picture.cause for picture in bad} == {"undecodable_image"}
    return good, bad


@pytest.mark.timeout(280)
async def test_every_image_of_every_accepted_job_has_one_result_whoever_is_killed(
    tmp_path: Path, rng: random.Random
) -> None:
    require_valkey()
    environment = {"GRAYSCALE_WORKER_PROCESSES": "2", "GRAYSCALE_WORKER_COURTEOUS": "0"}
    with running_stack(tmp_path, "--model-server", "--processes", "2", environment=environment) as stack:
        async with httpx.AsyncClient(base_url=stack.url, timeout=30) as http:
            client, store = JobClient(http), RedisJobStore(valkey_url(stack.data_dir))
            good, bad = await gallery(client)
            drawn = [[rng.choice(bad if rng.random() < 0.02 else good) for _ in range(size)] for size in sizes(rng)]
            jobs = await submitted_amid_kills(client, store, stack, drawn, rng)
            ended = [await client.ended(job) for job in jobs]
            feedback: set[str] = set()
            for job, pictures in zip(ended, drawn, strict=True):
                lines = await client.results(job)
                check_lines(lines, pictures)
                failed = sum(bool(picture.cause) for picture in pictures)
                assert (job["total"], job["done"], job["failed"]) == (len(pictures), len(pictures) - failed, failed)
                assert job["state"] == ("succeeded" if job["done"] else "failed")
                feedback |= {line["result"]["feedback_id"] for line in lines if "result" in line}
            await check_totals(store, ended, feedback)
            await store.close()
        assert stack.stop() == 0


async def check_totals(store: RedisJobStore, ended: Sequence[dict[str, Any]], feedback: set[str]) -> None:
    """What the store counted is what the jobs say: nothing was made or written twice, or given up."""
    assert len({job["job_id"] for job in ended}) == len(ended)
    done, failed = (sum(job[name] for job in ended) for name in ("done", "failed"))
    assert done + failed == IMAGES
    assert len(feedback) == done
    stats = await store.stats()
    counted = {name: stats.totals[name] for name in ("created", "done", "failed", "buried")}
    assert counted == {"created": len(ended), "done": done, "failed": failed, "buried": 0}
    assert (stats.active_jobs, stats.running, stats.delayed, stats.dead) == (0, 0, 0, 0)
    assert stats.totals["lapsed"] >= 1, "nobody was killed in the middle of a chunk"
