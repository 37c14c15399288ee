"""The administrator's key of an installation: made at the first start and kept beside its data."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from pathlib import Path

from services.shared.durable_file import locked, replace_file
from services.shared.errors import Conflict
from services.shared.keys.base import ApiKey, KeyStore, Scope, hash_of, key_id_of
from services.shared.keys.issue import NewKey, issue
from services.shared.settings import SettingsError

ADMIN_KEY_FILE = "admin.key"
_NAME, _SCOPES = "admin", frozenset({Scope.ADMIN})


@dataclass(frozen=True, slots=True)
class AdminKey:
    """`created`: it was made just now and should be shown, this once."""

    secret: str = field(repr=False)
    created: bool


async def ensure_admin_key(data_dir: Path, store: KeyStore, *, now: float) -> AdminKey:
    """The secret in `<data_dir>/admin.key` (mode 600), known to the store; both are made when they are missing.

    A key that was revoked is replaced by a new one: revoking it and starting again is how it is changed.
    Raises SettingsError when the file holds something else, OSError, or Unavailable.
    """
    await asyncio.to_thread(data_dir.mkdir, parents=True, exist_ok=True)
    path = data_dir / ADMIN_KEY_FILE
    secret, created = await asyncio.to_thread(_read, path), False
    keys = await store.keys()
    known = None if secret is None else keys.find(secret)
    if secret is None or (known is not None and known.revoked_at is not None):
        fresh = issue(NewKey(_NAME, _SCOPES), now=now).secret
        kept = await asyncio.to_thread(_write, path, fresh, secret)  # another process may have been first
        secret, created, known = kept, kept == fresh, None
    if known is not None and Scope.ADMIN not in known.scopes:
        raise SettingsError(
            f"{path} holds a key that is not an administrator's: delete it, and the next start makes one"
        )
    if known is None:
        key_id = key_id_of(secret)
        if key_id is None:
            raise SettingsError(f"{path} does not hold a key: delete it, and the next start makes one")
        with contextlib.suppress(Conflict):  # another process registered it meanwhile
            # After the file: if this fails, the next start finds a key to register.
            await store.add(ApiKey(key_id, _NAME, _SCOPES, hash_of(secret), now))
    return AdminKey(secret, created)


def _read(path: Path) -> str | None:
    try:
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
        return path.read_text().strip()
    except FileNotFoundError:
        return None


def _write(path: Path, secret: str, replaced: str | None) -> str:
    """Writes the secret unless the file no longer holds what was `replaced`; what it holds then."""
    with locked(path.with_suffix(".lock")):
        current = _read(path)
        if current is not None and current != replaced:
            return current
        replace_file(path, secret.encode() + b"\n", durable=True)
    return secret
