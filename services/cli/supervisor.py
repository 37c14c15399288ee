"""Runs the services of one machine as child processes and starts again the ones that die."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_log = logging.getLogger(__name__)

_RESTART_MIN_S, _RESTART_MAX_S, _STABLE_S = 0.2, 5.0, 10.0
_STOP_S = 60.0
USAGE_STATUS = 2  # a service that ends so cannot be helped by starting it again


@dataclass(frozen=True, slots=True)
class Service:
    """A child process: `python -m services.cli <arguments>` with these variables."""

    name: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]


class Supervisor:
    """Keeps services running until `stop`, which ends them in the given order, each before the next."""

    def __init__(self, services: Sequence[Service]) -> None:
        self._services: Sequence[Service] = services
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._stopping = asyncio.Event()
        self._keepers: list[asyncio.Task[None]] = []
        self.failed: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def start(self) -> None:
        """`failed` gets the name of the first service that cannot run at all."""
        self._keepers = [asyncio.create_task(self._keep(service), name=service.name) for service in self._services]

    def start_later(self, service: Service, *, after: str | None) -> None:
        """The same for one that the first ones need not wait for; `stop` ends it after the named one, or first."""
        place = 0 if after is None else [each.name for each in self._services].index(after) + 1
        self._services = [*self._services[:place], service, *self._services[place:]]
        self._keepers.append(asyncio.create_task(self._keep(service), name=service.name))

    async def stop(self) -> None:
        self._stopping.set()
        for service in self._services:
            process = self._processes.get(service.name)
            if process is None or process.returncode is not None:
                continue
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), _STOP_S)
            except TimeoutError:
                _log.error("a service did not end in time and is killed", extra={"name_of": service.name})
                process.kill()
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)

    async def _keep(self, service: Service) -> None:
        loop = asyncio.get_running_loop()
        wait_s = _RESTART_MIN_S
        while not self._stopping.is_set():
            started_at = loop.time()
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "services.cli", *service.arguments, env=dict(service.environment),
                start_new_session=True,  # a terminal's Ctrl-C reaches this process alone, which then stops the others
            )  # fmt: skip
            self._processes[service.name] = process
            if self._stopping.is_set():  # `stop` came while it was being started, and passed it by
                process.terminate()
            status = await process.wait()
            if self._stopping.is_set():
                return
            if status in (USAGE_STATUS, 0):
                if not self.failed.done():
                    self.failed.set_result(service.name)
                return
            wait_s = _RESTART_MIN_S if loop.time() - started_at > _STABLE_S else min(2 * wait_s, _RESTART_MAX_S)
            _log.error(
                "a service died and is started again",
                extra={"died": service.name, "status": status, "restart_in_s": wait_s},
            )
            await asyncio.sleep(wait_s)  # `stop` cancels it here, when the services that still run have ended
