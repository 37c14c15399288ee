"""The API alone, as `grayscale api` starts it: a parent and its processes, and which of them has a connection."""

from __future__ import annotations

import contextlib
import http.client
import io
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

from PIL import Image

from tests.support.stack import ROOT, STOP_S, Stack, free_ports

BOUND_S = 60.0


class Api(Stack):
    """A running API."""

    @property
    def port(self) -> int:
        return self.ports["api"]

    def connect(self) -> http.client.HTTPConnection:
        """A new connection, which is kept after an answer unless the server asks otherwise."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.connect()
        return connection

    def processes(self) -> list[int]:
        """The pids of the processes that serve, oldest first."""
        return self.pids("-m services.api")

    def owner(self, connection: http.client.HTTPConnection) -> int | None:
        """Which process has the other end of a connection; None while it was not handed over."""
        inode = _inode(self.port, connection.sock.getsockname()[1])
        return next((pid for pid in self.processes() if inode is not None and f"socket:[{inode}]" in _files(pid)), None)


def ask(
    connection: http.client.HTTPConnection, path: str = "/healthz/live", body: bytes | None = None
) -> tuple[int, bytes]:
    """The status and the body of an answer; a POST where there is something to send."""
    headers = {} if body is None else {"content-type": "application/octet-stream"}
    connection.request("GET" if body is None else "POST", path, body, headers)
    response = connection.getresponse()
    return response.status, response.read()


def picture() -> bytes:
    """A small PNG."""
    out = io.BytesIO()
    Image.new("L", (28, 28), 200).save(out, "PNG")
    return out.getvalue()


def _inode(server_port: int, client_port: int) -> str | None:
    """The kernel's number of the server's end; Linux, proc_net_tcp(5)."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        ports = [int(address.rpartition(":")[2], 16) for address in fields[1:3]]
        if ports == [server_port, client_port]:
            return fields[9]
    return None


def _files(pid: int) -> set[str]:
    found = set()
    with contextlib.suppress(OSError):
        for file in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                found.add(str(file.readlink()))
    return found


@contextlib.contextmanager
def running_api(directory: Path, processes: int = 2, environment: Mapping[str, str] | None = None) -> Iterator[Api]:
    """An API whose processes are all ready; whatever is left of it is killed at the end."""
    [port] = free_ports(1)
    data_dir, log = directory / "data", directory / "api.log"
    variables = {
        **os.environ,
        "GRAYSCALE_PORT": str(port),
        "GRAYSCALE_PROCESSES": str(processes),
        "GRAYSCALE_MODELS": str(ROOT / "models"),
        "GRAYSCALE_DATA_DIR": str(data_dir),
        "GRAYSCALE_ACCESS_LOG": "0",
        **(environment or {}),
    }
    command = [sys.executable, "-m", "services.cli", "api"]
    with log.open("w") as file:
        process = subprocess.Popen(command, cwd=ROOT, env=variables, stdout=file, stderr=file, text=True)
    api = Api(process, f"http://127.0.0.1:{port}", data_dir, log, {"api": port})
    try:
        _wait_ready(api, processes)
        yield api
    finally:
        children = api.processes()
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_S)
        for pid in (process.pid, *children):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        process.wait(10)


def wait_until(condition: Callable[[], bool]) -> None:
    """Returns as soon as the condition holds; raises AssertionError when it does not within BOUND_S."""
    end = time.monotonic() + BOUND_S
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def _wait_ready(api: Api, processes: int) -> None:
    def ready() -> bool:
        log = api.log.read_text()
        assert api.process.poll() is None, log[-4000:]
        return log.count('"message":"an API process is ready"') == processes

    wait_until(ready)


def owners(api: Api, connections: int) -> list[int]:
    """The processes that get so many connections at once: all of them when all are ready, as the least busy is next."""
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(contextlib.closing(api.connect())) for _ in range(connections)]
        for connection in held:
            ask(connection)
        return sorted({pid for connection in held if (pid := api.owner(connection)) is not None})


def replaced(api: Api, before: Collection[int]) -> bool:
    """Whether there are two processes, none of those before: of one look, as a killed one may go between two."""
    now = api.processes()
    return len(now) == 2 and not set(now) & set(before)


def refuses(api: Api) -> bool:
    """Whether nobody listens any more."""
    try:
        socket.create_connection(("127.0.0.1", api.port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False
