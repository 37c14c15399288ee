"""What processes of the API had in flight when they died, seen to by their parent."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import Mapping
from pathlib import Path

from services.shared.observations.lost import leave_lost, lost_files

_log = logging.getLogger(__name__)

_MODULE = "services.shared.observations"
_RETRY_S = 5.0
_RUNS = 20  # each tries for half a minute
_LAST_WORDS_S = 3.0  # while the parent ends


class LostWork:
    """A candidate that kills its process must not take its evidence with it: what was in flight is counted as errors
    of its arms, in the store at `redis_url`, by a process of its own, so that the parent stays small and quick."""

    def __init__(
        self, directory: Path, redis_url: str, environment: Mapping[str, str], stopping: asyncio.Event
    ) -> None:
        self._directory = directory
        self._redis_url = redis_url
        self._environment = {"OPENBLAS_NUM_THREADS": "1", **environment, "GRAYSCALE_REDIS_URL": redis_url}
        self._stopping = stopping
        self._counting = False

    async def see_to(self, pid: int, status: int) -> None:
        """To be called once for each process that has ended; returns when what it left is counted, or another call
        sees to it. Never raises."""
        if not self._redis_url:
            return
        count = leave_lost(self._directory, pid, died=status != 0)
        if not count:
            return
        _log.error("requests died with their process", extra={"pid": pid, "requests": count})
        if self._counting:
            return
        self._counting = True
        try:
            await self._count()
        except OSError as error:
            _log.error("what died with a process cannot be counted", extra={"reason": str(error)})
        finally:
            self._counting = False

    async def _count(self) -> None:
        for _ in range(_RUNS):
            is_done = await self._run()
            if is_done and not lost_files(self._directory):
                return
            if self._stopping.is_set():
                break
            if not is_done:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), _RETRY_S)
        _log.error("what died with processes is not counted: the store is away")

    async def _run(self) -> bool:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", _MODULE, str(self._directory), env=self._environment, start_new_session=True
        )
        ended, stopping = asyncio.create_task(process.wait()), asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait((ended, stopping), return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait((ended,), timeout=_LAST_WORDS_S)
            return ended.done() and ended.result() == 0
        finally:
            stopping.cancel()
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
            await ended
