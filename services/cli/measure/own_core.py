"""A server that has one core of this machine for itself, as each process has where it is deployed as it should be."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from services.cli.measure.grayscale_server import Serving, api

_FIRST = -20  # of the nice values: some ninety times the weight of an ordinary process (sched(7))


@contextlib.contextmanager
def one_core_server(models: Path, directory: Path) -> Iterator[Serving]:
    """The API with one process that has the last core of this machine, ahead of whatever else runs there where the
    system allows that; this process keeps to the other cores, where there are others."""
    cores = sorted(os.sched_getaffinity(0))
    try:
        os.sched_setaffinity(0, cores[-1:])  # what is started from here inherits it
        with api(models, directory, processes=1) as serving:
            put_first(pid for process in serving.processes for pid in process.pids())
            os.sched_setaffinity(0, cores[:-1] or cores)
            yield serving
    finally:
        os.sched_setaffinity(0, cores)


def put_first(pids: Iterable[int], proc: Path = Path("/proc")) -> bool:
    """Whether all threads of these processes go ahead of others now. What else runs on a machine would count as their
    own time; a superuser's measurement can do without it.

    Sessions are weighed against each other before their processes are (autogroups), so both get the weight.
    """
    try:
        for pid in pids:
            group = proc / str(pid) / "autogroup"
            if group.exists():
                group.write_text(str(_FIRST))
            for task in (proc / str(pid) / "task").iterdir():
                os.setpriority(os.PRIO_PROCESS, int(task.name), _FIRST)
    except OSError:  # not allowed, or the process has ended
        return False
    return True
