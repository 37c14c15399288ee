"""The OpenAPI document: what FastAPI knows of its own routes, and the hot route that it does not serve."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from services.api.predict import MAX_TIMEOUT_MS, MAX_TOP_K, ROUTE
from services.api.required_scope import required_scope
from services.api.schemas import EXACT_VERSION, NAME_SCHEMA
from services.shared.keys.base import Scope

DESCRIPTION = """
Any picture in, the right answer or a clear error out.

Every error is `application/problem+json` (RFC 9457) and says what to change. Under `/v2` the server speaks the
[Open Inference Protocol](https://github.com/kserve/open-inference-protocol), with Triton's extensions; its errors are
`{"error": "…"}` as the protocol says, and its own document describes it.
"""

PROBLEM: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "detail"],
                "properties": {"field": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
}
_REASONS = {
    400: "the request cannot be understood; `errors` names the field",
    401: "a key is needed, or the one sent is not known",
    403: "the key lacks the scope",
    404: "no such model or version",
    405: "this path has other methods",
    408: "the body came too slowly",
    409: "something else was first, or is not loaded",
    413: "too many bytes, pixels or images",
    415: "not a kind of body or image that is read",
    422: "the image cannot be decoded, with the reason",
    429: "over the rate or quota of the key",
    500: "the model failed",
    503: "overloaded or not ready; try again after `Retry-After` seconds",
    504: "the deadline passed",
}


def problems(*statuses: int) -> dict[str, Any]:
    """The `responses` of an operation for these statuses."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {str(status): {"description": _REASONS[status], "content": content} for status in statuses}


class DocumentedApi(FastAPI):
    """FastAPI whose document has the predict route as well, and problems as the errors of every route."""

    def __init__(self, *, title: str, version: str) -> None:
        # A redirect for a missing slash would lead to wherever the Host header says.
        super().__init__(title=title, version=version, description=DESCRIPTION, redoc_url=None, redirect_slashes=False)

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            document = super().openapi()
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            for unused in ("HTTPValidationError", "ValidationError"):
                schemas.pop(unused, None)
            schemas["Problem"] = PROBLEM
            schemas["Prediction"] = _PREDICTION
            for path, item in document["paths"].items():
                for method, operation in item.items():
                    operation["responses"].pop("422", None)
                    if path.startswith("/v1/"):
                        operation["responses"] |= problems(400, 404, 408, 413, 500, 503)
                    if required_scope(method.upper(), path) is Scope.ADMIN:
                        operation["security"] = [{"bearer": []}, {"apiKey": []}]
                        operation["responses"] |= problems(401, 403, 409)
            document["paths"][ROUTE] = {"post": _predict_operation()}
            document["components"]["securitySchemes"] = {
                "bearer": {"type": "http", "scheme": "bearer"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            }
            self.openapi_schema = document
        return self.openapi_schema


def _object(**properties: Any) -> dict[str, Any]:
    document: dict[str, Any] = {"type": "object", "required": list(properties), "properties": properties}
    return document


_INTEGER, _NUMBER, _STRING = {"type": "integer"}, {"type": "number"}, {"type": "string"}
_UNIT = {"type": "number", "minimum": 0, "maximum": 1}
_CORNERS = {
    "type": "array",
    "minItems": 4,
    "maxItems": 4,
    "items": {"type": "number", "minimum": 0},
    "description": "x0, y0, x1, y1 in pixels of the picture",
}
_PREDICTIONS: dict[str, Any] = {
    "description": "by the model's task",
    "oneOf": [
        {
            "title": "classification",
            "type": "array",
            "minItems": 1,
            "items": _object(label=_STRING, index=_INTEGER, score=_NUMBER) | {"additionalProperties": False},
        },
        {
            "title": "detection",
            "type": "array",
            "items": _object(label=_STRING, index=_INTEGER, score=_NUMBER, box=_CORNERS),
        },
        _object(
            classes={"type": "array", "items": _object(label=_STRING, index=_INTEGER, share=_UNIT)},
            mask_png_b64={
                "type": "string",
                "format": "byte",
                "description": "a grey PNG whose values are class indices; 255 is no class, or not seen by the model",
            },
            mask_width=_INTEGER,
            mask_height=_INTEGER,
        )
        | {"title": "segmentation"},
        _object(embedding={"type": "array", "minItems": 1, "items": _NUMBER}) | {"title": "embedding"},
    ],
}
_PREDICTION = _object(
    request_id=_STRING,
    feedback_id=_STRING,
    model=_STRING,
    served_by=_object(model=_STRING, version=_INTEGER, arm=_STRING),
    results={
        "type": "array",
        "items": _object(
            predictions=_PREDICTIONS,
            image=_object(width=_INTEGER, height=_INTEGER, format=_STRING),
        ),
    },
    timings_ms=_object(decode=_NUMBER, queue=_NUMBER, infer=_NUMBER, total=_NUMBER),
)
_BINARY = {"schema": {"type": "string", "format": "binary", "minLength": 1}}
_JSON_IMAGE: dict[str, Any] = {
    "oneOf": [
        {**_object(b64={"type": "string", "format": "byte", "minLength": 4}), "additionalProperties": False},
        {**_object(url={"type": "string", "format": "uri"}), "additionalProperties": False},
    ]
}
# A grey picture of one pixel, as PNG.
_EXAMPLE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="


def _parameter(name: str, place: str, schema: dict[str, Any], description: str, example: Any = None) -> dict[str, Any]:
    parameter: dict[str, Any] = {"name": name, "in": place, "schema": schema, "description": description}
    if place == "path":
        parameter["required"] = True
    return parameter if example is None else parameter | {"example": example}


def _predict_operation() -> dict[str, Any]:
    multipart = _object(image={"type": "array", "minItems": 1, "items": {"type": "string", "format": "binary"}})
    body = _object(images={"type": "array", "minItems": 1, "maxItems": 64, "items": _JSON_IMAGE})
    return {
        "tags": ["predict"],
        "summary": "Predict",
        "operationId": "predict",
        "description": "What is in some pictures: one result for each, in their order.",
        "security": [{}, {"bearer": []}, {"apiKey": []}],
        "parameters": [
            _parameter("model", "path", NAME_SCHEMA, "the model's public name", "digits"),
            _parameter(
                "top_k", "query", {"type": "integer", "minimum": 1, "maximum": MAX_TOP_K, "default": 5}, "how many"
            ),
            _parameter(
                "version",
                "query",
                {"type": "integer", "minimum": 1, "maximum": EXACT_VERSION},
                "pins a version of the model",
            ),
            _parameter(
                "X-Timeout-Ms", "header", {"type": "integer", "minimum": 1, "maximum": MAX_TIMEOUT_MS}, "a deadline"
            ),
            _parameter("X-Priority", "header", {"type": "string", "enum": ["high", "normal", "low"]}, "who goes first"),
            _parameter("X-Routing-Key", "header", {"type": "string", "maxLength": 256}, "the same key, the same arm"),
            _parameter("X-Request-Id", "header", {"type": "string"}, "sent back, and in the log"),
        ],
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {"schema": multipart},
                "application/octet-stream": _BINARY,
                "image/png": _BINARY,
                "image/jpeg": _BINARY,
                "application/json": {"schema": body, "example": {"images": [{"b64": _EXAMPLE}]}},
            },
        },
        "responses": {
            "200": {
                "description": "the predictions, best first",
                "headers": {
                    "X-Request-Id": {"schema": _STRING, "required": True},
                    "X-Served-By": {"schema": _STRING, "required": True, "description": "model/version"},
                    "X-Release-Arm": {"schema": _STRING, "required": True},
                    "Server-Timing": {"schema": _STRING, "required": True},
                },
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Prediction"}}},
            },
            **problems(400, 401, 403, 404, 408, 413, 415, 422, 429, 500, 503, 504),
        },
    }
