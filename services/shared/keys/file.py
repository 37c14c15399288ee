"""Keys in a file that all processes of one machine share."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from services.shared.durable_file import locked, replace_file
from services.shared.errors import Unavailable
from services.shared.keys.base import ApiKey, KeySet
from services.shared.keys.change import with_key, with_revoked
from services.shared.keys.document import keys_from_json, keys_to_json

_NO_KEYS = KeySet()


class FileKeyStore:
    """`keys.json` in the data directory, mode 600; writers take a file lock.

    Reading costs one `stat` while nothing has changed, so every look-up asks the file: a change counts at once.
    """

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "keys.json"
        self._name = str(self._path)
        self._lock_path = data_dir / "keys.lock"
        self._cached: tuple[tuple[int, int, int], KeySet] | None = None

    async def keys(self) -> KeySet:
        return self._read()

    def at_once(self) -> KeySet | None:
        return self._read()

    async def add(self, key: ApiKey) -> None:
        await asyncio.to_thread(self._change, lambda keys: with_key(keys, key))

    async def revoke(self, key_id: str, *, at: float) -> ApiKey:
        changed = await asyncio.to_thread(self._change, lambda keys: with_revoked(keys, key_id, at))
        return changed.by_id[key_id]

    def _read(self) -> KeySet:
        try:
            status = os.stat(self._name)
        except FileNotFoundError:
            return _NO_KEYS
        except OSError as error:
            raise _unavailable(error) from error
        stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
        if self._cached is None or self._cached[0] != stamp:
            with _as_unavailable():
                self._cached = (stamp, keys_from_json(self._path.read_bytes()))
        return self._cached[1]

    def _change(self, change: Callable[[KeySet], KeySet]) -> KeySet:
        with _as_unavailable():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with locked(self._lock_path):
                current = keys_from_json(self._path.read_bytes()) if self._path.exists() else KeySet()
                changed = change(current)
                if changed is not current:
                    replace_file(self._path, keys_to_json(changed), durable=True)
        return changed


@contextlib.contextmanager
def _as_unavailable() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _unavailable(error) from error


def _unavailable(error: OSError) -> Unavailable:
    return Unavailable(f"the keys in the data directory cannot be used: {error}")
