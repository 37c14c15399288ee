"""Health, models, the protocol's pass-through, and what the router refuses."""

from __future__ import annotations

import httpx

from services.shared.errors import InferenceFailed
from services.shared.model_ref import ModelRef
from tests.support.api_jobs import MemoryJobs
from tests.support.fake_serving import FakeServing


async def test_live_and_ready(http: httpx.AsyncClient, serving: FakeServing) -> None:
    assert (await http.get("/healthz/live")).status_code == 200
    assert (await http.get("/healthz/ready")).json() == {"status": "ready"}
    serving.readiness.drain()
    draining = await http.get("/healthz/ready")
    assert draining.status_code == 503
    assert draining.json()["reasons"] == ["the process is draining"]
    assert (await http.get("/healthz/live")).status_code == 200


async def test_ready_needs_a_real_inference(http: httpx.AsyncClient, serving: FakeServing) -> None:
    serving.fake.script(ModelRef("pets", 1)).failures.append(InferenceFailed("the device is gone"))
    first = await http.get("/healthz/ready")
    assert first.status_code == 503
    assert first.json()["reasons"] == ["pets/1: the device is gone"]
    assert (await http.get("/healthz/ready")).status_code == 200


async def test_the_list_and_one_model(http: httpx.AsyncClient) -> None:
    [pets] = (await http.get("/v1/models")).json()["models"]
    assert pets["default"] == {"model": "pets", "version": 1}
    assert [v["state"] for v in pets["versions"]] == ["READY", "UNAVAILABLE"]
    shown = (await http.get("/v1/models/pets")).json()
    assert shown["labels"] == ["cat", "dog", "fox"]
    assert shown["inputs"] == [{"name": "image", "datatype": "UINT8", "shape": [2, 2, 3]}]
    assert (await http.get("/v1/models/nobody")).status_code == 404


async def test_a_default_moves_by_promotion_only(
    http: httpx.AsyncClient, serving: FakeServing, admin: dict[str, str]
) -> None:
    http.headers.update(admin)
    refused = await http.put("/v1/models/pets/default", json={"version": 2})
    assert refused.status_code == 409
    loaded = await http.post("/v2/repository/models/pets/load", json={"parameters": {"version": 2}})
    assert loaded.status_code == 200, loaded.text
    await serving.follower.refresh()
    assert serving.follower.resolve("pets") == ModelRef("pets", 1)
    assert (await http.put("/v1/models/pets/default", json={"version": 2})).status_code == 200
    await serving.follower.refresh()
    assert serving.follower.resolve("pets") == ModelRef("pets", 2)


async def test_protocol_requests_are_answered_under_v2(http: httpx.AsyncClient) -> None:
    body = {"inputs": [{"name": "image", "shape": [1, 2, 2, 3], "datatype": "UINT8", "data": [9, 0, 0] * 4}]}
    answer = (await http.post("/v2/models/pets/infer", json=body)).json()
    assert answer["model_version"] == "1"
    assert (await http.get("/v2/health/ready")).content == b""


async def test_what_is_not_there_is_a_problem(http: httpx.AsyncClient, admin: dict[str, str]) -> None:
    http.headers.update(admin)
    missing = await http.get("/nowhere")
    assert (missing.status_code, missing.headers["content-type"]) == (404, "application/problem+json")
    wrong = await http.delete("/v1/models")
    assert wrong.status_code == 405
    assert wrong.headers["allow"] == "GET"
    invalid = await http.put("/v1/models/pets/default", json={"version": "x"})
    assert invalid.status_code == 400
    assert invalid.json()["errors"][0]["field"] == "body.version"


async def test_requests_are_counted_by_route_and_status(http: httpx.AsyncClient) -> None:
    await http.get("/v1/models/pets")
    await http.get("/v1/models/nobody")
    await http.get("/v2")
    await http.get("/" + "x" * 50)
    await http.post("/v1/models/pets/predict", content=b"")
    text = (await http.get("/metrics")).text
    for route, code in (("/v1/models/{model}", 200), ("/v1/models/{model}", 404), ("/v2", 200), ("other", 404)):
        assert f'grayscale_http_requests_total{{code="{code}",model="",route="{route}"}} 1.0\n' in text
    assert 'grayscale_http_requests_total{code="415",model="pets",route="/v1/models/{model}/predict"} 1.0\n' in text
    assert "grayscale_http_requests_in_flight 1.0\n" in text
    assert "xxx" not in text


async def test_only_models_that_there_are_become_labels(http: httpx.AsyncClient) -> None:
    tensor = {"name": "image", "shape": [1], "datatype": "UINT8", "data": [1]}
    for model in ("pets", "nobody"):
        await http.post(f"/v1/models/{model}/predict", content=b"x", headers={"content-type": "image/png"})
        await http.post(f"/v2/models/{model}/infer", json={"inputs": [tensor]})
        await http.post(f"/v2/models/{model}/infer", json={"inputs": [tensor], "parameters": {"priority": -1}})
    text = (await http.get("/metrics")).text
    assert 'grayscale_http_requests_total{code="422",model="pets",route="/v1/models/{model}/predict"} 1.0\n' in text
    assert 'grayscale_http_requests_total{code="400",model="pets",route="/v2"} 2.0\n' in text
    assert "nobody" not in text


async def test_the_room_for_data_and_the_store_are_told(http: httpx.AsyncClient, jobs: MemoryJobs) -> None:
    await http.get("/v1/jobs")  # the store is asked for when somebody needs it
    text = (await http.get("/metrics")).text
    assert "\ngrayscale_data_dir_free_bytes " in text
    assert "\ngrayscale_store_reachable 1.0\n" in text
    jobs.store.away = True
    jobs.clock.advance(2)
    text = (await http.get("/metrics")).text
    assert "\ngrayscale_store_reachable 0.0\n" in text
    assert "\ngrayscale_clock_offset_seconds 0.0\n" in text


async def test_the_protocols_metadata_is_answered_without_a_redirect(http: httpx.AsyncClient) -> None:
    assert (await http.get("/v2")).json()["name"] == "grayscale"
