"""What the stack of containers promises while nothing goes wrong with it: answers, pages, jobs, metrics, releases."""

from __future__ import annotations

import asyncio
import collections
import json
import time

import httpx
import pytest

from tests.support.containers import CALL_S, OURS, ComposeStack
from tests.support.digit_models import add_rotated_version
from tests.support.images import digit_png
from tests.support.job_client import PREDICT, JobClient, check_lines, digits

pytestmark = pytest.mark.timeout(900)


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


async def test_the_pages_are_there_and_lead_to_the_api(compose: ComposeStack) -> None:
    async with httpx.AsyncClient(base_url=compose.web, timeout=CALL_S) as http:
        page = await http.get("/")
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        answer = await http.post(f"/api{PREDICT}", content=digit_png(4), headers={"content-type": "image/png"})
        assert answer.status_code == 200, answer.text
        assert answer.json()["results"][0]["predictions"][0]["label"] == "4"


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
        drawn = await digits(client, 100)
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
        events = (await http.get(f"{release}/events", headers=compose.admin)).json()["events"]
        taken_back = next(event for event in events if event["to"] == "rolling_back")
        assert "controller" in taken_back["by"]
        assert "prediction_shift" in taken_back["why"]
        assert events[-1]["to"] == "rolled_back"
