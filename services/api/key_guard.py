"""The middleware that asks who is calling, counts, and keeps the audit log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as AsgiScope

from services.api.auth import Authenticator, Caller, needed_scopes
from services.api.problems import kind_of
from services.api.refusal import refuse
from services.shared.audit import AuditEntry, AuditLog
from services.shared.clock import Clock, SystemClock
from services.shared.errors import ServingError
from services.shared.keys.base import Scope
from services.shared.quotas.base import QuotaLimiter

_COUNTED = frozenset({Scope.PREDICT, Scope.JOBS})

_log = logging.getLogger("grayscale.audit")


class KeyGuard:
    """Plain ASGI, below the request context. Puts the Caller into `scope["state"]["caller"]` and its key id into the
    request's log line; what the caller may not do is refused before its body is read.

    Each POST that predicts or makes a job counts once against its key's rate and quota. Each administrator's call
    goes to the audit log with the status that answered it. Calls refused for want of an admin key are logged as
    warnings only: whoever has no key must not be able to push the entries of those who have one out of the file.
    """

    def __init__(
        self,
        app: ASGIApp,
        authenticator: Authenticator,
        *,
        limiter: QuotaLimiter,
        audit: AuditLog,
        clock: Clock | None = None,
    ) -> None:
        self._app = app
        self._authenticator = authenticator
        self._limiter = limiter
        self._audit = audit
        self._clock = clock or SystemClock()

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        needed = needed_scopes(scope)
        try:
            caller = await self._authenticator.authorize(scope, needed)
            if caller.key is not None and scope["method"] == "POST" and not _COUNTED.isdisjoint(needed):
                await self._limiter.check(caller.key)
        except ServingError as error:
            if Scope.ADMIN in needed:
                _log.warning("an administrator's call was refused", extra={**_described(scope), "reason": error.detail})
            await refuse(scope, error, send)
            return
        state = scope.setdefault("state", {})
        state["caller"] = caller
        if caller.key is not None:
            state.setdefault("log", {})["key_id"] = caller.key.key_id
        if Scope.ADMIN in needed:
            await self._audited(scope, receive, send, caller)
        else:
            await self._app(scope, receive, send)

    async def _audited(self, scope: AsgiScope, receive: Receive, send: Send, caller: Caller) -> None:
        status = 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except ServingError as error:
            status = status or kind_of(error).status
            raise
        except Exception:
            status = status or 500
            raise
        finally:
            key = caller.key
            entry = AuditEntry(
                at=self._clock.now(),
                key_id="" if key is None else key.key_id,
                key_name="" if key is None else key.name,
                status=status or 499,  # 499: the client went away before there was an answer
                **_described(scope),
            )
            await asyncio.to_thread(self._audit.record, entry)


def _described(scope: AsgiScope) -> Mapping[str, str]:
    client = scope.get("client")
    return {
        "request_id": scope.get("state", {}).get("request_id", ""),
        "method": scope["method"],
        "path": scope["path"],
        "remote": client[0] if client else "",
    }
