"""Each deployable as a process of its own, as an image or a unit file starts it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.support.stack import ROOT, STOP_S, free_ports

START_S = 60.0
DRAIN_S = 1.0  # longer than a connection takes from the look at readiness until it is accepted


@dataclass(frozen=True, slots=True)
class Instance:
    """A process of a deployable; `port` is where it serves, `log` what it wrote to standard error."""

    process: subprocess.Popen[bytes]
    port: int
    ready_url: str
    log: Path

    async def until_ready(self) -> None:
        end = time.monotonic() + START_S
        async with httpx.AsyncClient(timeout=5, trust_env=False) as http:
            while True:
                with contextlib.suppress(httpx.HTTPError):
                    if (await http.get(self.ready_url)).status_code == 200:
                        return
                assert self.process.poll() is None, self.log.read_text()[-3000:]
                assert time.monotonic() < end, self.log.read_text()[-3000:]
                await asyncio.sleep(0.05)

    async def stop(self) -> int:
        """SIGTERM; the exit status when it has drained."""
        self.process.send_signal(signal.SIGTERM)
        return await asyncio.to_thread(self.process.wait, STOP_S)


class Deployables:
    """Starts instances with `shared` variables and those of their kind; what is left of them is killed at the end."""

    def __init__(self, directory: Path, shared: Mapping[str, str]) -> None:
        self._directory = directory
        self._shared = {**os.environ, **shared, "GRAYSCALE_DRAIN_DELAY_S": str(DRAIN_S)}
        self._started: list[subprocess.Popen[bytes]] = []

    @contextlib.contextmanager
    def running(self) -> Iterator[Deployables]:
        try:
            yield self
        finally:
            for process in self._started:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait(10)

    def start(self, kind: str, **variables: str) -> Instance:
        """`kind` is the command that serves it: api, model-server, worker, controller or web."""
        port, probe, metrics = free_ports(3)
        own, probe_port, path = _listening(kind, port, probe, metrics)
        log = self._directory / f"{kind}-{len(self._started)}.log"
        with log.open("wb") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "services.cli", kind],
                cwd=ROOT,
                env={**self._shared, **own, **variables},
                stdout=errors,
                stderr=errors,
                start_new_session=True,
            )
        self._started.append(process)
        return Instance(process, port, f"http://127.0.0.1:{probe_port}{path}", log)


def _listening(kind: str, port: int, probe: int, metrics: int) -> tuple[dict[str, str], int, str]:
    """Its variables for ports, and where it says whether it is ready."""
    if kind == "model-server":
        ports = {"GRPC_PORT": port, "HTTP_PORT": probe, "METRICS_PORT": metrics}
        return {f"GRAYSCALE_{name}": str(number) for name, number in ports.items()}, probe, "/v2/health/ready"
    name = "GRAYSCALE_PORT" if kind == "api" else f"GRAYSCALE_{kind.upper()}_PORT"
    return {name: str(port)}, port, "/healthz/ready"
