"""Where the state of an installation is: as the variables `GRAYSCALE_…` say, or in the server that `up` has."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from services.cli.backup.inventory import BackupError
from services.shared.blobs.settings import BlobSettings, blob_settings
from services.shared.embedded_valkey import valkey_socket, valkey_url
from services.shared.redis_url import RedisAddress, parse_redis_url
from services.shared.settings import Variables

_START_S = 60.0  # reading a large file takes its time
_STOP_S = 30.0


@dataclass(frozen=True, slots=True)
class Places:
    """`models` None: the repository is left out. `redis` None: the data directory's own server, if it has one."""

    data_dir: Path
    blobs: BlobSettings
    models: Path | None
    redis: RedisAddress | None

    @property
    def has_embedded(self) -> bool:
        """Whether jobs and releases are kept by a server in the data directory, and have been."""
        return self.redis is None and (self.data_dir / "valkey").is_dir()


def places_of(environment: Mapping[str, str], data_dir: Path, models: Path | None) -> Places:
    """Raises SettingsError."""
    variables = Variables(environment)
    url = variables.text("GRAYSCALE_REDIS_URL", "")
    return Places(
        data_dir=data_dir.resolve(),
        blobs=blob_settings(variables, data_dir.resolve()),
        models=None if models is None else models.resolve(),
        redis=parse_redis_url(url) if url else None,
    )


@contextlib.contextmanager
def embedded_server(data_dir: Path) -> Iterator[RedisAddress]:
    """The data directory's server: the one that runs, else one that is started for this. Raises BackupError."""
    address = parse_redis_url(valkey_url(data_dir))
    if embedded_answers(data_dir):
        yield address
        return
    server = subprocess.Popen(
        [sys.executable, "-m", "services.cli", "valkey"],
        env={**os.environ, "GRAYSCALE_DATA_DIR": str(data_dir)},
        stdout=subprocess.DEVNULL,  # ours may be the backup
        start_new_session=True,
    )
    try:
        end = time.monotonic() + _START_S
        while not embedded_answers(data_dir):
            if server.poll() is not None or time.monotonic() > end:
                raise BackupError(f"the server in {data_dir} does not start: {_last_words(data_dir)}")
            time.sleep(0.02)
        yield address
    finally:
        server.terminate()
        try:
            server.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def embedded_keys(data_dir: Path) -> int:
    """How many keys the data directory's server has. Raises BackupError where it cannot read what is there."""
    with embedded_server(data_dir):
        said = _asked(data_dir, b"DBSIZE\r\n")
    if not said.startswith(b":"):
        raise BackupError(f"the server in {data_dir} does not say what it has: {said.decode(errors='replace')}")
    return int(said[1:])


def embedded_answers(data_dir: Path) -> bool:
    """Whether the data directory's server says that it is ready: one that still reads its file says LOADING."""
    with contextlib.suppress(OSError):
        return _asked(data_dir, b"PING\r\n").startswith(b"+PONG")
    return False


def _asked(data_dir: Path, command: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(str(valkey_socket(data_dir)))
        connection.sendall(command)
        return connection.recv(64)


def _last_words(data_dir: Path) -> str:
    with contextlib.suppress(OSError):
        lines = (data_dir / "valkey" / "valkey.log").read_text(errors="replace").splitlines()
        return " ".join(lines[-3:])
    return "it has no log"
