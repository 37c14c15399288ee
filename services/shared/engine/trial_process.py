"""A process that is there to try one version, and may die of it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from services.shared.engine.trial_result import TrialResult, read_result
from services.shared.model_ref import ModelRef

PROGRAM = ("-m", "services.shared.load_trial")
_POLL_S = 0.02
_SAID_BYTES = 4096
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # it takes one core of those that others use
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrialOrder:
    """What to try: a version of the repository in `models_dir`, with what backends keep in `data_dir`, for at most
    `timeout_s`."""

    models_dir: Path
    data_dir: Path
    ref: ModelRef
    timeout_s: float

    def arguments(self) -> tuple[str, ...]:
        return (str(self.models_dir), str(self.data_dir), str(self.ref), repr(self.timeout_s))

    @classmethod
    def parse(cls, arguments: list[str]) -> TrialOrder:
        models_dir, data_dir, ref, timeout_s = arguments
        return cls(Path(models_dir), Path(data_dir), ModelRef.parse(ref), float(timeout_s))


async def try_version(order: TrialOrder, program: tuple[str, ...] = PROGRAM) -> TrialResult:
    """Raises OSError when no process can be started. Whoever is cancelled has killed it."""
    loop = asyncio.get_running_loop()
    # Files, not pipes: a runtime that floods its output would stand still.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = _Process((*program, *order.arguments()), out, err)
        try:
            end = loop.time() + order.timeout_s
            while process.poll() is None and loop.time() < end:
                await asyncio.sleep(_POLL_S)
            over_s = order.timeout_s if process.poll() is None else None
        finally:
            status = process.end()
        result = read_result(status, _last_object(out), over_s=over_s)
        if result.reason:
            about = {"model": str(order.ref), "reason": result.reason, "status": status, "said": _tail(err)}
            _log.warning("a version failed its trial", extra=about)
        return result


class _Process:
    """In a session of its own, so that it is nice towards everybody (sched(7), "The autogroup feature"). Its standard
    input ends with this process: then it ends, too."""

    def __init__(self, arguments: tuple[str, ...], out: IO[bytes], err: IO[bytes]) -> None:
        self._popen = subprocess.Popen(  # noqa: S603 - our own program
            (sys.executable, *arguments),
            env={**os.environ, **_ONE_THREAD},
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )

    def poll(self) -> int | None:
        return self._popen.poll()

    def end(self) -> int:
        """Its exit status; what still runs is killed, so this takes no time to speak of."""
        self._popen.kill()  # nothing happens to one that has ended
        if self._popen.stdin is not None:
            self._popen.stdin.close()
        return self._popen.wait()


def _last_object(out: IO[bytes]) -> Mapping[str, Any] | None:
    """The last line, where it is a JSON object."""
    lines = _tail(out).splitlines()
    try:
        found = json.loads(lines[-1]) if lines else None
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _tail(file: IO[bytes]) -> str:
    size = file.seek(0, 2)
    file.seek(max(0, size - _SAID_BYTES))
    return file.read().decode(errors="replace").strip()
