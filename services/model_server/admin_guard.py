"""Who may load and unload: everyone on a machine's own loopback, elsewhere whoever has the key."""

from __future__ import annotations

import hmac
from collections.abc import MutableMapping
from typing import Any

from services.shared.errors import Forbidden, Unauthenticated


class AdminGuard:
    """Raises Unauthenticated without a bearer token, Forbidden with a wrong one. Headers as in ASGI."""

    def __init__(self, key: str) -> None:
        if not key:
            raise ValueError("an empty key would let everyone in")
        self._key = key.encode()

    async def __call__(self, scope: MutableMapping[str, Any]) -> None:
        sent = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        scheme, _, token = sent.partition(b" ")
        if scheme.lower() != b"bearer" or not token:
            raise Unauthenticated("this call needs the header Authorization: Bearer KEY")
        if not hmac.compare_digest(token.strip(), self._key):
            raise Forbidden("this key may not change the model repository")
