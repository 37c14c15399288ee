"""What commands wire themselves, without a running server."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from services.shared.keys.admin import AdminKey, ensure_admin_key
from services.shared.keys.base import KeyStore
from services.shared.keys.file import FileKeyStore


def admin_key(data_dir: Path) -> AdminKey:
    """The administrator's key of a data directory, made when it is not there."""
    return asyncio.run(ensure_admin_key(data_dir, FileKeyStore(data_dir), now=time.time()))


def key_store(data_dir: Path) -> KeyStore:
    """The keys of a data directory."""
    return FileKeyStore(data_dir)
