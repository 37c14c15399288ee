"""What the stack of containers promises: answers, jobs, metrics; it heals itself, and an API is replaced under load."""

from __future__ import annotations

import asyncio
import collections
import json
import os
import signal
import time
from typing import Any

import aiohttp
import httpx
import pytest

from tests.support.containers import CALL_S, OURS, SERVICES, ComposeStack
from tests.support.digit_models import add_rotated_version
from tests.support.images import digit_png
from tests.support.job_client import PREDICT, JobClient, Picture, check_lines

pytestmark = pytest.mark.timeout(900)

JOBS, JOB_IMAGES = 5, 800
CLIENTS, ROLLS = 16, 2


async def pictures(client: JobClient, count: int) -> list[Picture]:
    """Digits with their synchronous answers, as many as wanted, some of them more than once."""
    known = [await client.answered(digit_png(label, index)) for label in range(10) for index in range(2)]
    assert not any(picture.cause for picture in known)
    return [known[number % len(known)] for number in range(count)]


async def test_a_picture_is_answered_by_the_model_server(compose: ComposeStack) -> None:
    async with httpx.AsyncClient(base_url=compose.url) as http:
        answer = await http.post(PREDICT, content=digit_png(7), headers={"content-type": "image/png"})
        assert answer.status_code == 200, answer.text
        document = answer.json()
        assert document["results"][0]["predictions"][0]["label"] == "7"
        assert document["served_by"]["model"] == "digits"
    counted = compose.shell("model_server", "python -c \"import urllib.request as u; "
                            "print(u.urlopen('http://127.0.0.1:8002/metrics').read().decode())\"").stdout  # fmt: skip
    assert 'nv_inference_request_success{model="digits",version="1"}' in counted


async def test_the_administrator_loads_and_unloads_over_the_model_servers_key(compose: ComposeStack) -> None:
    async with httpx.AsyncClient(base_url=compose.url, headers=compose.admin, timeout=CALL_S) as http:
        loaded = await http.post("/v2/repository/models/digits/load", json={})
        assert loaded.status_code == 200, loaded.text
    refused = compose.shell(
        "api", "env -u GRAYSCALE_MODEL_SERVER_KEY_FILE python -c 'import tritonclient.grpc as g; "
        'g.InferenceServerClient("model-server:8001").load_model("digits")\''
    )  # fmt: skip
    assert "UNAUTHENTICATED" in refused.stderr, refused.stderr[-500:]


async def test_a_job_is_done_by_the_worker(compose: ComposeStack) -> None:
    async with httpx.AsyncClient(base_url=compose.url, timeout=CALL_S) as http:
        client = JobClient(http)
        drawn = await pictures(client, 100)
        job = await client.submit([picture.data for picture in drawn])
        assert (await client.ended(job))["state"] == "succeeded"
        check_lines(await client.results(job), drawn)


async def test_prometheus_sees_every_service(compose: ComposeStack) -> None:
    async with httpx.AsyncClient(base_url=compose.prometheus, timeout=CALL_S) as http:
        end = time.monotonic() + CALL_S
        while True:
            targets = (await http.get("/api/v1/targets")).json()["data"]["activeTargets"]
            seen = {target["labels"]["job"]: target["health"] for target in targets}
            if seen == dict.fromkeys(OURS, "up"):
                break
            assert time.monotonic() < end, json.dumps(targets)[:3000]
            await asyncio.sleep(0.5)


async def test_the_rules_are_evaluated_and_nothing_is_found_wrong(compose: ComposeStack) -> None:
    async with httpx.AsyncClient(base_url=compose.prometheus, timeout=CALL_S) as http:
        end = time.monotonic() + CALL_S
        while True:
            groups = (await http.get("/api/v1/rules")).json()["data"]["groups"]
            health = {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}
            if health and set(health.values()) == {"ok"}:
                break
            assert time.monotonic() < end, health
            await asyncio.sleep(0.5)
        firing = [rule["name"] for group in groups for rule in group["rules"] if rule.get("state") == "firing"]
        assert not firing


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
        for roll in range(1, ROLLS + 1):
            await asyncio.to_thread(compose.compose, "kill", "--signal", "HUP", "api")
            await asyncio.to_thread(until_rolled, compose, roll)
        stop.set()
        await asyncio.gather(*asking)
    assert not lost, lost[:5]
    assert set(codes) == {200}, codes
    assert codes[200] > 100 * ROLLS, "nobody asked"


def until_rolled(compose: ComposeStack, times: int) -> None:
    """Returns when the API has said so often that all its processes are new ones."""
    end = time.monotonic() + CALL_S
    while (said := compose.compose("logs", "--no-color", "api")).count("the rolling restart is complete") < times:
        assert time.monotonic() < end, said[-3000:]
        time.sleep(0.2)


@pytest.mark.parametrize("service", SERVICES)
async def test_a_killed_container_comes_back_and_no_accepted_job_is_lost(compose: ComposeStack, service: str) -> None:
    async with httpx.AsyncClient(base_url=compose.url, timeout=CALL_S) as http:
        client = JobClient(http)
        drawn = await pictures(client, JOB_IMAGES)
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


PLAN = """
model: digits
candidate: {model: digits, version: 2}
strategy: canary
steps:
  - {weight: 50, for: 300s, min_requests: 200}
guardrails:
  - {metric: prediction_shift, max: 0.1}
"""


async def test_a_canary_that_answers_otherwise_is_rolled_back(compose: ComposeStack) -> None:
    add_rotated_version(compose.models / "digits", 2, shift=1)
    for path in (compose.models / "digits/2", *(compose.models / "digits/2").iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
    release, versions = "/v1/models/digits/release", collections.Counter[int]()
    async with httpx.AsyncClient(base_url=compose.url, timeout=CALL_S) as http:

        async def answered() -> int:
            answer = await http.post(PREDICT, content=digit_png(7), headers={"content-type": "image/png"})
            assert answer.status_code == 200, answer.text
            return int(answer.json()["served_by"]["version"])

        headers = {**compose.admin, "content-type": "application/yaml"}
        begun = await http.put(release, content=PLAN, headers=headers)
        assert begun.status_code == 201, begun.text
        end = time.monotonic() + 2 * CALL_S
        while (shown := (await http.get(release, headers=compose.admin)).json())["phase"] != "rolled_back":
            assert time.monotonic() < end, shown
            versions.update(await asyncio.gather(*(answered() for _ in range(20))))
        assert versions.keys() == {1, 2}, "the candidate was never asked"
        assert {await answered() for _ in range(50)} == {1}
        assert "prediction_shift" in json.dumps([shown["reason"], shown["failed"]])


def test_every_service_ends_in_order_when_it_is_told_to(compose: ComposeStack) -> None:
    compose.compose("stop", *OURS, timeout_s=200)
    ended = {service: compose.container(service)["State"]["ExitCode"] for service in OURS}
    assert ended == dict.fromkeys(OURS, 0)
    compose.compose("up", "--detach", "--pull", "never", "--wait", "--wait-timeout", "60", timeout_s=CALL_S + 30)
