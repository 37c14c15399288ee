"""A request that is answered without the application gets the answer that the application would give."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import AsyncIterator
from typing import Any

import cv2
import numpy as np
import pytest
import pytest_asyncio

from tests.support.hostile_http import PREDICT, post, request
from tests.support.quick_answers import PNG, both, comparable, digits_api, exchanged, png_post
from tests.support.quick_api import QuickApi

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[QuickApi]:
    async with digits_api(tmp_path_factory.mktemp("quick")) as api:
        yield api


def form(
    body: bytes = PNG, disposition: str = 'form-data; name="image"; filename="a.png"', before: bytes = b""
) -> bytes:
    content = before + f"--b\r\nContent-Disposition: {disposition}\r\n\r\n".encode() + body + b"\r\n--b--\r\n"
    return post(PREDICT, "multipart/form-data; boundary=b", content, close=False)


OTHER_PART = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'


def document(**fields: Any) -> bytes:
    return post(PREDICT, "application/json", json.dumps(fields).encode(), close=False)


def b64(body: bytes = PNG) -> dict[str, str]:
    return {"b64": base64.b64encode(body).decode()}


def jpeg(side: int) -> bytes:
    return cv2.imencode(".jpg", np.full((side, side), 200, np.uint8))[1].tobytes()


def large_png(side: int = 200) -> bytes:
    return cv2.imencode(".png", np.random.default_rng(0).integers(0, 255, (side, side), np.uint8))[1].tobytes()


def bad_checksum(at: int) -> bytes:
    """PNG with one bit of a chunk's checksum turned; `at` counts from the end."""
    return PNG[:-at] + bytes([PNG[-at] ^ 1]) + PNG[len(PNG) - at + 1 :]


def fewer_rows() -> bytes:
    """The header promises one row more than there is, and its checksum says so too."""
    header = PNG[12:20] + (9).to_bytes(4, "big") + PNG[24:29]
    return PNG[:12] + header + zlib.crc32(header).to_bytes(4, "big") + PNG[33:]


QUICK: dict[str, bytes] = {
    "png": png_post(),
    "octets": post(PREDICT, "application/octet-stream", PNG, close=False),
    "form": form(),
    "form without a file name": form(disposition='form-data; name="image"'),
    "form with a type of its part": form(
        disposition='form-data; name="image"; filename="a"\r\nContent-Type: image/png'
    ),
    "a routing key": png_post("X-Routing-Key: me"),
    "our cookie": png_post("Cookie: a=b; grayscale_key=" + "0a" * 16),
    "another's cookie": png_post("Cookie: grayscale_key=zz; x"),
    "a browser": png_post("Sec-Fetch-Site: same-origin"),
    "a request id": png_post("X-Request-Id: mine-1"),
    "a request id that is none": png_post("X-Request-Id: mine 1"),
    "kept open": png_post("Connection: keep-alive"),
    "another bearer's scheme": png_post("Authorization: Basic YTpi"),
}


@pytest.mark.parametrize("name", QUICK)
async def test_a_quick_answer_is_the_applications(api: QuickApi, name: str) -> None:
    answer, quick = await both(api, QUICK[name])
    assert (answer.status, quick) == (200, 1)
    assert answer.document["results"][0]["predictions"][0]["label"] == "7"


LEFT: dict[str, tuple[bytes, int]] = {
    "a type with options": (post(PREDICT, "image/png; q=1", PNG, close=False), 200),
    "form with a quoted boundary": (form().replace(b"boundary=b", b'boundary="b"'), 200),
    "form with two fields": (
        form(before=OTHER_PART),
        200,
    ),
    "json": (document(images=[b64()]), 200),
    "an empty routing key": (png_post("X-Routing-Key:"), 200),
    "a header twice": (png_post("X-Routing-Key: a", "X-Routing-Key: b"), 200),
    "close": (png_post("Connection: close"), 200),
    "HTTP/1.0": (png_post(version=b"HTTP/1.0"), 200),
    "HTTP/1.0, kept": (png_post("Connection: keep-alive", version=b"HTTP/1.0"), 200),
    "an escaped path": (png_post(target="/v1/models/d%69gits/predict"), 200),
    "an absolute target": (png_post(target="http://grayscale" + PREDICT), 200),
    "large png": (png_post(body=large_png()), 200),
    "jpeg": (post(PREDICT, "image/jpeg", jpeg(28), close=False), 200),
    "large jpeg": (post(PREDICT, "image/jpeg", jpeg(640), close=False), 200),
    "two images": (document(images=[b64(), b64()]), 200),
    "no images": (document(images=[]), 400),
    "broken json": (post(PREDICT, "application/json", b'{"images', close=False), 400),
    "broken base64": (document(images=[{"b64": "%"}]), 400),
    "an unread type": (post(PREDICT, "text/plain", PNG, close=False), 415),
    "no type": (request(PREDICT, method="POST", body=PNG, close=False), 415),
    "an empty body": (png_post(body=b""), 400),
    "a form without an image": (form(disposition='form-data; name="other"'), 400),
    "a form without a boundary": (post(PREDICT, "multipart/form-data", PNG, close=False), 400),
    "unknown model": (png_post(target="/v1/models/nobody/predict"), 404),
    "a name that cannot be": (png_post(target="/v1/models/di%0Agits/predict"), 400),
    "wrong method": (request(PREDICT, "Content-Type: image/png", method="PUT", body=PNG, close=False), 405),
    "get": (request(PREDICT, close=False), 405),
    "query": (png_post(target=PREDICT + "?top_k=2"), 200),
    "a wrong query": (png_post(target=PREDICT + "?top_k=x"), 400),
    "another route": (request("/v1/models/nobody", close=False), 404),
    "an arm": (png_post("X-Release-Arm: stable"), 200),
    "a priority": (png_post("X-Priority: high"), 200),
    "a wrong priority": (png_post("X-Priority: urgent"), 400),
    "a timeout": (png_post("X-Timeout-Ms: 5000"), 200),
    "a wrong timeout": (png_post("X-Timeout-Ms: 0"), 400),
    "a trace": (png_post("Traceparent: 00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"), 200),
    "an encoding": (png_post("Content-Encoding: gzip"), 415),
    "a routing key that is too long": (png_post("X-Routing-Key: " + "k" * 257), 400),
    "chunks": (
        png_post("Transfer-Encoding: chunked", body=b"%x\r\n%b\r\n0\r\n\r\n" % (len(PNG), PNG), length=None),
        200,
    ),
    "a wrong key": (png_post("X-API-Key: nobody's"), 401),
    "a wrong bearer": (png_post("Authorization: Bearer gs_0123456789ab_" + "x" * 43), 401),
}


@pytest.mark.parametrize("name", LEFT)
async def test_what_is_unusual_or_wrong_is_left_to_the_application(api: QuickApi, name: str) -> None:
    sent, status = LEFT[name]
    answer, quick = await both(api, sent)
    assert (answer.status, quick) == (status, 0)


DAMAGED: dict[str, tuple[bytes, int]] = {
    "a checksum of the header": (bad_checksum(len(PNG) - 32), 422),
    "a checksum of the pixels": (bad_checksum(13), 200),
    "a checksum of the end": (bad_checksum(1), 200),
    "fewer rows than promised": (fewer_rows(), 200),
    "something behind the end": (PNG + b"more", 200),
}


@pytest.mark.parametrize("name", DAMAGED)
async def test_a_damaged_picture_is_what_the_application_takes_it_for(api: QuickApi, name: str) -> None:
    body, status = DAMAGED[name]
    answer, _ = await both(api, png_post(body=body))
    assert answer.status == status


async def test_a_picture_cut_at_any_byte_is_what_the_application_takes_it_for(api: QuickApi) -> None:
    quick, plain = await api.connect_quick(), await api.connect_plain()
    statuses = set()
    for end in range(1, len(PNG)):
        sent = png_post(body=PNG[:end])
        answer = await exchanged(quick, sent)
        assert comparable(answer) == comparable(await exchanged(plain, sent)), f"cut at {end}"
        statuses.add(answer.status)
    assert 422 in statuses
    assert api.bounds.admission.requests == 0
