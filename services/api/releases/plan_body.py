"""The plan in a request's body."""

from __future__ import annotations

import asyncio

import orjson
from starlette.requests import Request

from services.shared.errors import InvalidInput, UnsupportedMediaType
from services.shared.release.parse_plan import parse_plan
from services.shared.release.plan import Plan
from services.shared.release.plan_document import InvalidPlan

JSON = "application/json"
YAML = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml", "text/plain")


async def plan_in(request: Request, model: str) -> Plan:
    """Raises InvalidInput naming the line and the field, UnsupportedMediaType for a body that is neither YAML nor JSON.

    JSON is read as the YAML that it is, so that its errors name lines as well."""
    media_type = request.headers.get("content-type", YAML[0]).partition(";")[0].strip().lower()
    if media_type != JSON and media_type not in YAML:
        raise UnsupportedMediaType(
            f"a plan is sent as {YAML[0]} or {JSON}, not as {media_type[:64]!r}", field="Content-Type"
        )
    body = await request.body()
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(f"the plan is not UTF-8: {error.reason} at byte {error.start}") from None
    if media_type == JSON:
        _check_json(body)
    plan = await asyncio.to_thread(parse_plan, text)  # as long as YAML's reader in Python takes for a text of its limit
    if plan.model != model:
        raise InvalidPlan(f"model: the plan is for {plan.model!r}, and the path names {model!r}", field="model")
    return plan


def _check_json(body: bytes) -> None:
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"line {error.lineno}: this is not JSON: {error.msg}") from None
