"""The OpenAPI document: what FastAPI knows of its own routes, and the hot route that it does not serve."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from services.api import documented_explain, documented_jobs
from services.api.openapi_parts import PROBLEM, a_parameter, an_object, problems
from services.api.predict import MAX_TIMEOUT_MS, MAX_TOP_K, ROUTE
from services.api.required_scope import required_scope
from services.api.schemas import EXACT_VERSION, NAME_SCHEMA
from services.shared.keys.base import Scope

DESCRIPTION = """
Any picture in, the right answer or a clear error out.

Every error is `application/problem+json` (RFC 9457) and says what to change. Under `/v2` the server speaks the
[Open Inference Protocol](https://github.com/kserve/open-inference-protocol), with Triton's extensions; its errors are
`{"error": "…"}` as the protocol says, and its own document describes it. An inference that names no version is routed
by the model's release, as a prediction is: by `X-Routing-Key` or the request's parameter `routing_key`, for a tester
by `X-Release-Arm`. The answer's headers `X-Served-By` and `X-Release-Arm` say which version answered.
"""


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
            schemas["Explanation"] = documented_explain.explanation_schema()
            for path, item in document["paths"].items():
                for method, operation in item.items():
                    operation["responses"].pop("422", None)
                    if path.startswith("/v1/"):
                        operation["responses"] |= problems(400, 404, 408, 413, 500, 503)
                    scope = required_scope(method.upper(), path)
                    if scope is Scope.ADMIN:
                        operation["security"] = [{"bearer": []}, {"apiKey": []}]
                        operation["responses"] |= problems(401, 403, 409)
                    elif scope is not None:
                        operation["security"] = [{}, {"bearer": []}, {"apiKey": []}]
                        operation["responses"] |= problems(401, 403)
            document["paths"][ROUTE] = {"post": _predict_operation()}
            document["paths"][documented_explain.ROUTE] = {"post": documented_explain.explain_operation()}
            document["paths"][documented_jobs.ROUTE] = {"post": documented_jobs.submit_operation()}
            document["components"]["securitySchemes"] = {
                "bearer": {"type": "http", "scheme": "bearer"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            }
            self.openapi_schema = document
        return self.openapi_schema


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
            "items": an_object(label=_STRING, index=_INTEGER, score=_NUMBER) | {"additionalProperties": False},
        },
        {
            "title": "detection",
            "type": "array",
            "items": an_object(label=_STRING, index=_INTEGER, score=_NUMBER, box=_CORNERS),
        },
        an_object(
            classes={"type": "array", "items": an_object(label=_STRING, index=_INTEGER, share=_UNIT)},
            mask_png_b64={
                "type": "string",
                "format": "byte",
                "description": "a grey PNG whose values are class indices; 255 is no class, or not seen by the model",
            },
            mask_width=_INTEGER,
            mask_height=_INTEGER,
        )
        | {"title": "segmentation"},
        an_object(embedding={"type": "array", "minItems": 1, "items": _NUMBER}) | {"title": "embedding"},
    ],
}
_PREDICTION = an_object(
    request_id=_STRING,
    feedback_id=_STRING,
    model=_STRING,
    served_by=an_object(model=_STRING, version=_INTEGER, arm=_STRING),
    results={
        "type": "array",
        "items": an_object(
            predictions=_PREDICTIONS,
            image=an_object(width=_INTEGER, height=_INTEGER, format=_STRING),
        ),
    },
    timings_ms=an_object(decode=_NUMBER, queue=_NUMBER, infer=_NUMBER, total=_NUMBER),
)
_BINARY = {"schema": {"type": "string", "format": "binary", "minLength": 1}}
_JSON_IMAGE: dict[str, Any] = {
    "oneOf": [
        {**an_object(b64={"type": "string", "format": "byte", "minLength": 4}), "additionalProperties": False},
        {**an_object(url={"type": "string", "format": "uri"}), "additionalProperties": False},
    ]
}
# A grey picture of one pixel, as PNG.
_EXAMPLE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="


def _predict_operation() -> dict[str, Any]:
    multipart = an_object(image={"type": "array", "minItems": 1, "items": {"type": "string", "format": "binary"}})
    body = an_object(images={"type": "array", "minItems": 1, "maxItems": 64, "items": _JSON_IMAGE})
    return {
        "tags": ["predict"],
        "summary": "Predict",
        "operationId": "predict",
        "description": "What is in some pictures: one result for each, in their order.",
        "security": [{}, {"bearer": []}, {"apiKey": []}],
        "parameters": [
            a_parameter("model", "path", NAME_SCHEMA, "the model's public name", "digits"),
            a_parameter(
                "top_k", "query", {"type": "integer", "minimum": 1, "maximum": MAX_TOP_K, "default": 5}, "how many"
            ),
            a_parameter(
                "version",
                "query",
                {"type": "integer", "minimum": 1, "maximum": EXACT_VERSION},
                "pins a version of the model",
            ),
            a_parameter(
                "X-Timeout-Ms", "header", {"type": "integer", "minimum": 1, "maximum": MAX_TIMEOUT_MS}, "a deadline"
            ),
            a_parameter(
                "X-Priority", "header", {"type": "string", "enum": ["high", "normal", "low"]}, "who goes first"
            ),
            a_parameter("X-Routing-Key", "header", {"type": "string", "maxLength": 256}, "the same key, the same arm"),
            a_parameter("X-Request-Id", "header", {"type": "string"}, "sent back, and in the log"),
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
