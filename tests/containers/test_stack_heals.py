"""What the stack promises when something happens to it: nothing that was accepted is lost, and it comes back."""

from __future__ import annotations

import asyncio
import collections
import os
import signal
import time
from typing import Any

import aiohttp
import httpx
import pytest

from tests.support.containers import CALL_S, SERVICES, ComposeStack
from tests.support.images import digit_png
from tests.support.job_client import PREDICT, JobClient, check_lines, digits

pytestmark = pytest.mark.timeout(900)

JOBS, JOB_IMAGES = 3, 500
CLIENTS = 16


async def test_no_request_is_lost_while_the_apis_processes_are_replaced(compose: ComposeStack) -> None:
    codes: collections.Counter[int] = collections.Counter()
    lost: list[str] = []
    stop = asyncio.Event()

    async def ask(http: aiohttp.ClientSession, number: int) -> None:
        while not stop.is_set():
            label = number % 10
            headers = {"content-type": "image/png"}
            try:
                async with http.post(compose.url + PREDICT, data=digit_png(label), headers=headers) as answer:
                    document = await answer.json(content_type=None)
                    codes[answer.status] += 1
            except (aiohttp.ClientError, TimeoutError) as error:
                lost.append(repr(error))
                continue
            if answer.status == 200 and document["results"][0]["predictions"][0]["index"] != label:
                lost.append(f"{label}: {document}")

    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as http:
        asking = [asyncio.create_task(ask(http, number)) for number in range(CLIENTS)]
        await asyncio.to_thread(compose.compose, "kill", "--signal", "HUP", "api")
        await asyncio.to_thread(until_rolled, compose)
        stop.set()
        await asyncio.gather(*asking)
    assert not lost, lost[:5]
    assert set(codes) == {200}, codes
    assert codes[200] > 100, "nobody asked"


def until_rolled(compose: ComposeStack) -> None:
    """Returns when the API has said that all its processes are new ones."""
    end = time.monotonic() + CALL_S
    while "the rolling restart is complete" not in (said := compose.compose("logs", "--no-color", "api")):
        assert time.monotonic() < end, said[-3000:]
        time.sleep(0.2)


@pytest.mark.parametrize("service", SERVICES)
async def test_a_killed_container_comes_back_and_no_accepted_job_is_lost(compose: ComposeStack, service: str) -> None:
    async with httpx.AsyncClient(base_url=compose.url, timeout=CALL_S) as http:
        client = JobClient(http)
        drawn = await digits(client, JOB_IMAGES)
        data = [picture.data for picture in drawn]
        victim = await asyncio.to_thread(compose.first_process, service)

        async def submit(number: int) -> dict[str, Any]:
            return await client.submit(data, idempotency_key=f"{service}-{number}")

        first = await submit(0)
        coming = asyncio.gather(*(submit(number) for number in range(1, JOBS)))  # some before, some after
        await client.until(first, lambda shown: shown["done"] > 0)
        os.kill(victim, signal.SIGKILL)
        await asyncio.to_thread(compose.until_back, service, victim)
        for job in (first, *await coming):
            ended = await client.ended(job)
            assert (ended["state"], ended["done"], ended["total"]) == ("succeeded", JOB_IMAGES, JOB_IMAGES)
            check_lines(await client.results(job), drawn)
