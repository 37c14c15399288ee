"""A controller from its start to its end."""

from __future__ import annotations

import asyncio
import logging
import signal

from services.controller.parts import ControllerParts, build_parts
from services.controller.settings import PORT, ControllerSettings
from services.controller.tick import LeadsNoMore
from services.shared.errors import Unavailable
from services.shared.health_server import HealthApp, HealthServer, listen
from services.shared.release_memory import settle_garbage
from services.shared.vital_tasks import VitalTasks

_log = logging.getLogger(__name__)

LOOK_S = 1.0  # in which every release is judged while nothing changes
_HURRY_S = 0.25  # the same while a release waits for processes that load or follow
_LEAST_S = 0.02  # between two looks, however much changes
_LONGEST_S = 10.0  # for one look: a store that hangs must not hang the controller
_RETRY_S = 0.25
_STAND_BY_S = 0.05
GARBAGE_OBJECTS = 50_000  # a look at a hundred releases makes as many; the usual pace cost a third of it


class ControllerProcess:
    """Looks at the releases while it leads, and stands by while another one does; until SIGTERM or SIGINT."""

    def __init__(self, settings: ControllerSettings) -> None:
        self._settings = settings
        self._stop = asyncio.Event()
        self._tasks = VitalTasks("the controller", self._stop.set)
        self._away = ""  # why the last look could not be made
        self._revision: int | None = None  # the release store's, asked for since the last look

    async def run(self) -> int:
        """The exit status: 0, or 1 when a part of the process broke. Raises OSError when the port is not to be had."""
        settings, loop = self._settings, asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        listening = listen(settings.host, settings.port, PORT)
        host, port = listening.getsockname()[:2]
        parts = build_parts(settings)
        server = HealthServer(
            HealthApp(
                lambda: [reason for reason in (parts.leadership.away, self._away) if reason],
                parts.metrics,
            )
        )
        await server.start(listening)
        settle_garbage(GARBAGE_OBJECTS)
        _log.info("the controller starts", extra={"host": host, "port": port})
        working = [
            self._tasks.start(parts.leadership.run(), "leadership"),
            self._tasks.start(self._look_always(parts), "looks"),
        ]
        if parts.queries is not None:
            working.append(self._tasks.start(parts.queries.run(), "queries"))
        await self._stop.wait()
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)
        await parts.close()
        await server.stop()
        return self._tasks.status

    async def _look_always(self, parts: ControllerParts) -> None:
        while True:
            if not parts.leadership.held:
                self._away = ""
                await asyncio.sleep(_STAND_BY_S)
                continue
            await self._look(parts)

    async def _look(self, parts: ControllerParts) -> None:
        """One look, and the time until the next: a second, or until a release changes."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(_LONGEST_S):
                looked = await parts.controller.look(self._revision)
            self._away, self._revision = "", None
            left_s = began + (_HURRY_S if looked.hurry else LOOK_S / looked.turns) - loop.time()
            await asyncio.sleep(_LEAST_S)
            wait_s = max(left_s - _LEAST_S, 0.0)
            self._revision = await parts.stores.releases.changed(looked.revision, timeout_s=wait_s)
        except LeadsNoMore:
            self._revision = None
            _log.warning("a look was broken off: another controller may lead")
        except (Unavailable, TimeoutError) as error:
            parts.counters.store_errors += 1
            if not self._away:
                _log.warning("releases cannot be looked at", extra={"reason": str(error) or "it took too long"})
            self._away, self._revision = "releases cannot be looked at: a store is away", None
            await asyncio.sleep(_RETRY_S)


def run_controller(settings: ControllerSettings) -> int:
    """Runs until a signal ends it; the exit status. Raises OSError when its port is not to be had."""
    return asyncio.run(ControllerProcess(settings).run())
