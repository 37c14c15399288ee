"""The parent of the worker's processes: starts them, starts again those that die, and tells how they are."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from services.shared.courtesy import be_courteous
from services.shared.health_server import HealthApp, HealthServer, listen
from services.shared.telemetry.host_metrics import HostMetrics
from services.shared.telemetry.sum_over_processes import read_total, retire
from services.worker.settings import METRICS_DIR, PORT, WorkerSettings

_log = logging.getLogger(__name__)

_RESTART_MIN_S, _RESTART_MAX_S, _STABLE_S = 0.1, 5.0, 10.0
_EXTRA_FINISH_S = 10.0  # beyond the process's own bound, before it is killed
# One thread each: pictures are decoded side by side, and more pools of threads would only fight over the cores.
_LIBRARIES = {"OPENCV_FOR_THREADS_NUM": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


class WorkerParent:
    """`run` returns the exit status. SIGTERM and SIGINT drain: chunks in work are finished or given back."""

    def __init__(self, settings: WorkerSettings, environment: Mapping[str, str], metrics_dir: Path) -> None:
        self._settings = settings
        self._environment = {**_LIBRARIES, **environment, METRICS_DIR: str(metrics_dir)}
        self._metrics_dir = metrics_dir
        self._stopping = asyncio.Event()
        self._processes: set[asyncio.subprocess.Process] = set()
        self._ready: set[int] = set()

    async def run(self) -> int:
        """Raises OSError when the port is not to be had."""
        settings, loop = self._settings, asyncio.get_running_loop()
        listening = listen(settings.host, settings.port, PORT)
        host, port = listening.getsockname()[:2]
        host_metrics = HostMetrics(settings.data_dir)
        server = HealthServer(HealthApp(self.reasons, lambda: read_total(self._metrics_dir) + host_metrics()))
        await server.start(listening)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        _log.info("the worker starts", extra={"host": host, "port": port, "processes": settings.processes})
        keeping = [asyncio.create_task(self._keep()) for _ in range(settings.processes)]
        await self._stopping.wait()
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        await asyncio.gather(*keeping)
        await server.stop()
        return 0

    def reasons(self) -> list[str]:
        """Why no chunk would be worked on here; nothing when one would."""
        if self._stopping.is_set():
            return ["the worker is stopping"]
        return [] if self._ready else ["no worker process is ready yet"]

    async def _keep(self) -> None:
        """One process, and its successors."""
        loop, wait_s = asyncio.get_running_loop(), _RESTART_MIN_S
        while not self._stopping.is_set():
            started_at = loop.time()
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "services.worker", env=self._environment,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            status = await self._watch(process)
            if self._stopping.is_set():
                return
            wait_s = _RESTART_MIN_S if loop.time() - started_at > _STABLE_S else min(2 * wait_s, _RESTART_MAX_S)
            about = {"pid": process.pid, "status": status, "restart_in_s": wait_s}
            _log.error("a worker process died and is replaced", extra=about)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), wait_s)

    async def _watch(self, process: asyncio.subprocess.Process) -> int:
        """The exit status. A process that does not end in time, once it was told to, is killed."""
        self._processes.add(process)
        ready = asyncio.create_task(self._hear_ready(process))
        stopping = asyncio.create_task(self._stopping.wait())
        ended = asyncio.create_task(process.wait())
        try:
            await asyncio.wait((stopping, ended), return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                with contextlib.suppress(ProcessLookupError):  # it was begun when the others were told to end
                    process.send_signal(signal.SIGTERM)
                await asyncio.wait((ended,), timeout=self._settings.drain_s + _EXTRA_FINISH_S)
            if not ended.done():
                _log.error("a worker process did not finish in time and is killed", extra={"pid": process.pid})
                process.kill()
            return await ended
        finally:
            for task in (ready, stopping):
                task.cancel()
            self._processes.discard(process)
            self._ready.discard(process.pid)
            retire(self._metrics_dir, process.pid)

    async def _hear_ready(self, process: asyncio.subprocess.Process) -> None:
        if process.stdout is not None and await process.stdout.readline():
            self._ready.add(process.pid)
            if self._settings.is_courteous:
                be_courteous()  # the session's leader speaks for all its processes


def run_worker(settings: WorkerSettings, environment: Mapping[str, str] = os.environ) -> int:
    """Runs the worker until a signal ends it; the exit status. Raises OSError when its port is not to be had."""
    with tempfile.TemporaryDirectory(prefix="grayscale-worker-") as metrics_dir:
        return asyncio.run(WorkerParent(settings, environment, Path(metrics_dir)).run())
