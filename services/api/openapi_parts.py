"""What the hand-written operations of the OpenAPI document are made of."""

from __future__ import annotations

from typing import Any

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
    412: "it has another revision now than `If-Match` names",
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


def an_object(**properties: Any) -> dict[str, Any]:
    """A schema whose properties are all required."""
    document: dict[str, Any] = {"type": "object", "required": list(properties), "properties": properties}
    return document


def a_parameter(name: str, place: str, schema: dict[str, Any], description: str, example: Any = None) -> dict[str, Any]:
    parameter: dict[str, Any] = {"name": name, "in": place, "schema": schema, "description": description}
    if place == "path":
        parameter["required"] = True
    return parameter if example is None else parameter | {"example": example}
