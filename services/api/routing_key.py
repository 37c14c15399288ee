"""The key that decides which arm of a release answers: the client's own, a browser's cookie, or chance."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.types import Scope

from services.shared.asgi import headers_of
from services.shared.errors import InvalidInput
from services.shared.random_bytes import random_bytes

COOKIE = "grayscale_key"
_MAX_AGE_S = 365 * 24 * 3600
_MAX_KEY_BYTES = 256
_OURS = re.compile(rb"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class RoutingKey:
    """`set_cookie` is the header value that makes the key stick, where it is new to a browser."""

    key: bytes
    set_cookie: bytes | None = None


def routing_key(scope: Scope) -> RoutingKey:
    """`X-Routing-Key` (at most 256 bytes), else our cookie, else a new random key that only browsers are asked to keep.

    Browsers are told by `Sec-Fetch-Site`, which they alone send (W3C Fetch Metadata). Raises InvalidInput.
    """
    return routing_key_in(headers_of(scope), secure=scope.get("scheme") == "https")


def routing_key_in(fields: Mapping[bytes, bytes], *, secure: bool) -> RoutingKey:
    """The same for a request with these headers."""
    given = fields.get(b"x-routing-key")
    if given:
        if len(given) > _MAX_KEY_BYTES:
            raise InvalidInput(f"X-Routing-Key is longer than {_MAX_KEY_BYTES} bytes", field="X-Routing-Key")
        return RoutingKey(given)
    kept = _cookie(fields.get(b"cookie"))
    if kept is not None:
        return RoutingKey(kept)
    fresh = random_bytes(16).hex()
    if fields.get(b"sec-fetch-site") is None:
        return RoutingKey(fresh.encode())
    cookie = f"{COOKIE}={fresh}; Path=/; Max-Age={_MAX_AGE_S}; HttpOnly; SameSite=Lax{'; Secure' if secure else ''}"
    return RoutingKey(fresh.encode(), cookie.encode())


def _cookie(value: bytes | None) -> bytes | None:
    """Ours among the cookies, split as browsers join them: every server of this host may have set others, in any form,
    and Python's own parser gives up at the first that it cannot read."""
    for pair in (value or b"").split(b";"):
        name, _, kept = pair.strip().partition(b"=")
        if name == COOKIE.encode() and _OURS.fullmatch(kept):
            return kept
    return None
