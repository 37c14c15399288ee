"""Makes keys: the one place where a secret exists."""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field

from services.shared.errors import InvalidInput
from services.shared.keys.base import ApiKey, Scope, hash_of

_MAX_NAME = 100
_MAX_BURST = 10_000  # what a store keeps an entry for, per key
_MIN_RATE_PER_S = 1 / 3600


@dataclass(frozen=True, slots=True)
class NewKey:
    """What is asked for. `burst` None: one second's worth of the rate."""

    name: str
    scopes: frozenset[Scope]
    rate_per_s: float | None = None
    burst: int | None = None
    daily_quota: int | None = None


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A key with its secret, which is to be shown once and kept nowhere."""

    key: ApiKey
    secret: str = field(repr=False)


def issue(wanted: NewKey, *, now: float) -> IssuedKey:
    """A fresh key, not yet in a store; `now` in Unix seconds. Raises InvalidInput naming the field."""
    _check(wanted)
    key_id = secrets.token_hex(6)
    secret = f"gs_{key_id}_{secrets.token_urlsafe(32)}"
    rate = wanted.rate_per_s
    key = ApiKey(
        key_id=key_id,
        name=wanted.name,
        scopes=wanted.scopes,
        hash=hash_of(secret),
        created_at=now,
        rate_per_s=rate,
        burst=0 if rate is None else wanted.burst or math.ceil(rate),
        daily_quota=wanted.daily_quota,
        webhook_secret=f"gswh_{key_id}_{secrets.token_urlsafe(32)}",
    )
    return IssuedKey(key, secret)


def parse_scopes(names: Iterable[str]) -> frozenset[Scope]:
    """Raises InvalidInput for a word that is not a scope."""
    found = set()
    for name in names:
        if name not in set(Scope):
            raise InvalidInput(f"{name!r} is not a scope: use one of {', '.join(Scope)}", field="scope")
        found.add(Scope(name))
    return frozenset(found)


def _check(wanted: NewKey) -> None:
    if not (1 <= len(wanted.name) <= _MAX_NAME and wanted.name.isprintable() and wanted.name.strip()):
        raise InvalidInput(f"the name must have 1 to {_MAX_NAME} printable characters", field="name")
    if not wanted.scopes:
        raise InvalidInput(f"the key needs at least one scope: use {', '.join(Scope)}", field="scope")
    rate, burst = wanted.rate_per_s, wanted.burst
    if rate is None and burst is not None:
        raise InvalidInput("a burst needs a rate", field="burst")
    if rate is not None:
        if not _MIN_RATE_PER_S <= rate <= _MAX_BURST:
            raise InvalidInput(f"the rate must be from 1/3600 to {_MAX_BURST} requests a second", field="rate")
        if burst is not None and not rate <= burst <= _MAX_BURST:
            detail = f"the burst must be a whole number from the rate to {_MAX_BURST}: it is the most within one second"
            raise InvalidInput(detail, field="burst")
    if wanted.daily_quota is not None and wanted.daily_quota < 1:
        raise InvalidInput("the daily quota must be at least 1 request", field="daily")
