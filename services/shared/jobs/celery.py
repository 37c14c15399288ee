"""Wake-ups by Celery on Redis."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor

from services.shared.jobs.celery_app import QUEUES, TASK, celery_app
from services.shared.jobs.queue import wakes_for
from services.shared.priority import CELERY_PRIORITY, Priority

_log = logging.getLogger(__name__)

_EXPIRES_S = 60  # by then every worker has looked by itself
_MAX_PENDING = 8  # calls of `wake` that wait for a server which does not answer; the rest are forgone
_RETRY = {"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0}


class CeleryJobQueue:
    """A JobQueue. A thread of its own sends wake-ups; while the server is away they are lost, and it says so once."""

    def __init__(self, url: str) -> None:
        self._app = celery_app(url)
        self._sender = ThreadPoolExecutor(1, thread_name_prefix="wake")
        self._pending = 0
        self._away = False
        self._closed = False

    async def wake(self, priority: Priority, chunks: int) -> None:
        wakes = wakes_for(chunks)
        if wakes and self._pending < _MAX_PENDING and not self._closed:
            self._pending += 1
            self._sender.submit(self._send, priority, wakes)

    async def close(self) -> None:
        """What was not sent yet is forgone."""
        self._closed = True
        self._sender.shutdown(wait=False, cancel_futures=True)

    def _send(self, priority: Priority, wakes: int) -> None:
        try:
            with self._app.producer_pool.acquire(block=True) as producer:
                for _ in range(wakes):
                    self._app.send_task(
                        TASK,
                        queue=QUEUES[priority],
                        priority=CELERY_PRIORITY[priority],
                        expires=_EXPIRES_S,
                        ignore_result=True,
                        producer=producer,
                        retry_policy=_RETRY,
                    )
            self._away = False
        except Exception as error:  # Celery, kombu and redis each raise their own; none of them may reach a caller
            if not self._away:
                _log.warning("workers cannot be woken, and find work by themselves", extra={"reason": str(error)})
            self._away = True
        finally:
            self._pending -= 1
