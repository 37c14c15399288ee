"""Who is calling: from a request's headers to a caller with scopes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.types import Scope as AsgiScope

from services.api.required_scope import required_scope
from services.shared.asgi import header, headers_of
from services.shared.errors import Forbidden, ServingError, Unauthenticated
from services.shared.keys.base import ALL_SCOPES, ApiKey, KeySet, KeyStore, Scope

_OPEN = ALL_SCOPES - {Scope.ADMIN}  # what everyone may do before a first key was made
_HOW = "send the header Authorization: Bearer KEY, or X-API-Key: KEY"


@dataclass(frozen=True, slots=True)
class Caller:
    """`key` is None for a caller without one; `scopes` is what the caller may do, implied scopes included."""

    key: ApiKey | None
    scopes: frozenset[Scope]


ANYONE, _VISITOR = Caller(None, frozenset()), Caller(None, _OPEN)


class Authenticator:
    """Predictions and jobs need no key until the store has one that is not an administrator's, or `require_key` is
    set; an administrator's calls always need one."""

    def __init__(self, store: KeyStore, *, require_key: bool = False) -> None:
        self._store = store
        self._require_key = require_key

    async def authorize(self, scope: AsgiScope, needed: tuple[Scope, ...]) -> Caller:
        """The caller of an HTTP request that needs these scopes. Without any it is anyone's, and no key is looked at.

        Raises Unauthenticated (no key where one is needed, an unknown or a revoked one), Forbidden (the key lacks a
        scope), Unavailable (the store cannot be used).
        """
        if not needed:
            return ANYONE
        caller = caller_of(await self._store.keys(), key_in(headers_of(scope)), require_key=self._require_key)
        check_scopes(caller, needed)
        return caller

    async def is_admin(self, scope: AsgiScope) -> bool:
        """Of a request that needs no key: whether it comes with an administrator's all the same."""
        try:
            await self.authorize(scope, (Scope.ADMIN,))
        except ServingError:
            return False
        return True

    def keys_at_once(self) -> KeySet | None:
        """The keys, for `predicting`; None where they cannot be had without waiting. Raises Unavailable."""
        return self._store.at_once()

    def predicting(self, keys: KeySet, fields: Mapping[bytes, bytes]) -> Caller | None:
        """The caller of a prediction with these headers, when it may have it uncounted; else None."""
        if b"authorization" not in fields and b"x-api-key" not in fields:
            caller = _without_key(keys, require_key=self._require_key)
            return None if caller is ANYONE else caller
        caller = caller_of(keys, key_in(fields), require_key=self._require_key)
        key = caller.key
        if Scope.PREDICT not in caller.scopes or (key is not None and (key.rate_per_s or key.daily_quota)):
            return None
        return caller


def needed_scopes(scope: AsgiScope) -> tuple[Scope, ...]:
    """What a request needs; naming the arm that shall answer is a tester's."""
    path: str = scope["path"]
    needed = required_scope(scope["method"], path.removeprefix(scope.get("root_path", "")))
    if needed is None:
        return ()
    forced = needed in (Scope.PREDICT, Scope.JOBS) and header(scope, b"x-release-arm") is not None
    return (needed, Scope.TESTER) if forced else (needed,)


def key_in(fields: Mapping[bytes, bytes]) -> str | None:
    """The key that headers bring: a bearer token first, then X-API-Key; other kinds of credentials are not ours."""
    scheme, _, token = fields.get(b"authorization", b"").partition(b" ")
    sent = token.strip() if scheme.lower() == b"bearer" else fields.get(b"x-api-key", b"").strip()
    return sent.decode("latin-1") or None


def caller_of(keys: KeySet, secret: str | None, *, require_key: bool) -> Caller:
    """Whose secret it is; a key that is wrong is refused even where none is needed. Raises Unauthenticated."""
    if secret is None:
        return _without_key(keys, require_key=require_key)
    key = keys.find(secret)
    if key is None:
        raise Unauthenticated("this key is not known here")
    if key.revoked_at is not None:
        raise Unauthenticated(f"the key {key.key_id} was revoked")
    return Caller(key, key.granted)


def _without_key(keys: KeySet, *, require_key: bool) -> Caller:
    return ANYONE if keys.closed or require_key else _VISITOR


def check_scopes(caller: Caller, needed: tuple[Scope, ...]) -> None:
    """Raises Unauthenticated or Forbidden naming the first scope that is missing."""
    missing = next((scope for scope in needed if scope not in caller.scopes), None)
    if missing is None:
        return
    if caller.key is None:
        raise Unauthenticated(f"this call needs a key with the scope {missing}: {_HOW}")
    has = ", ".join(sorted(caller.key.scopes))
    raise Forbidden(f"this call needs the scope {missing}; the key {caller.key.key_id} has {has}")
