"""What adding and revoking do to a set of keys. Pure."""

from __future__ import annotations

from dataclasses import replace

from services.shared.errors import Conflict, NotFound
from services.shared.keys.base import ApiKey, KeySet


def with_key(keys: KeySet, key: ApiKey) -> KeySet:
    """Raises Conflict when the id is taken."""
    if key.key_id in keys.by_id:
        raise id_taken(key.key_id)
    return KeySet.of([*keys.by_id.values(), key])


def with_revoked(keys: KeySet, key_id: str, at: float) -> KeySet:
    """The first revocation counts; raises NotFound."""
    key = keys.by_id.get(key_id)
    if key is None:
        raise no_such_key(key_id)
    if key.revoked_at is not None:
        return keys
    return KeySet.of({**keys.by_id, key_id: replace(key, revoked_at=at)}.values())


def id_taken(key_id: str) -> Conflict:
    return Conflict(f"there is a key {key_id} already")


def no_such_key(key_id: str) -> NotFound:
    return NotFound(f"there is no key {key_id[:32]!r}", field="key_id")
