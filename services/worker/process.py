"""One process of the worker, from its start to its end."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
from typing import Any

from services.shared.courtesy import be_courteous
from services.shared.telemetry.sum_over_processes import PUBLISH_S
from services.shared.vital_tasks import VitalTasks
from services.worker.parts import WorkerParts, build_parts
from services.worker.settings import WorkerSettings

_log = logging.getLogger(__name__)

READY = b"ready\n"
_READY_POLL_S = 0.05
_MODELS_FIRST_S = 30.0  # a model that cannot be loaded must not hold up the jobs of the others
_LAST_WORDS_S = 5.0


class WorkerProcess:
    """Works until SIGTERM, or until its parent is gone: then its standard input ends. Says READY on standard output."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._finish = asyncio.Event()
        self._tasks = VitalTasks("a worker process", self._finish.set)
        self._parent: asyncio.Task[bytes] | None = None  # the loop holds its tasks weakly

    async def run(self) -> int:
        """The exit status: 0 after what was in work is done or given back, 1 when a part of the process broke."""
        loop, begin = asyncio.get_running_loop(), self._tasks.start
        loop.add_signal_handler(signal.SIGTERM, self._finish.set)
        loop.add_signal_handler(signal.SIGINT, lambda: None)  # a terminal's Ctrl-C is the parent's to act on
        await self._finish_with_parent()
        parts = build_parts(self._settings)
        await parts.serving.start()
        await parts.following.start()
        beside = [begin(_publish_metrics(parts), "metrics"), begin(parts.following.run(), "releases")]
        await self._models_first(parts)
        gc.collect()
        gc.freeze()  # what is there now stays: the collector need not look at it again
        if not self._finish.is_set():
            parts.listener.start()
            beside += [begin(parts.keeper.run(), "keeper"), begin(parts.sender.run(), "webhooks")]
            if self._settings.is_courteous:  # from now on: loading models behind busy others would take minutes
                be_courteous()
            running = [begin(runner.run(), f"runner {number}") for number, runner in enumerate(parts.runners)]
            sys.stdout.buffer.write(READY)
            sys.stdout.buffer.flush()
            _log.info("a worker process is ready")
            await self._finish.wait()
            await self._drain(parts, running)
        for task in beside:
            task.cancel()
        if self._parent is not None:
            self._parent.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        if parts.shared_metrics:
            parts.shared_metrics.publish()
        await parts.close()
        return self._tasks.status

    async def _finish_with_parent(self) -> None:
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        self._parent = asyncio.create_task(reader.read(), name="parent")
        self._parent.add_done_callback(lambda _: self._finish.set())

    async def _models_first(self, parts: WorkerParts) -> None:
        """Returns when every default model answers, or when they have taken long enough."""
        loop = asyncio.get_running_loop()
        end = loop.time() + _MODELS_FIRST_S
        while not self._finish.is_set() and (reasons := await parts.serving.readiness.reasons()):
            if loop.time() > end:
                _log.warning("work begins without some models", extra={"reasons": reasons})
                return
            await asyncio.sleep(_READY_POLL_S)

    async def _drain(self, parts: WorkerParts, running: list[asyncio.Task[Any]]) -> None:
        """What is in work is finished within the bound, or given back."""
        for runner in parts.runners:
            runner.stop()
        _, late = await asyncio.wait(running, timeout=self._settings.drain_s)
        for runner in parts.runners:
            runner.give_up()
        if late:
            await asyncio.wait(late, timeout=_LAST_WORDS_S)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await asyncio.to_thread(parts.listener.stop, 0.3)


async def _publish_metrics(parts: WorkerParts) -> None:
    while parts.shared_metrics:
        parts.shared_metrics.publish()
        await asyncio.sleep(PUBLISH_S)
