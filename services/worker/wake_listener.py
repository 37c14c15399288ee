"""Hears wake-ups: a Celery worker in a thread, whose one task rings a bell."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from celery.worker import state

from services.shared.jobs.celery_app import QUEUES, TASK, celery_app

_log = logging.getLogger(__name__)

_RESTART_S = 5.0


class WakeListener:
    """At most one in a process: Celery keeps the word to stop in a module. `on_wake` is called in its thread."""

    def __init__(self, url: str, on_wake: Callable[[], None], *, name: str) -> None:

        def work() -> None:  # Celery takes a function with a name and nothing else
            on_wake()

        self._app = celery_app(url)
        self._app.task(name=TASK, shared=False, lazy=False)(work)
        self._name = name
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="wake listener", daemon=True)

    def start(self) -> None:
        state.should_stop = None
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Waits so long for a wake-up in work; the thread ends with the process in any case."""
        self._stopping.set()
        state.should_stop = 0
        self._thread.join(timeout_s)

    def _run(self) -> None:
        self._app.set_current()  # of this thread: the pool looks for the task in there
        while not self._stopping.is_set():
            try:
                self._app.WorkController(
                    hostname=self._name,
                    pool="solo",
                    concurrency=1,
                    queues=",".join(QUEUES.values()),
                    without_gossip=True,
                    without_mingle=True,
                    without_heartbeat=True,
                ).start()
            except Exception as error:  # whatever breaks in there, the worker goes on by asking the store
                _log.warning("wake-ups are not heard and are listened for again", extra={"reason": str(error)})
            self._stopping.wait(_RESTART_S)
