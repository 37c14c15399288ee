"""A whole stack as a user starts it: real processes on free ports of the loopback interface, ended with the test."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
START_S = 30.0
STOP_S = 60.0
ALONE = ("--no-worker", "--no-controller")  # for who looks at predictions only: two processes less to start


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now, all different."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@dataclass(frozen=True, slots=True)
class Stack:
    """A running `grayscale up`; `log` is what it and its children wrote to standard error."""

    process: subprocess.Popen[str]
    url: str
    data_dir: Path
    log: Path
    ports: Mapping[str, int]

    def pids(self, command: str) -> list[int]:
        """The processes below this one whose command line contains `command`, oldest first."""
        found = []
        for pid in _descendants(self.process.pid):
            with contextlib.suppress(OSError):
                line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                if command in line:
                    found.append(pid)
        return sorted(found)

    @property
    def admin(self) -> dict[str, str]:
        """The headers of an administrator."""
        return {"authorization": f"Bearer {(self.data_dir / 'admin.key').read_text().strip()}"}

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_S)


def _descendants(pid: int) -> Iterator[int]:
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield int(child)
                yield from _descendants(int(child))


@contextlib.contextmanager
def running_stack(
    directory: Path,
    *arguments: str,
    models: Path = ROOT / "models",
    environment: Mapping[str, str] | None = None,
    wait_ready: bool = True,
) -> Iterator[Stack]:
    """`grayscale up` with these further arguments; whatever is left of it is killed at the end."""
    api, http, grpc, metrics = free_ports(4)
    data_dir, log = directory / "data", directory / "stack.log"
    command = [
        *(sys.executable, "-m", "services.cli", "up", "--port", str(api), "--data-dir", str(data_dir)),
        *("--models", str(models), "--http-port", str(http), "--grpc-port", str(grpc), "--metrics-port", str(metrics)),
        *arguments,
    ]
    # Pages are asked for by the tests that look at them: GRAYSCALE_WITH_WEB=1.
    ports_of = {
        **{"GRAYSCALE_WORKER_PORT": "0", "GRAYSCALE_CONTROLLER_PORT": "0", "GRAYSCALE_WEB_PORT": "0"},
        "GRAYSCALE_WITH_WEB": "0",
    }
    variables = {**os.environ, **ports_of, **(environment or {})}
    with log.open("w") as errors, (directory / "stack.out").open("w") as out:
        process = subprocess.Popen(command, cwd=ROOT, env=variables, stdout=out, stderr=errors, text=True)
    ports = {"api": api, "http": http, "grpc": grpc, "metrics": metrics}
    scheme = "https" if "--tls-cert" in arguments else "http"
    stack = Stack(process, f"{scheme}://127.0.0.1:{api}", data_dir, log, ports)
    try:
        if wait_ready:
            _wait_ready(stack)
        yield stack
    finally:
        children = list(_descendants(process.pid))
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_S)
        for pid in (process.pid, *children):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait(10)


def _wait_ready(stack: Stack) -> None:
    said, end = "", time.monotonic() + START_S
    while time.monotonic() < end and stack.process.poll() is None:
        said = stack.log.with_name("stack.out").read_text()
        if f"ready {stack.url}\n" in said:
            return
        time.sleep(0.02)
    raise AssertionError(f"the stack did not get ready: {said}\n{stack.log.read_text()[-4000:]}")
