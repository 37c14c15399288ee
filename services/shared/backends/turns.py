"""Many at once, or one that has everything to itself."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator


class Turns:
    """Threads inside `shared` run side by side; the one inside `exclusive` runs alone, and those who want to be alone
    go first, so that a steady stream of the others cannot keep them out."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._shared = self._wanting = 0
        self._exclusive = False

    @contextlib.contextmanager
    def shared(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._exclusive and not self._wanting)
            self._shared += 1
        try:
            yield
        finally:
            with self._changed:
                self._shared -= 1
                self._changed.notify_all()

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        with self._changed:
            self._wanting += 1
            self._changed.wait_for(lambda: not self._exclusive and not self._shared)
            self._wanting -= 1
            self._exclusive = True
        try:
            yield
        finally:
            with self._changed:
                self._exclusive = False
                self._changed.notify_all()
