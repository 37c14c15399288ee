"""What a job asks for beside its images."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from services.api.predict import DEFAULT_TOP_K, MAX_TOP_K
from services.shared.asgi import Scope, header
from services.shared.errors import InvalidInput
from services.shared.model_ref import parse_version
from services.shared.outbound.base import UrlRefused
from services.shared.priority import Priority, parse_priority

MAX_TIMEOUT_MS = 7 * 24 * 3600 * 1000  # results would be swept before a later deadline
MAX_KEY_BYTES = 256
# In the query, in a form's fields or in JSON; and in this header, where there is one.
OPTIONS: Mapping[str, bytes | None] = {
    "top_k": None,
    "version": None,
    "callback_url": None,
    "priority": b"x-priority",
    "timeout_ms": b"x-timeout-ms",
}
_IDEMPOTENCY_KEY = re.compile(rb"[\x21-\x7e]{1,255}")


@dataclass(frozen=True, slots=True)
class JobOptions:
    """`timeout_s` counts from the job's creation, None means no deadline. `routing_key` is for every item that has
    none of its own; None means that each gets one from the job's id and its index. `forced` names a release's arm."""

    top_k: int = DEFAULT_TOP_K
    version: int | None = None
    priority: Priority = Priority.NORMAL
    timeout_s: float | None = None
    callback_url: str | None = None
    routing_key: bytes | None = None
    forced: str | None = None


def job_options(scope: Scope, fields: Mapping[str, str], check_url: Callable[[str], object]) -> JobOptions:
    """From the query, the headers, and the body's `fields`, whose names are among OPTIONS.

    Raises InvalidInput naming the option, and what `check_url` raises for the callback's URL.
    """
    given = _given(scope, fields)
    routing_key, forced = header(scope, b"x-routing-key") or None, header(scope, b"x-release-arm")
    if routing_key is not None and len(routing_key) > MAX_KEY_BYTES:
        raise InvalidInput(f"X-Routing-Key is longer than {MAX_KEY_BYTES} bytes", field="X-Routing-Key")
    callback_url = given.get("callback_url")
    if callback_url is not None:
        checked_url(callback_url, "callback_url", check_url)
    return JobOptions(
        top_k=_whole(given["top_k"], "top_k", MAX_TOP_K) if "top_k" in given else DEFAULT_TOP_K,
        version=parse_version(given["version"]) if "version" in given else None,
        priority=parse_priority(given["priority"]) if "priority" in given else Priority.NORMAL,
        timeout_s=_whole(given["timeout_ms"], "timeout_ms", MAX_TIMEOUT_MS) / 1000 if "timeout_ms" in given else None,
        callback_url=callback_url,
        routing_key=routing_key,
        forced=None if forced is None else forced.decode("latin-1"),
    )


def idempotency_key(scope: Scope) -> str | None:
    """The header `Idempotency-Key`; raises InvalidInput for one that cannot be kept."""
    given = header(scope, b"idempotency-key")
    if given is None:
        return None
    if not _IDEMPOTENCY_KEY.fullmatch(given):
        raise InvalidInput("Idempotency-Key is not 1 to 255 visible ASCII characters", field="Idempotency-Key")
    return given.decode("ascii")


def checked_url(url: str, field: str, check_url: Callable[[str], object]) -> str:
    """The URL itself; raises InvalidInput naming the field where the rules for URLs refuse it."""
    try:
        check_url(url)
    except UrlRefused as error:
        raise InvalidInput(error.detail, field=field) from error
    return url


def _given(scope: Scope, fields: Mapping[str, str]) -> dict[str, str]:
    query = scope.get("query_string", b"")
    asked = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True)) if query else {}
    given: dict[str, str] = {}
    for name, header_name in OPTIONS.items():
        sent = None if header_name is None else header(scope, header_name)
        values = {
            value
            for value in (asked.get(name), fields.get(name), None if sent is None else sent.decode("latin-1"))
            if value is not None
        }
        if len(values) > 1:
            raise InvalidInput(f"{name} is given twice, with different values", field=name)
        if values:
            given[name] = values.pop()
    return given


def _whole(text: str, name: str, high: int) -> int:
    # At most ten digits: int() of thousands raises an error of its own.
    if not (len(text) <= 10 and text.isascii() and text.isdigit() and 1 <= int(text) <= high):
        raise InvalidInput(f"{name} is {text[:32]!r}: use a whole number from 1 to {high}", field=name)
    return int(text)
