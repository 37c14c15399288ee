"""Looks at a few of the pictures that are answered: never at more than about five a second, whatever the load."""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from services.shared.clock import Clock
from services.shared.drift.base import Glimpse
from services.shared.drift.features import features_of
from services.shared.drift.reader import KnownReferences, References
from services.shared.drift.windows import WindowWriter, forget_old

GAP_S = 0.2  # on average; a random one, so that a client with a rhythm of its own is not always or never seen
_log = logging.getLogger(__name__)


class DriftSampler:
    """One process's part, for its event loop.

    What answers a picture compares `due_s` with the time, and does nothing else until it is due. Then it draws one of
    the pictures that it has just answered, so that the first of a batch is as likely as any, and offers it: that
    picture is measured in a thread, counted, and forgotten. The moments are drawn, not the pictures: an hour's quiet
    minutes weigh as much as its busy ones.
    """

    def __init__(
        self,
        references: References,
        directory: Path,
        process_id: str,
        clock: Clock,
        *,
        gap_s: float = GAP_S,
        draw: Callable[[], float] = random.random,  # 0..1; nothing secret hangs on it
    ) -> None:
        self.due_s = 0.0  # by the clock's monotonic time
        self._known = KnownReferences(references, clock)
        self._directory, self._clock, self._gap_s, self._draw = directory, clock, gap_s, draw
        self._writer = WindowWriter(directory, process_id)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="drift")
        self._counting: Future[None] | None = None
        self._unwritten = self._began = False

    def drawn(self, count: int) -> int:
        """The index of one of `count` pictures, each as likely as the others."""
        return min(int(self._draw() * count), count - 1)

    def offer(self, glimpse: Glimpse) -> None:
        """Takes one picture; does nothing before it is due, or while the one before is still measured."""
        now_s = self._clock.monotonic()
        if now_s < self.due_s:
            return
        self.due_s = now_s + self._gap_s * (0.5 + self._draw())
        if self._counting is None or self._counting.done():
            self._counting = self._thread.submit(self._count, glimpse)

    def publish(self) -> None:
        """Writes what was counted since the last time, for all processes to read; called about every second."""
        if self._unwritten:
            self._thread.submit(self._write)

    def close(self) -> None:
        """No more pictures are taken, and what was counted is written."""
        self.due_s = math.inf
        self._thread.shutdown(wait=True)
        self._write()

    def _count(self, glimpse: Glimpse) -> None:
        try:
            reference = self._known.get(glimpse.ref)
            if reference is not None:
                values = features_of(glimpse, reference.axes)
                self._writer.add(glimpse.ref, reference, values, self._clock.now())
                self._unwritten = True
        except Exception:  # nobody waits for this thread: an answer must not depend on it
            _log.exception("a picture could not be counted", extra={"model": str(glimpse.ref)})

    def _write(self) -> None:
        if not self._unwritten:
            return
        self._unwritten = False
        try:
            self._writer.write()
            if not self._began:
                self._began = True
                forget_old(self._directory, self._clock.now())
        except OSError as error:
            self._unwritten = True
            _log.warning("counts of pictures cannot be written", extra={"reason": str(error)})
