"""A real controller in a process of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.support.polling import until
from tests.support.stack import ROOT, STOP_S, free_ports
from tests.support.valkey import ValkeyServer


@dataclass(frozen=True, slots=True)
class ControllerProcess:
    """`grayscale controller`; `log` is what it wrote to standard error."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def leads(self) -> bool:
        """Whether it says so."""
        with contextlib.suppress(httpx.HTTPError):
            text = httpx.get(f"http://127.0.0.1:{self.port}/metrics", timeout=5, trust_env=False).text
            return "\ngrayscale_controller_leading 1" in text
        return False

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=5, trust_env=False)

    async def until_leading(self) -> None:
        await until(lambda: self.leads() or self.process.poll() is not None)
        assert self.process.poll() is None, self.log.read_text()

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_S)


@contextlib.contextmanager
def running_controller(
    server: ValkeyServer, name: str = "one", *, environment: Mapping[str, str] | None = None
) -> Iterator[ControllerProcess]:
    """On the data directory of a Valkey server; killed at the end where it still runs."""
    [port] = free_ports(1)
    variables = {
        **os.environ,
        "GRAYSCALE_REDIS_URL": server.url,
        "GRAYSCALE_DATA_DIR": str(server.data_dir),
        "GRAYSCALE_CONTROLLER_PORT": str(port),
        **(environment or {}),
    }
    log = server.data_dir / f"controller-{name}.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.cli", "controller"], cwd=ROOT, env=variables, stderr=errors
        )
    try:
        yield ControllerProcess(process, port, log)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(STOP_S)
