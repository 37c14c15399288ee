"""The OpenAPI operation that submits jobs, which FastAPI does not serve."""

from __future__ import annotations

from typing import Any

from services.api.job_options import MAX_KEY_BYTES, MAX_TIMEOUT_MS
from services.api.job_submit import ROUTE
from services.api.openapi_parts import a_parameter, an_object, problems
from services.api.predict import MAX_TOP_K
from services.api.schemas import EXACT_VERSION, NAME_SCHEMA

__all__ = ["ROUTE", "submit_operation"]

_STRING: dict[str, Any] = {"type": "string"}
_BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary", "minLength": 1}}
_TOP_K: dict[str, Any] = {"type": "integer", "minimum": 1, "maximum": MAX_TOP_K, "default": 5}
_VERSION: dict[str, Any] = {"type": "integer", "minimum": 1, "maximum": EXACT_VERSION}
_PRIORITY: dict[str, Any] = {"type": "string", "enum": ["high", "normal", "low"]}
_TIMEOUT: dict[str, Any] = {"type": "integer", "minimum": 1, "maximum": MAX_TIMEOUT_MS}
_URL: dict[str, Any] = {"type": "string", "format": "uri"}
# A grey picture of one pixel, as PNG.
_EXAMPLE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="


def _image() -> dict[str, Any]:
    more = {"name": _STRING, "key": {"type": "string", "minLength": 1, "maxLength": MAX_KEY_BYTES}}
    kinds = ({"b64": {"type": "string", "format": "byte", "minLength": 4}}, {"url": _URL})
    return {
        "oneOf": [
            {
                "type": "object",
                "required": list(kind),
                "properties": {**kind, **more},
                "additionalProperties": False,
            }
            for kind in kinds
        ]
    }


def _content() -> dict[str, Any]:
    options = {"top_k": _TOP_K, "version": _VERSION, "priority": _PRIORITY, "timeout_ms": _TIMEOUT}
    files = {
        "image": {"type": "array", "minItems": 1, "items": {"type": "string", "format": "binary"}},
        "archive": {"type": "string", "format": "binary", "description": "a zip archive of images"},
    }
    form = an_object(image=files["image"])
    form["properties"] |= {"archive": files["archive"]}
    body = an_object(images={"type": "array", "minItems": 1, "items": _image()}) | {"additionalProperties": False}
    body["properties"] |= options | {"callback_url": _URL}
    return {
        "multipart/form-data": {"schema": form},
        "application/zip": _BINARY,
        "application/octet-stream": _BINARY,
        "image/png": _BINARY,
        "image/jpeg": _BINARY,
        "application/json": {"schema": body, "example": {"images": [{"b64": _EXAMPLE, "name": "grey.png"}]}},
    }


def _parameters() -> list[dict[str, Any]]:
    return [
        a_parameter("model", "path", NAME_SCHEMA, "the model's public name", "digits"),
        a_parameter("top_k", "query", _TOP_K, "how many predictions for each image"),
        a_parameter("version", "query", _VERSION, "pins a version of the model"),
        a_parameter("callback_url", "query", _URL, "told when the job has ended, where hosts are listed for that"),
        a_parameter("Idempotency-Key", "header", {"type": "string", "pattern": "^[!-~]{1,255}$"}, "same key, same job"),
        a_parameter("X-Timeout-Ms", "header", _TIMEOUT, "a deadline for the whole job, from its acceptance"),
        a_parameter("X-Priority", "header", _PRIORITY, "who goes first"),
        a_parameter(
            "X-Routing-Key", "header", {"type": "string", "maxLength": MAX_KEY_BYTES}, "one arm for all images"
        ),
        a_parameter("X-Request-Id", "header", _STRING, "sent back, and in the log"),
    ]


def submit_operation() -> dict[str, Any]:
    """`post` of ROUTE."""
    return {
        "tags": ["jobs"],
        "summary": "Submit a job",
        "operationId": "submit_job",
        "description": "Many images, later: answered when they are on disk, and worked on from then on whatever dies. "
        "An image that cannot be read fails alone. The options of the query may be fields of the form or of the JSON, "
        "too.",
        "security": [{}, {"bearer": []}, {"apiKey": []}],
        "parameters": _parameters(),
        "requestBody": {"required": True, "content": _content()},
        "responses": {
            "202": {
                "description": "accepted; the same job again for a repeated Idempotency-Key",
                "headers": {
                    "X-Request-Id": {"schema": _STRING, "required": True},
                    "Location": {"schema": _STRING, "required": True, "description": "the job"},
                    "Idempotency-Replayed": {"schema": {"type": "string", "enum": ["true"]}},
                },
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/JobDocument"}}},
            },
            **problems(400, 401, 403, 404, 408, 409, 413, 415, 429, 500, 503),
        },
    }
