"""The OpenAPI operation that explains an answer, which FastAPI does not serve."""

from __future__ import annotations

from typing import Any

from services.api.explain_options import DEFAULT_METHOD, MAX_INDEX
from services.api.openapi_parts import a_parameter, an_object, problems
from services.api.predict import MAX_TIMEOUT_MS
from services.api.routes.explain import ROUTE
from services.api.schemas import EXACT_VERSION, NAME_SCHEMA
from services.shared.explanation.base import Method
from services.shared.explanation.pace import MAX_EVALUATIONS, MIN_EVALUATIONS

__all__ = ["ROUTE", "explain_operation"]

_INTEGER: dict[str, Any] = {"type": "integer"}
_NUMBER: dict[str, Any] = {"type": "number"}
_STRING: dict[str, Any] = {"type": "string"}
_SIDE: dict[str, Any] = {"type": "integer", "minimum": 1}
_BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary", "minLength": 1}}
_DESCRIPTION = """
Which parts of a picture a classifier's answer hangs on, found by asking it again with parts of the picture hidden.
Works with every classifier; other tasks are refused with 400. One explanation is made at a time in each process, with
the lowest priority: more are refused with 503. It is never counted as evidence for or against a release.
With `Accept: image/png` the answer is the picture with the heat over it.
"""
_HEATMAP: dict[str, Any] = {
    "type": "string",
    "format": "byte",
    "description": "a grey PNG over the upright picture: 255 where the answer hangs most on it, 0 where it does not, "
    "and where the model was not shown it",
}
# A grey picture of one pixel, as PNG.
_EXAMPLE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="


def explanation_schema() -> dict[str, Any]:
    """What the answer's JSON looks like."""
    return an_object(
        request_id=_STRING,
        model=_STRING,
        served_by=an_object(model=_STRING, version=_INTEGER, arm=_STRING),
        label=_STRING,
        index=_INTEGER,
        score=_NUMBER,
        method={"type": "string", "enum": list(Method)},
        evaluations={"type": "integer", "description": "how many partly hidden pictures the model was asked about"},
        width=_SIDE,
        height=_SIDE,
        heatmap_png_b64=_HEATMAP,
        heatmap_width=_SIDE,
        heatmap_height=_SIDE,
        timings_ms=an_object(total=_NUMBER),
    )


def explain_operation() -> dict[str, Any]:
    return {
        "tags": ["predict"],
        "summary": "Explain",
        "operationId": "explain",
        "description": _DESCRIPTION.strip(),
        "security": [{}, {"bearer": []}, {"apiKey": []}],
        "parameters": _parameters(),
        "requestBody": {"required": True, "content": _content()},
        "responses": {
            "200": {
                "description": "what the answer hangs on",
                "headers": {
                    "X-Request-Id": {"schema": _STRING, "required": True},
                    "X-Served-By": {"schema": _STRING, "required": True, "description": "model/version"},
                    "X-Release-Arm": {"schema": _STRING, "required": True},
                },
                "content": {
                    "application/json": {"schema": {"$ref": "#/components/schemas/Explanation"}},
                    "image/png": {"schema": {"type": "string", "format": "binary"}},
                },
            },
            **problems(400, 401, 403, 404, 408, 413, 415, 422, 429, 500, 503, 504),
        },
    }


def _parameters() -> list[dict[str, Any]]:
    index = {"type": "integer", "minimum": 0, "maximum": MAX_INDEX}
    evaluations = {"type": "integer", "minimum": MIN_EVALUATIONS, "maximum": MAX_EVALUATIONS}
    method = {"type": "string", "enum": list(Method), "default": DEFAULT_METHOD.value}
    version = {"type": "integer", "minimum": 1, "maximum": EXACT_VERSION}
    timeout = {"type": "integer", "minimum": 1, "maximum": MAX_TIMEOUT_MS}
    return [
        a_parameter("model", "path", NAME_SCHEMA, "the model's public name", "digits"),
        a_parameter("label", "query", _STRING, "the class to explain, by its label; without one the best"),
        a_parameter("index", "query", index, "the same by its index"),
        a_parameter("method", "query", method, "random masks, or windows from coarse to fine"),
        a_parameter("evaluations", "query", evaluations, "how many; without a number what two seconds have room for"),
        a_parameter("version", "query", version, "pins a version of the model"),
        a_parameter("X-Timeout-Ms", "header", timeout, "a deadline"),
        a_parameter("X-Routing-Key", "header", {"type": "string", "maxLength": 256}, "the same key, the same arm"),
        a_parameter("X-Request-Id", "header", _STRING, "sent back, and in the log"),
    ]


def _content() -> dict[str, Any]:
    files = {"type": "array", "minItems": 1, "maxItems": 1, "items": {"type": "string", "format": "binary"}}
    image = {
        "oneOf": [
            {**an_object(b64={"type": "string", "format": "byte", "minLength": 4}), "additionalProperties": False},
            {**an_object(url={"type": "string", "format": "uri"}), "additionalProperties": False},
        ]
    }
    body = an_object(images={"type": "array", "minItems": 1, "maxItems": 1, "items": image})
    return {
        "multipart/form-data": {"schema": an_object(image=files)},
        "application/octet-stream": _BINARY,
        "image/png": _BINARY,
        "image/jpeg": _BINARY,
        "application/json": {"schema": body, "example": {"images": [{"b64": _EXAMPLE}]}},
    }
