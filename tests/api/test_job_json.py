from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api.job_json import JsonImage, json_job
from services.api.uploads import decoded
from services.shared.errors import InvalidInput, ServingError, TooLarge


def test_images_and_options_are_told_apart() -> None:
    job = json_job(
        b'{"images": [{"b64": "eA=="}, {"url": "https://x/y", "name": "y", "key": "u"}], "top_k": 3, "priority": null}',
        max_items=5,
    )
    assert job.images == (JsonImage(b64="eA=="), JsonImage(url="https://x/y", name="y", key="u"))
    assert job.fields == {"top_k": "3"}


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ([], "images"),
        ({}, "images"),
        ({"images": []}, "images"),
        ({"images": {}}, "images"),
        ({"images": [1]}, "images[0]"),
        ({"images": [{"b64": "eA=="}, {}]}, "images[1]"),
        ({"images": [{"b64": "eA==", "url": "u"}]}, "images[0]"),
        ({"images": [{"b64": 1}]}, "images[0]"),
        ({"images": [{"b64": None}]}, "images[0]"),
        ({"images": [{"b64": "", "nam": "x"}]}, "images[0]"),
        ({"images": [{"b64": "", "name": 1}]}, "images[0]"),
        ({"images": [{"b64": "", "key": ""}]}, "images[0].key"),
        ({"images": [{"b64": "", "key": "k" * 257}]}, "images[0].key"),
        ({"images": [{"b64": ""}], "topk": 3}, "topk"),
        ({"images": [{"b64": ""}], "top_k": True}, "top_k"),
        ({"images": [{"b64": ""}], "top_k": 1.5}, "top_k"),
    ],
)
def test_what_cannot_be_is_refused_by_its_place(document: object, field: str) -> None:
    with pytest.raises(InvalidInput) as failure:
        json_job(orjson.dumps(document), max_items=5)
    assert failure.value.field == field


def test_more_images_or_values_than_allowed_are_too_large() -> None:
    with pytest.raises(TooLarge, match="6 images, and at most 5"):
        json_job(orjson.dumps({"images": [{"b64": ""}] * 6}), max_items=5)
    with pytest.raises(TooLarge, match="more values than"):
        json_job(b'{"images": [' + b"[]," * 10_000 + b"[]]}", max_items=5)


@given(
    st.binary(max_size=100) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(repr).map(str.encode)
)
def test_any_other_body_is_refused(body: bytes) -> None:
    with pytest.raises(ServingError):
        json_job(body, max_items=5)


def test_base64_is_strict() -> None:
    assert decoded("eA==", "f") == b"x"
    for text in ("eA=", "e A==", "ü", "eA==\n"):
        with pytest.raises(InvalidInput, match="f is not base64"):
            decoded(text, "f")
