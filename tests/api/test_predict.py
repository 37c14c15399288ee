"""The upload endpoint: every form of body, every option, and a clear error for what cannot be."""

from __future__ import annotations

import asyncio
import base64
import io
import time

import httpx
import pytest
from PIL import Image

from services.shared.errors import InferenceFailed, Overloaded
from services.shared.feedback import FeedbackSigner
from services.shared.model_ref import ModelRef
from services.shared.outbound.base import FetchedBody
from services.shared.outbound.fake import FakeOutboundClient
from services.shared.priority import Priority
from tests.support.fake_serving import FakeServing

PETS = ModelRef("pets", 1)
URL = "/v1/models/pets/predict"


def picture(colour: tuple[int, int, int] = (250, 10, 10), kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (6, 4), colour).save(out, kind)
    return out.getvalue()


PNG = picture()


async def test_the_answer_has_the_fields_of_the_contract(http: httpx.AsyncClient) -> None:
    response = await http.post(URL, files={"image": PNG}, headers={"x-request-id": "mine-1"})
    assert response.status_code == 200
    document = response.json()
    assert set(document) == {"request_id", "feedback_id", "model", "served_by", "results", "timings_ms"}
    assert document["request_id"] == response.headers["x-request-id"] == "mine-1"
    assert document["served_by"] == {"model": "pets", "version": 1, "arm": "stable"}
    assert response.headers["x-served-by"] == "pets/1"
    assert response.headers["x-release-arm"] == "stable"
    assert "infer;dur=" in response.headers["server-timing"]
    [result] = document["results"]
    assert result["image"] == {"width": 6, "height": 4, "format": "png"}
    assert [p["label"] for p in result["predictions"]] == ["cat", "dog", "fox"]
    assert [p["index"] for p in result["predictions"]] == [0, 1, 2]
    assert sum(p["score"] for p in result["predictions"]) == pytest.approx(1.0)
    assert set(document["timings_ms"]) == {"decode", "queue", "infer", "total"}


@pytest.mark.parametrize("media_type", ["image/png", "application/octet-stream", "image/jpeg; q=1"])
async def test_a_raw_body_is_one_image(http: httpx.AsyncClient, media_type: str) -> None:
    response = await http.post(URL, content=PNG, headers={"content-type": media_type})
    assert response.status_code == 200
    assert len(response.json()["results"]) == 1


async def test_many_images_are_answered_in_their_order(http: httpx.AsyncClient) -> None:
    colours = [(250, 10, 10), (10, 250, 10), (10, 10, 250)]
    files = [("image", ("x", picture(colour))) for colour in colours]
    response = await http.post(URL, files=files)
    labels = [result["predictions"][0]["label"] for result in response.json()["results"]]
    assert labels == ["cat", "dog", "fox"]


async def test_other_form_fields_are_left_alone(http: httpx.AsyncClient) -> None:
    response = await http.post(URL, files={"image": PNG, "mask": b"x"}, data={"note": "hello"})
    assert response.status_code == 200
    assert len(response.json()["results"]) == 1


async def test_options_reach_the_model(http: httpx.AsyncClient, serving: FakeServing) -> None:
    headers = {"x-timeout-ms": "1500", "x-priority": "high", "content-type": "image/png"}
    response = await http.post(f"{URL}?top_k=1&version=1", content=PNG, headers=headers)
    assert len(response.json()["results"][0]["predictions"]) == 1
    [call] = serving.fake.calls
    assert call.priority is Priority.HIGH
    assert call.timeout_s is not None
    assert 0 < call.timeout_s <= 1.5


@pytest.mark.parametrize(
    ("query", "headers", "field"),
    [
        ("?top_k=0", {}, "top_k"),
        ("?top_k=101", {}, "top_k"),
        ("?top_k=x", {}, "top_k"),
        ("?version=01", {}, "version"),
        ("?version=-1", {}, "version"),
        ("", {"x-timeout-ms": "0"}, "X-Timeout-Ms"),
        ("", {"x-timeout-ms": "soon"}, "X-Timeout-Ms"),
        ("", {"x-priority": "urgent"}, "X-Priority"),
    ],
)
async def test_an_option_that_cannot_be_is_named(
    http: httpx.AsyncClient, query: str, headers: dict[str, str], field: str
) -> None:
    response = await http.post(URL + query, content=PNG, headers={"content-type": "image/png", **headers})
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert document["errors"][0]["field"] == field
    assert document["request_id"] == response.headers["x-request-id"]


BOUNDARY = {"content-type": "multipart/form-data; boundary=b"}


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"", {"content-type": "image/png"}, 400),
        (b"nothing like it", {"content-type": "image/png"}, 422),
        (PNG[:40], {"content-type": "image/png"}, 422),
        (PNG, {"content-type": "text/plain"}, 415),
        (PNG, {}, 415),
        (b"%PDF-1.7", {"content-type": "image/png"}, 415),
        (b"x" * 100_001, {"content-type": "image/png"}, 413),
        (PNG, {"content-type": "multipart/form-data"}, 400),
        (b"--b--\r\n", BOUNDARY, 400),
        (b'--b\r\ncontent-disposition: form-data; name="image"\r\n\r\nabc', BOUNDARY, 400),
        (b'--b\r\ncontent-disposition: form-data; name="other"\r\n\r\nabc\r\n--b--\r\n', BOUNDARY, 400),
        (b"no boundary here", BOUNDARY, 400),
    ],
)
async def test_a_body_that_cannot_be_read_is_refused(
    http: httpx.AsyncClient, content: bytes, headers: dict[str, str], status: int
) -> None:
    response = await http.post(URL, content=content, headers=headers)
    assert response.status_code == status, response.text
    assert response.json()["status"] == status
    assert response.json()["detail"]


async def test_one_bad_image_of_many_is_named(http: httpx.AsyncClient) -> None:
    response = await http.post(URL, files=[("image", PNG), ("image", b"bad")])
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == "image[1]"


async def test_more_images_than_the_limit_are_refused(http: httpx.AsyncClient) -> None:
    response = await http.post(URL, files=[("image", PNG)] * 5)
    assert response.status_code == 413


async def test_json_images_are_answered_in_their_order(http: httpx.AsyncClient, outbound: FakeOutboundClient) -> None:
    green, blue = picture((10, 250, 10)), picture((10, 10, 250), "JPEG")
    outbound.pages["https://pictures.example/blue.jpg"] = FetchedBody(blue, "image/jpeg", "")
    images = [{"b64": base64.b64encode(green).decode()}, {"url": "https://pictures.example/blue.jpg"}]
    response = await http.post(URL, json={"images": images})
    assert response.status_code == 200, response.text
    assert [r["predictions"][0]["label"] for r in response.json()["results"]] == ["dog", "fox"]
    assert [r["image"]["format"] for r in response.json()["results"]] == ["png", "jpeg"]


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ([], "images"),
        ({}, "images"),
        ({"images": []}, "images"),
        ({"images": {}}, "images"),
        ({"images": [3]}, "images[0]"),
        ({"images": [{}]}, "images[0]"),
        ({"images": [{"b64": "AAAA", "url": "https://x"}]}, "images[0]"),
        ({"images": [{"b64": "not base64!"}]}, "images[0].b64"),
        ({"images": [{"b64": ""}]}, "images[0].b64"),
        ({"images": [{"b64": 3}]}, "images[0]"),
    ],
)
async def test_a_json_body_that_cannot_be_is_refused(http: httpx.AsyncClient, document: object, field: str) -> None:
    response = await http.post(URL, json=document)
    assert response.status_code == 400
    assert response.json()["errors"][0]["field"] == field


async def test_a_url_that_cannot_be_fetched_is_the_callers_to_change(http: httpx.AsyncClient) -> None:
    response = await http.post(URL, json={"images": [{"url": "https://nobody.example/x"}]})
    assert response.status_code == 400


async def test_a_browser_is_asked_to_keep_its_routing_key_and_others_are_not(http: httpx.AsyncClient) -> None:
    browser = await http.post(URL, content=PNG, headers={"content-type": "image/png", "sec-fetch-site": "same-origin"})
    cookie = browser.headers["set-cookie"]
    assert cookie.startswith("grayscale_key=")
    assert "HttpOnly" in cookie
    http.cookies.clear()
    assert "set-cookie" not in (await http.post(URL, content=PNG, headers={"content-type": "image/png"})).headers
    kept = {"cookie": cookie.partition(";")[0], "content-type": "image/png", "sec-fetch-site": "same-origin"}
    assert "set-cookie" not in (await http.post(URL, content=PNG, headers=kept)).headers
    long = {"x-routing-key": "k" * 257, "content-type": "image/png"}
    assert (await http.post(URL, content=PNG, headers=long)).status_code == 400


async def test_only_the_stable_arm_can_be_forced_while_there_is_no_release(http: httpx.AsyncClient) -> None:
    headers = {"content-type": "image/png", "x-release-arm": "stable"}
    assert (await http.post(URL, content=PNG, headers=headers)).status_code == 200
    refused = await http.post(URL, content=PNG, headers=headers | {"x-release-arm": "candidate"})
    assert refused.status_code == 400
    assert refused.json()["errors"][0]["field"] == "X-Release-Arm"


async def test_a_feedback_id_says_what_the_answer_was(http: httpx.AsyncClient) -> None:
    document = (await http.post(URL, files={"image": PNG})).json()
    claim = FeedbackSigner(bytes(32)).verify(document["feedback_id"], now=time.time())
    assert (claim.ref, claim.arm, claim.top_1) == (PETS, "stable", 0)


async def test_an_unknown_model_is_404_and_an_impossible_name_400(http: httpx.AsyncClient) -> None:
    assert (await http.post("/v1/models/nobody/predict", files={"image": PNG})).status_code == 404
    assert (await http.post("/v1/models/..%2F..%2Fetc/predict", files={"image": PNG})).status_code == 400


async def test_a_failing_model_is_500_and_a_full_one_503(http: httpx.AsyncClient, serving: FakeServing) -> None:
    script = serving.fake.script(PETS)
    script.failures.extend([InferenceFailed("it broke"), Overloaded("full", retry_after_s=2.5)])
    broken = await http.post(URL, files={"image": PNG})
    assert (broken.status_code, broken.json()["detail"]) == (500, "it broke")
    full = await http.post(URL, files={"image": PNG})
    assert (full.status_code, full.headers["retry-after"]) == (503, "3")


async def test_a_deadline_that_passes_is_504(http: httpx.AsyncClient, serving: FakeServing) -> None:
    serving.fake.script(PETS).gate = asyncio.Event()
    response = await http.post(URL, files={"image": PNG}, headers={"x-timeout-ms": "50"})
    assert response.status_code == 504


async def test_what_nobody_expected_is_a_500_without_its_details(
    http: httpx.AsyncClient, serving: FakeServing, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(serving.fake, "infer", broken)
    response = await http.post(URL, files={"image": PNG})
    assert response.status_code == 500
    assert "secret" not in response.text
