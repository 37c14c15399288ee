"""One JSON line for each request, at a fraction of what the logging package takes for it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Sequence
from typing import Any

from services.shared.redaction import redact
from services.shared.telemetry.logs import json_line

FLUSH_S = 0.05
_FLUSH_LINES = 128


class AccessLog:
    """Lines like those of `log_as_json`, written to standard error together, at most FLUSH_S late: a process that is
    killed loses what was due in that time. Belongs to one event loop."""

    def __init__(self, service: str, logger: str = "grayscale.access") -> None:
        self._fixed = {"level": "info", "service": service, "logger": logger, "message": "request"}
        self._beginning = json_line(self._fixed)[1:-1]
        self._lines: list[str] = []
        self._timer: asyncio.TimerHandle | None = None
        self._second, self._second_text = -1, ""

    def write(self, fields: dict[str, Any]) -> None:
        self._lines.append(redact(json_line({"at": self._now(), **self._fixed, **fields})))
        self._flush_soon()

    def write_alike(self, beginnings: Sequence[str], fields: dict[str, Any]) -> None:
        """Lines of requests that ended together: `beginnings` are what each has of its own, inner texts of a JSON
        object, `fields` what all have behind it."""
        start = f'{{"at":"{self._now()}",{self._beginning}'
        end = "," + json_line(fields)[1:] if fields else "}"
        self._lines.append(redact("\n".join([f"{start},{own}{end}" for own in beginnings])))
        self._flush_soon()

    def _now(self) -> str:
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second, self._second_text = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._second_text}.{int(1000 * (now - second)):03d}Z"

    def _flush_soon(self) -> None:
        if len(self._lines) >= _FLUSH_LINES:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_S, self.flush)

    def flush(self) -> None:
        """Writes what is due; to be called before the process ends."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._lines:
            lines, self._lines = self._lines, []
            # Nobody may read any more, or the stream is closed: that must not cost the answers of the same run.
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.write("\n".join((*lines, "")))
                sys.stderr.flush()
