"""`POST /v1/models/{model}/explain`: the answer's fields, what is refused, who may ask, and what is counted."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import AsyncIterator

import httpx
import numpy as np
import pytest
from jsonschema_rs import Draft202012Validator
from PIL import Image

from services.shared.keys.base import Scope
from services.shared.keys.issue import NewKey, issue
from services.shared.keys.memory import MemoryKeyStore
from services.shared.model_ref import ModelRef
from services.shared.outbound.base import FetchedBody
from services.shared.outbound.fake import FakeOutboundClient
from tests.support.explained import CORNER, corner_classifier, picture
from tests.support.fake_models import classifier
from tests.support.fake_serving import FakeServing
from tests.support.polling import until
from tests.support.task_models import detector

URL = "/v1/models/corner/explain"
PNG = {"content-type": "image/png"}


@pytest.fixture
async def serving() -> FakeServing:
    serving = FakeServing(corner_classifier(), classifier("pets"), detector())
    await serving.start()
    return serving


@pytest.fixture
async def busy(http: httpx.AsyncClient, serving: FakeServing) -> AsyncIterator[asyncio.Event]:
    """An explanation that goes on until the event is set."""
    gate = serving.fake.script(ModelRef("corner", 1)).gate = asyncio.Event()
    task = asyncio.create_task(http.post(URL, content=picture(), headers=PNG))
    await until(lambda: len(serving.fake.calls) == 1)
    yield gate
    gate.set()
    await task


def heat_of(document: dict[str, str]) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(document["heatmap_png_b64"]))))


@pytest.mark.parametrize("method", ["occlusion", "rise"])
async def test_the_answer_says_what_was_explained_and_where_it_lies(http: httpx.AsyncClient, method: str) -> None:
    response = await http.post(f"{URL}?method={method}&evaluations=150", content=picture(), headers=PNG)
    assert response.status_code == 200, response.text
    document = response.json()
    heat = heat_of(document)
    assert heat.shape == (32, 32)
    assert heat[CORNER].mean() > 120
    assert heat[20:, :14].mean() < 60
    assert document.pop("score") == pytest.approx(240 / 255, abs=0.01)
    assert document.pop("timings_ms")["total"] > 0
    assert document.pop("heatmap_png_b64")
    assert document == {
        "request_id": response.headers["x-request-id"],
        "model": "corner",
        "served_by": {"model": "corner", "version": 1, "arm": "stable"},
        "label": "bright",
        "index": 0,
        "method": method,
        "evaluations": 150,
        "width": 32,
        "height": 32,
        "heatmap_width": 32,
        "heatmap_height": 32,
    }
    assert response.headers["x-served-by"] == "corner/1"
    assert response.headers["x-release-arm"] == "stable"


async def test_the_document_describes_the_answer(http: httpx.AsyncClient) -> None:
    document = (await http.get("/openapi.json")).json()
    schema = document["components"]["schemas"]["Explanation"]
    answer = (await http.post(URL, content=picture(), headers=PNG)).json()
    Draft202012Validator(schema).validate(answer)
    assert set(answer) == set(schema["properties"])
    assert "503" in document["paths"]["/v1/models/{model}/explain"]["post"]["responses"]


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("image/png", "image/png"),
        ("image/png, application/json", "image/png"),
        ("application/json, image/png", "application/json"),
        ("*/*", "application/json"),
        ("text/html, image/*;q=0.8", "application/json"),
    ],
)
async def test_accept_asks_for_a_picture(http: httpx.AsyncClient, accept: str, media_type: str) -> None:
    response = await http.post(f"{URL}?evaluations=64", content=picture(), headers=PNG | {"accept": accept})
    assert response.headers["content-type"] == media_type
    if media_type == "image/png":
        shown = np.asarray(Image.open(io.BytesIO(response.content))).astype(int)
        assert shown.shape == (32, 32, 3)
        assert (shown[CORNER][..., 0] - shown[CORNER][..., 2]).mean() > 60


async def test_every_kind_of_body_that_a_prediction_has(http: httpx.AsyncClient, outbound: FakeOutboundClient) -> None:
    outbound.pages["https://pictures.example/a.png"] = FetchedBody(picture(), "image/png", "")
    forms = [
        await http.post(URL, files={"image": picture()}),
        await http.post(URL, json={"images": [{"b64": base64.b64encode(picture()).decode()}]}),
        await http.post(URL, json={"images": [{"url": "https://pictures.example/a.png"}]}),
        await http.post(URL, content=picture("JPEG"), headers={"content-type": "application/octet-stream"}),
    ]
    assert [answer.status_code for answer in forms] == [200] * 4
    assert {answer.json()["label"] for answer in forms} == {"bright"}


@pytest.mark.parametrize(
    ("query", "status", "field"),
    [
        ("?label=cat", 404, "label"),
        ("?index=2", 404, "index"),
        ("?index=-1", 400, "index"),
        ("?method=gradient", 400, "method"),
        ("?evaluations=15", 400, "evaluations"),
        ("?evaluations=2001", 400, "evaluations"),
        ("?version=0", 400, "version"),
    ],
)
async def test_a_question_that_cannot_be_answered_is_refused(
    http: httpx.AsyncClient, query: str, status: int, field: str
) -> None:
    response = await http.post(URL + query, content=picture(), headers=PNG)
    assert response.status_code == status, response.text
    assert response.json()["errors"][0]["field"] == field


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        ("/v1/models/nobody/explain", picture(), PNG, 404),
        ("/v1/models/no%20body/explain", picture(), PNG, 400),
        ("/v1/models/finder/explain", picture(), PNG, 400),
        (URL, b"nothing like it", PNG, 422),
        (URL, b"", PNG, 400),
        (URL, picture(), {"content-type": "text/plain"}, 415),
        (URL, picture(), PNG | {"content-encoding": "gzip"}, 415),
        (URL, b"x" * 100_001, PNG, 413),
        (URL, picture(), PNG | {"x-timeout-ms": "no"}, 400),
        (URL, picture(), PNG | {"x-release-arm": "canary"}, 400),
    ],
)
async def test_what_cannot_be_explained_is_a_problem(
    http: httpx.AsyncClient, path: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    response = await http.post(path, content=body, headers=headers)
    assert response.status_code == status, response.text
    assert response.json()["detail"]


async def test_one_picture_is_explained_at_a_time(http: httpx.AsyncClient) -> None:
    response = await http.post(URL, files=[("image", picture()), ("image", picture())])
    assert response.status_code == 400
    assert "2 images" in response.json()["detail"]


async def test_another_method_is_refused(http: httpx.AsyncClient) -> None:
    response = await http.get(URL)
    assert (response.status_code, response.headers["allow"]) == (405, "POST")


async def test_who_comes_while_one_is_made_is_told_when_to_come_back(
    http: httpx.AsyncClient, busy: asyncio.Event
) -> None:
    response = await http.post(URL, content=picture(), headers=PNG)
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) >= 1
    predicted = await http.post("/v1/models/pets/predict", content=picture(), headers=PNG)
    assert predicted.status_code == 200


async def test_a_deadline_that_passes_is_504(http: httpx.AsyncClient, serving: FakeServing) -> None:
    serving.fake.script(ModelRef("corner", 1)).gate = asyncio.Event()
    response = await http.post(URL, content=picture(), headers=PNG | {"x-timeout-ms": "50"})
    assert response.status_code == 504


async def test_a_key_counts_it_and_may_lack_the_scope(http: httpx.AsyncClient, keys: MemoryKeyStore) -> None:
    jobs_only = issue(NewKey("jobs", frozenset({Scope.JOBS})), now=0.0)
    slow = issue(NewKey("slow", frozenset({Scope.PREDICT}), daily_quota=1), now=0.0)
    await keys.add(jobs_only.key)
    await keys.add(slow.key)

    async def status(secret: str) -> int:
        headers = PNG | {"authorization": f"Bearer {secret}"}
        return (await http.post(f"{URL}?evaluations=16", content=picture(), headers=headers)).status_code

    assert await status(jobs_only.secret) == 403
    assert await status(slow.secret) == 200
    assert await status(slow.secret) == 429


async def test_explanations_are_counted(http: httpx.AsyncClient) -> None:
    await http.post(f"{URL}?evaluations=32&method=rise", content=picture(), headers=PNG)
    await http.post(f"{URL}?label=cat", content=picture(), headers=PNG)
    text = (await http.get("/metrics")).text
    assert 'grayscale_explanations_total{method="rise",outcome="made"} 1' in text
    assert 'grayscale_explanations_total{method="rise",outcome="failed"} 1' in text
    assert 'grayscale_explanation_evaluations_total{method="rise"} 32' in text
    assert 'grayscale_explanation_duration_seconds_count{method="rise"} 1' in text
    assert 'route="/v1/models/{model}/explain"' in text
