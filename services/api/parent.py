"""The parent of the API's processes: owns the one listening socket and hands each connection to the least busy process.

One owner means that nothing in an accept queue is lost when a process ends, and that connections are balanced by count
instead of by whoever wakes first. Cheap on purpose: it imports no framework and touches no request.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import tempfile
from collections.abc import Coroutine, Mapping
from pathlib import Path

from services.api import handover
from services.api.child import Child, Phase, least_busy
from services.api.child_process import ChildProcess
from services.api.listener import listen
from services.api.lost_work import LostWork
from services.api.settings import ApiSettings
from services.shared.telemetry.sum_over_processes import retire

_log = logging.getLogger(__name__)

_RESTART_MIN_S, _RESTART_MAX_S, _STABLE_S = 0.1, 5.0, 10.0
_REPLACEMENT_READY_S = 300.0
_EXTRA_FINISH_S = 10.0  # beyond the process's own bound, before it is killed
_HOLD_S = 0.01  # until a connection that no process had room for is offered again


class ApiParent:
    """`run` returns the exit status. SIGTERM and SIGINT drain; SIGHUP replaces the processes one after the other."""

    def __init__(
        self, settings: ApiSettings, environment: Mapping[str, str], metrics_dir: Path, first: ChildProcess | None
    ) -> None:
        self._settings = settings
        self._environment = environment
        self._begun = first  # was started ahead of us
        self._metrics_dir = metrics_dir
        self._children: list[Child] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self._accepting = False
        self._held: socket.socket | None = None  # accepted, and nobody had room for it yet
        self._rolling = asyncio.Lock()
        self._lost = LostWork(metrics_dir, settings.redis_url, environment, self._stopping)

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        listener = listen(self._settings.host, self._settings.port)
        host, port = listener.getsockname()[:2]
        _log.info("listening", extra={"host": host, "port": port, "processes": self._settings.processes})
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._spawn_task(self._roll(listener)))
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        for _ in range(self._settings.processes):
            self._start(listener)
        await self._stopping.wait()
        await self._stop(listener)
        return 0

    # Connections

    def _set_accepting(self, listener: socket.socket) -> None:
        """Listens only while somebody can answer: until then connections wait in the kernel's queue."""
        able = least_busy(self._children) is not None
        loop = asyncio.get_running_loop()
        if able and not self._accepting and listener.fileno() >= 0:
            loop.add_reader(listener, self._accept, listener)
        elif not able and self._accepting:
            loop.remove_reader(listener)
        self._accepting = able

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(64):  # a bounded turn, so that signals and the processes' words are heard under a flood
            child = least_busy(self._children)
            if child is None:
                self._set_accepting(listener)
                return
            try:
                connection = self._held or listener.accept()[0]
            except BlockingIOError:
                return
            except OSError as error:  # too many open files: the connection stays in the queue
                _log.error("a connection cannot be accepted", extra={"reason": str(error)})
                return
            self._held = None if self._hand_over(connection, child) else connection
            if self._held is not None:
                asyncio.get_running_loop().remove_reader(listener)
                self._accepting = False
                asyncio.get_running_loop().call_later(_HOLD_S, self._accept_again, listener)
                return

    def _accept_again(self, listener: socket.socket) -> None:
        if listener.fileno() >= 0 and not self._accepting:
            self._set_accepting(listener)
            self._accept(listener)

    def _hand_over(self, connection: socket.socket, first: Child) -> bool:
        """False when no process has room for it: they are so busy that they do not read what they are handed."""
        others = sorted((c for c in self._children if c is not first), key=lambda c: c.open)
        for child in (first, *(c for c in others if c.phase in (Phase.READY, Phase.SERVING))):
            try:
                handover.send_connection(child.process.control, connection)
            except OSError:  # it is gone, or does not keep up: the next one
                continue
            child.open += 1
            connection.close()
            return True
        return False

    def _hear(self, child: Child, listener: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                message, _ = handover.receive(child.process.control)
                if message == handover.CLOSED:
                    child.open -= 1
                elif message == handover.SERVING and child.phase is Phase.STARTING:
                    child.phase = Phase.SERVING
                elif message == handover.READY and child.phase in (Phase.STARTING, Phase.SERVING):
                    child.phase = Phase.READY
                    _log.info("an API process is ready", extra={"pid": child.process.pid})
                elif not message:
                    asyncio.get_running_loop().remove_reader(child.process.control)
                    child.phase = Phase.FINISHING
                    break
        self._set_accepting(listener)

    # Processes

    def _start(self, listener: socket.socket) -> Child:
        process, self._begun = self._begun or ChildProcess.start(self._environment), None
        loop = asyncio.get_running_loop()
        child = Child(process, loop.time())
        self._children.append(child)
        with contextlib.suppress(OSError):  # it has ended already: `_watch` sees to that
            handover.send_start(process.control, self._metrics_dir)
        loop.add_reader(process.control, self._hear, child, listener)
        self._spawn_task(self._watch(child, listener))
        process.poll()  # SIGCHLD may have come before anybody listened
        return child

    def _reap(self) -> None:
        for child in self._children:
            child.process.poll()

    async def _watch(self, child: Child, listener: socket.socket) -> None:
        status = await child.process.wait()
        loop = asyncio.get_running_loop()
        loop.remove_reader(child.process.control)
        child.process.control.close()
        self._children.remove(child)
        retire(self._metrics_dir, child.process.pid)
        self._spawn_task(self._lost.see_to(child.process.pid, status))
        self._set_accepting(listener)
        wanted = sum(c.phase is not Phase.FINISHING for c in self._children) < self._settings.processes
        if self._stopping.is_set() or not wanted:
            return
        lived_s = loop.time() - child.started_at
        wait_s = _RESTART_MIN_S if lived_s > _STABLE_S else min(_RESTART_MAX_S, max(_RESTART_MIN_S, 5 - lived_s / 2))
        _log.error(
            "an API process died and is replaced",
            extra={"pid": child.process.pid, "status": status, "lost_connections": child.open, "restart_in_s": wait_s},
        )
        await asyncio.sleep(wait_s)
        if not self._stopping.is_set():
            self._start(listener)

    async def _roll(self, listener: socket.socket) -> None:
        """Replaces every process by a new one, the new one first; stops at the first that does not get ready."""
        async with self._rolling:
            for old in [c for c in self._children if c.phase is not Phase.FINISHING]:
                if self._stopping.is_set():  # `_stop` ends those that it sees, and would wait for one begun now
                    return
                new = self._start(listener)
                try:
                    async with asyncio.timeout(_REPLACEMENT_READY_S):
                        while new.phase is not Phase.READY and new.process.returncode is None:
                            await asyncio.sleep(0.02)
                except TimeoutError:
                    pass
                if new.phase is not Phase.READY:
                    _log.error("the rolling restart stops: the new process did not get ready")
                    self._finish(new)
                    return
                self._finish(old)
                await self._gone(old)
            _log.info("the rolling restart is complete")

    def _finish(self, child: Child) -> None:
        child.phase = Phase.FINISHING
        with contextlib.suppress(OSError):
            child.process.control.send(handover.FINISH)

    async def _gone(self, child: Child) -> None:
        try:
            await asyncio.wait_for(child.process.wait(), self._settings.finish_s + _EXTRA_FINISH_S)
        except TimeoutError:
            _log.error("an API process did not finish in time and is killed", extra={"pid": child.process.pid})
            child.process.send_signal(signal.SIGKILL)
            await child.process.wait()

    async def _stop(self, listener: socket.socket) -> None:
        """Not ready at once, still accepting for the drain delay, then closed, then what was accepted is finished."""
        for child in self._children:
            child.process.send_signal(signal.SIGTERM)
        await asyncio.sleep(self._settings.drain_delay_s)
        if self._accepting or self._held is not None:
            self._accept(listener)  # what reached the queue before it closes is still served
            asyncio.get_running_loop().remove_reader(listener)
            self._accepting = False
        listener.close()
        if self._held is not None:
            self._held.close()
        children = list(self._children)
        for child in children:
            self._finish(child)
        await asyncio.gather(*(self._gone(child) for child in children))
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn_task(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def run_api(
    settings: ApiSettings, environment: Mapping[str, str] = os.environ, first: ChildProcess | None = None
) -> int:
    """Runs the API until a signal ends it; the exit status. `first` is a process that was started with the same
    environment already; who started it discards it when this raises OSError."""
    with tempfile.TemporaryDirectory(prefix="grayscale-api-") as metrics_dir:
        return asyncio.run(ApiParent(settings, environment, Path(metrics_dir), first).run())
