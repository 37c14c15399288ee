"""Tasks that a process cannot do without: it ends when one of them breaks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

_log = logging.getLogger(__name__)


class VitalTasks:
    """`name` is the process's in the log; `end` is called when a task has raised, and has the process end.

    One that returns or is cancelled has not broken.
    """

    def __init__(self, name: str, end: Callable[[], object]) -> None:
        self._name, self._end = name, end
        self.status = 0  # the process's exit status

    def start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """The caller keeps the task: the loop holds it weakly."""
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._end_if_broken)
        return task

    def _end_if_broken(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            about = {"part": task.get_name()}
            _log.error(f"{self._name} ends, a part of it broke", extra=about, exc_info=error)
            self.status = 1
            self._end()
