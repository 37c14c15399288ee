"""Keys in this process: the twin of the stored ones, for tests."""

from __future__ import annotations

from services.shared.keys.base import ApiKey, KeySet
from services.shared.keys.change import with_key, with_revoked


class MemoryKeyStore:
    """A KeyStore that ends with its process."""

    def __init__(self) -> None:
        self._keys = KeySet()

    async def keys(self) -> KeySet:
        return self._keys

    def at_once(self) -> KeySet | None:
        return self._keys

    async def add(self, key: ApiKey) -> None:
        self._keys = with_key(self._keys, key)

    async def revoke(self, key_id: str, *, at: float) -> ApiKey:
        self._keys = with_revoked(self._keys, key_id, at)
        return self._keys.by_id[key_id]
