"""What the OpenAPI document says of a plan, which `parse_plan` reads and FastAPI does not."""

from __future__ import annotations

from typing import Any

from services.api.openapi_parts import an_object, problems
from services.api.releases.plan_body import JSON, YAML
from services.api.schemas import EXACT_VERSION, NAME_SCHEMA
from services.shared.release.plan import LIMITS_OF, OnFail, Strategy
from services.shared.release.routing import Sticky

_DURATION: dict[str, Any] = {
    "type": "string",
    "pattern": r"^[0-9]+(\.[0-9]+)?(ms|s|m|h|d)$",
    "description": "as in 500ms, 60s, 30m, 2h or 7d",
}
_VERSION: dict[str, Any] = {"type": "integer", "minimum": 1, "maximum": EXACT_VERSION}
_REF = an_object(model=NAME_SCHEMA, version=_VERSION) | {"additionalProperties": False}
_PERCENT: dict[str, Any] = {"type": "number", "exclusiveMinimum": 0, "maximum": 100}
_ARM = an_object(model=NAME_SCHEMA, version=_VERSION, weight=_PERCENT) | {"additionalProperties": False}
_NUMBER: dict[str, Any] = {"type": "number"}


def _words(choices: Any) -> dict[str, Any]:
    return {"type": "string", "enum": [str(choice) for choice in choices]}


def _optional(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    """An object with the required properties of one, and further ones; no others."""
    return required | {"properties": required.get("properties", {}) | optional, "additionalProperties": False}


_STEP = _optional(
    {"type": "object"},
    weight=_PERCENT,
    shadow=_PERCENT,
    pause={"type": "boolean", "enum": [True]},
    min_requests={"type": "integer", "minimum": 1, "maximum": 10**9, "default": 100},
    **{"for": _DURATION},
)
_GUARDRAIL = _optional(
    an_object(metric=_words(LIMITS_OF)),
    max=_NUMBER,
    max_increase=_NUMBER,
    max_decrease=_NUMBER,
    max_ratio=_NUMBER,
    query={"type": "string", "description": "of promql; $arm becomes the arm's name"},
    looks={"type": "integer", "minimum": 1, "description": "of promql: so many looks in a row beyond the limit"},
)
PLAN: dict[str, Any] = _optional(
    an_object(model=NAME_SCHEMA, strategy=_words(Strategy)),
    stable=_REF,
    candidate=_REF,
    arms={"type": "object", "minProperties": 1, "additionalProperties": _ARM},
    sticky=_words(Sticky),
    steps={"type": "array", "minItems": 1, "maxItems": 100, "items": _STEP},
    hold=_DURATION,
    guardrails={"type": "array", "items": _GUARDRAIL},
    alpha={"type": "number", "exclusiveMinimum": 0, "maximum": 0.5, "default": 0.05},
    on_fail=_words(OnFail),
    on_no_traffic=an_object(after=_DURATION, do=_words(OnFail)) | {"additionalProperties": False},
) | {
    "description": "What a release is to do; docs/releases.md says what each field means. `candidate` and `steps` for "
    "a canary or a shadow, `candidate` alone for blue-green, `arms` and one step for an A/B test."
}
EXAMPLE: dict[str, Any] = {
    "model": "digits",
    "candidate": {"model": "digits_int8", "version": 1},
    "strategy": "canary",
    "steps": [{"weight": 5, "for": "60s", "min_requests": 500}, {"weight": 50, "for": "300s"}],
    "hold": "30m",
    "guardrails": [
        {"metric": "error_rate", "max_increase": 0.005},
        {"metric": "latency_p95", "max_ratio": 1.2},
    ],
}
_EXAMPLE_YAML = """model: digits
candidate: {model: digits_int8, version: 1}
strategy: canary
steps:
  - {weight: 5, for: 60s, min_requests: 500}
  - {weight: 50, for: 300s}
hold: 30m
guardrails:
  - {metric: error_rate, max_increase: 0.005}
  - {metric: latency_p95, max_ratio: 1.2}
"""
PLAN_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            YAML[0]: {"schema": PLAN, "example": _EXAMPLE_YAML},
            JSON: {"schema": PLAN, "example": EXAMPLE},
        },
    }
}
IF_MATCH_SCHEMA: dict[str, Any] = {"type": "string"}
MOMENT_PATTERN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$"  # a time as documents tell it
_ETAG = {"ETag": {"description": "the revision, for If-Match", "schema": {"type": "string"}}}


def tagged(status: int, *refusals: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of an operation that answers with a release, and refuses with these problems."""
    return {status: {"description": "the release as it is now", "headers": _ETAG}, **refused(*refusals)}


def refused(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of these problems, as FastAPI takes them."""
    return {int(status): response for status, response in problems(*statuses).items()}
