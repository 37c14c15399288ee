"""Keys: what one is, what it may do, and what a store of them promises.

A secret is shown once, when its key is made, and is kept nowhere: a store has its SHA-256. A slow, salted password
hash would add nothing, because the secret is not a password: it is 256 bits from the system's random source, which
nobody can search whatever a guess costs; and a slow hash would be paid by every request.
The secret that signs webhooks is kept as it is, because signing needs it.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

_SECRET = re.compile(r"gs_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")


class Scope(enum.StrEnum):
    """What a key is for. `ADMIN` implies all others."""

    PREDICT = "predict"
    JOBS = "jobs"
    TESTER = "tester"  # may force a release's arm
    ADMIN = "admin"


ALL_SCOPES = frozenset(Scope)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is kept. `hash` is the SHA-256 of its secret in hexadecimal; times are Unix seconds.

    `rate_per_s` (None: unlimited) is the average rate, `burst` (at least the rate; 0 without a rate) the most within
    one second, `daily_quota` (None: unlimited) the most within one UTC day, all in requests.
    """

    key_id: str
    name: str
    scopes: frozenset[Scope]
    hash: str = field(repr=False)
    created_at: float
    revoked_at: float | None = None
    rate_per_s: float | None = None
    burst: int = 0
    daily_quota: int | None = None
    webhook_secret: str = field(default="", repr=False)

    @property
    def granted(self) -> frozenset[Scope]:
        """Its scopes with those that they imply."""
        return ALL_SCOPES if Scope.ADMIN in self.scopes else self.scopes


def key_id_of(secret: str) -> str | None:
    """The id inside a well-formed secret `gs_<key id>_<43 characters>`, None for anything else."""
    match = _SECRET.fullmatch(secret)
    return match[1] if match else None


def hash_of(secret: str) -> str:
    """What is stored of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class KeySet:
    """Every key of a store at one moment, revoked ones too. `of` makes one.

    `closed`: a key that is not an administrator's was made at some time. From then on predictions need a key, and
    revoking the last one does not open the server again.
    """

    by_id: Mapping[str, ApiKey] = field(default_factory=lambda: MappingProxyType({}))
    closed: bool = False

    @classmethod
    def of(cls, keys: Iterable[ApiKey]) -> KeySet:
        by_id = {key.key_id: key for key in keys}
        return cls(MappingProxyType(by_id), any(Scope.ADMIN not in key.scopes for key in by_id.values()))

    def find(self, secret: str) -> ApiKey | None:
        """The key of a secret, revoked or not; None when it is not one of these. Compares in constant time.

        Finding costs a dictionary look-up and one SHA-256 of 60 bytes (about 2 µs), so nothing remembers secrets.
        """
        key_id = key_id_of(secret)
        key = None if key_id is None else self.by_id.get(key_id)
        return key if key is not None and hmac.compare_digest(key.hash, hash_of(secret)) else None


class KeyStore(Protocol):
    """Where keys are kept. Every method raises Unavailable when the store cannot be used."""

    async def keys(self) -> KeySet:
        """What is stored, at most a second old: a revoked key stops within that in every process. Cheap to call."""
        ...

    def at_once(self) -> KeySet | None:
        """The same without waiting; None where that cannot be. Raises Unavailable."""
        ...

    async def add(self, key: ApiKey) -> None:
        """Raises Conflict when there is a key with that id."""
        ...

    async def revoke(self, key_id: str, *, at: float) -> ApiKey:
        """The key, revoked; one that was revoked before keeps its time. Raises NotFound."""
        ...
