"""How many bodies of jobs a process reads at once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from services.shared.errors import Overloaded

MAX_UPLOADS = 64
MAX_HELD_BYTES = 256 * 2**20


class JobUploads:
    """Places for bodies that are being read; belongs to one event loop. Most bodies go to the blob store as they come.
    What is held in memory as a whole, JSON, is counted by its bytes as well."""

    def __init__(self, *, max_uploads: int = MAX_UPLOADS, max_held_bytes: int = MAX_HELD_BYTES) -> None:
        self._max_uploads = max_uploads
        self._max_held_bytes = max_held_bytes
        self.uploads = 0
        self.held_bytes = 0

    @contextlib.contextmanager
    def place(self, held_bytes: int) -> Iterator[None]:
        """For one body, of which so many bytes are held. Raises Overloaded; a body larger than all the room gets in
        when nothing else is held."""
        if self.uploads >= self._max_uploads:
            raise Overloaded("as many jobs are sent just now as can be read at once: try again", retry_after_s=2)
        if self.held_bytes and self.held_bytes + held_bytes > self._max_held_bytes:
            raise Overloaded("the server holds all the bodies that it can: try again", retry_after_s=2)
        self.uploads += 1
        self.held_bytes += held_bytes
        try:
            yield
        finally:
            self.uploads -= 1
            self.held_bytes -= held_bytes
