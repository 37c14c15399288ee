"""A real Valkey server for a test, on a Unix socket, ended with it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from services.shared.embedded_valkey import NO_VALKEY, valkey_binary, valkey_command, valkey_socket, valkey_url

START_S = 20.0


def require_valkey() -> None:
    """Skips the test where there is no program for a server, and fails it where CI is set."""
    if valkey_binary() is not None:
        return
    if os.environ.get("CI"):
        pytest.fail(NO_VALKEY)
    pytest.skip(NO_VALKEY)


class ValkeyServer:
    """Starts and stops one server; its data stay between the two."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.url = valkey_url(data_dir)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it answers."""
        require_valkey()
        command = valkey_command(self.data_dir)
        assert command is not None
        with (self.data_dir / "valkey.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        self.wait_for(self._process)

    def wait_for(self, process: subprocess.Popen[bytes]) -> None:
        """Returns when the server that is this process answers."""
        end = time.monotonic() + START_S
        while not self.answers():
            if process.poll() is not None or time.monotonic() > end:
                log = self.data_dir / "valkey.log"
                raise AssertionError(f"no answer: {log.read_text()[-2000:] if log.exists() else process.returncode}")
            time.sleep(0.01)

    def stop(self) -> None:
        """SIGTERM, and SIGKILL when that does not end it."""
        if self._process is None:
            return
        self.resume()
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        self._process = None

    def kill(self) -> None:
        """SIGKILL: it has no chance to write anything."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)
        self._process = None

    def hang(self) -> None:
        """Connections stay open and are even accepted, and nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def answers(self) -> bool:
        """Whether it says PONG."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1)
            connection.connect(str(valkey_socket(self.data_dir)))
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
        return False


@contextlib.contextmanager
def running_valkey(data_dir: Path) -> Iterator[ValkeyServer]:
    """A server that answers; without a program for it the test is skipped, or fails where CI is set."""
    data_dir.mkdir(parents=True, exist_ok=True)
    server = ValkeyServer(data_dir)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        sockets = valkey_socket(data_dir).parent
        if not sockets.is_relative_to(data_dir.resolve()):
            shutil.rmtree(sockets, ignore_errors=True)


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """One server for all tests of a module, started for the first that asks."""
    with running_valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def empty_valkey(valkey: ValkeyServer) -> ValkeyServer:
    """The module's server, with nothing on it."""
    with redis.Redis.from_url(valkey.url) as plain:
        plain.flushall()
    return valkey
