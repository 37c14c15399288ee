"""The public answer by task: the fields of the contract, what the document says of them, and the feedback id."""

from __future__ import annotations

import base64
import io
from typing import Any

import httpx
import numpy as np
import pytest
from jsonschema_rs import Draft202012Validator
from PIL import Image

from services.shared.feedback import FeedbackSigner
from tests.support.fake_models import classifier
from tests.support.fake_serving import FakeServing
from tests.support.task_models import detector, embedder, segmenter


def picture() -> bytes:
    """Blue but for a red quarter."""
    pixels = np.zeros((32, 64, 3), np.uint8)
    pixels[:, :, 2] = 255
    pixels[:16, :32] = (255, 0, 0)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def black() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
async def serving() -> FakeServing:
    serving = FakeServing(classifier("pets"), detector(), segmenter(), embedder())
    await serving.start()
    return serving


async def ask(http: httpx.AsyncClient, model: str, image: bytes, query: str = "") -> dict[str, Any]:
    response = await http.post(f"/v1/models/{model}/predict{query}", files={"image": image})
    assert response.status_code == 200, response.text
    document: dict[str, Any] = response.json()
    return document


def top_1(document: dict[str, Any]) -> int:
    claim = FeedbackSigner(bytes(32)).verify(document["feedback_id"], now=0)
    return claim.top_1


async def test_a_detector_answers_with_boxes_in_pixels_of_the_picture(http: httpx.AsyncClient) -> None:
    document = await ask(http, "finder", picture())
    [result] = document["results"]
    assert result["image"] == {"width": 64, "height": 32, "format": "png"}
    red, blue = result["predictions"]
    assert red == {"label": "red", "index": 0, "score": pytest.approx(0.9), "box": pytest.approx([0, 0, 32, 16])}
    assert blue == {"label": "blue", "index": 2, "score": pytest.approx(0.7), "box": pytest.approx([0, 0, 64, 32])}
    assert top_1(document) == 0


async def test_top_k_bounds_detections_and_nothing_found_is_an_answer(http: httpx.AsyncClient) -> None:
    document = await ask(http, "finder", picture(), "?top_k=1")
    assert [p["label"] for p in document["results"][0]["predictions"]] == ["red"]
    document = await ask(http, "finder", black())
    assert document["results"][0]["predictions"] == []
    assert top_1(document) == -1


async def test_a_segmenter_answers_with_shares_and_a_mask(http: httpx.AsyncClient) -> None:
    document = await ask(http, "painter", picture())
    predictions = document["results"][0]["predictions"]
    assert set(predictions) == {"classes", "mask_png_b64", "mask_width", "mask_height"}
    assert predictions["classes"] == [
        {"label": "blue", "index": 2, "share": 0.75},
        {"label": "red", "index": 0, "share": 0.25},
    ]
    mask = Image.open(io.BytesIO(base64.b64decode(predictions["mask_png_b64"], validate=True)))
    assert (mask.format, mask.mode, mask.size) == ("PNG", "L", (64, 32))
    assert (predictions["mask_width"], predictions["mask_height"]) == (64, 32)
    want = np.full((32, 64), 2)
    want[:16, :32] = 0
    assert np.array_equal(np.asarray(mask), want)
    assert top_1(document) == -1


async def test_an_embedder_answers_with_a_vector(http: httpx.AsyncClient) -> None:
    document = await ask(http, "mapper", picture())
    predictions = document["results"][0]["predictions"]
    mean = np.array([255 / 4, 0, 255 * 3 / 4]) + 1
    assert predictions == {"embedding": pytest.approx(mean / np.linalg.norm(mean), abs=1e-5)}
    assert top_1(document) == -1


async def test_a_classifier_answers_as_ever(http: httpx.AsyncClient) -> None:
    document = await ask(http, "pets", picture(), "?top_k=1")
    [result] = document["results"]
    [best] = result["predictions"]
    assert list(best) == ["label", "index", "score"]
    assert (best["label"], best["index"]) == ("fox", 2)
    assert top_1(document) == 2


@pytest.fixture
async def documented(http: httpx.AsyncClient) -> Draft202012Validator:
    """What the document says of a 200."""
    document = (await http.get("/openapi.json")).json()
    return Draft202012Validator({"$ref": "#/components/schemas/Prediction", "components": document["components"]})


@pytest.mark.parametrize("model", ["pets", "finder", "painter", "mapper"])
async def test_every_task_answers_as_documented(
    http: httpx.AsyncClient, documented: Draft202012Validator, model: str
) -> None:
    for image in (picture(), black()):
        documented.validate(await ask(http, model, image))


@pytest.mark.parametrize(
    "predictions",
    [
        {},
        {"embedding": []},
        {"classes": [], "mask_png_b64": ""},
        [{"label": "cat", "index": 0}],
        [{"label": "cat", "index": 0, "score": 1.0, "box": [0, 0, 1]}],
        [{"label": "cat", "index": 0, "score": 1.0, "box": [0, 0, -1, 1]}],
    ],
)
async def test_what_no_task_answers_is_not_documented(
    http: httpx.AsyncClient, documented: Draft202012Validator, predictions: Any
) -> None:
    document = await ask(http, "pets", picture())
    document["results"][0]["predictions"] = predictions
    assert not documented.is_valid(document)
