"""A process of the API, from its start to its end.

Cheap to import: `grayscale api` starts the first one before anything else, so that it imports what serving needs while
its parent reads settings and opens the listening socket.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from services.api import handover

if TYPE_CHECKING:
    import asyncio

# One thread each: pictures are decoded side by side, and more pools of threads would only fight over the cores.
_LIBRARIES = {"OPENCV_FOR_THREADS_NUM": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
_COMMAND = (sys.executable, "-m", "services.api")


class ChildProcess:
    """`control` is the parent's end of the pair. It begins to serve when it is told to (`handover.send_start`), and
    ends when `control` is closed. `returncode` is None until `poll` has seen it end, and negative for a signal."""

    def __init__(self, pid: int, control: socket.socket) -> None:
        self.pid = pid
        self.control = control
        self.returncode: int | None = None
        self._waiting: list[asyncio.Future[int]] = []

    @classmethod
    def start(cls, environment: Mapping[str, str]) -> ChildProcess:
        """In a session of its own: a terminal's Ctrl-C reaches the parent alone, which then drains."""
        ours, theirs = handover.channel()
        with theirs:
            theirs.set_inheritable(True)
            variables = {**_LIBRARIES, **environment, handover.CONTROL_FD: str(theirs.fileno())}
            return cls(os.posix_spawn(sys.executable, _COMMAND, variables, setsid=True), ours)

    def send_signal(self, number: int) -> None:
        """Does nothing to a process that has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def poll(self) -> int | None:
        """The exit status once it has ended. To be called whenever a child of this process has (SIGCHLD)."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._ended(os.waitstatus_to_exitcode(status))
        return self.returncode

    async def wait(self) -> int:
        """The exit status, once `poll` has seen it."""
        import asyncio

        if self.returncode is not None:
            return self.returncode
        end: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append(end)
        return await end

    def discard(self) -> None:
        """Kills it, where it still runs, and waits for its end."""
        self.send_signal(signal.SIGKILL)
        self.control.close()
        if self.returncode is None:
            self._ended(os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]))

    def _ended(self, status: int) -> None:
        self.returncode = status
        for end in self._waiting:
            if not end.done():
                end.set_result(status)
