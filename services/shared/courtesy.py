"""Takes only what others leave of the CPU."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_LOWEST = 19


def be_courteous(nice: int = _LOWEST) -> None:
    """A nice value, the lowest where none is given, and SCHED_BATCH, which never takes the CPU from somebody who wakes
    up (sched(7)), for all threads that this process has and will have; what is not permitted here is left. SCHED_IDLE
    would go further: a worker that gets no CPU at all cannot renew its leases.

    Where the kernel groups processes by session (sched(7), "The autogroup feature") nice values count only within a
    session, and the session has one of its own: it is set as well, if this process leads its session.
    """
    for thread in _threads():  # Linux keeps both for each of them
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, thread, nice)
        with contextlib.suppress(OSError, AttributeError):
            os.sched_setscheduler(thread, os.SCHED_BATCH, os.sched_param(0))
    if os.getsid(0) == os.getpid():
        with contextlib.suppress(OSError):
            Path("/proc/self/autogroup").write_text(str(nice))


def _threads() -> list[int]:
    """Their ids; 0, which stands for the one that asks, where the system does not list them."""
    try:
        return [int(name) for name in os.listdir("/proc/self/task")]
    except OSError:
        return [0]
