"""The ceiling of this machine: decoding and running with the code that serves, and nothing around it.

Under load: a process for each core, each with one thread, as nothing can be quicker on the whole. For one client: a
process that may use every core for one image. Images are run one at a time: on a CPU batches make little difference to
a model that is worth serving in them. The processes live as long as the block, so that their turns can be taken
between those of the servers.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from services.cli.measure.ceiling_worker import Turn
from services.cli.measure.load import Load, MeasurementFailed, percentile
from services.cli.measure.lone_model import LoneModel
from services.cli.measure.server_process import last_words

_STOP_S = 5.0


@dataclass(frozen=True, slots=True)
class CeilingRun:
    """What the ceiling gave in one run; `cpu_s` is of all its processes."""

    load: Load
    cpu_s: float


class Ceiling:
    """Started processes, which wait until they are given something to do."""

    def __init__(self, workers: Sequence[subprocess.Popen[str]], log: Path) -> None:
        self._workers, self._log = workers, log

    def run(self, picture: Path, seconds: float) -> CeilingRun:
        """All of them at once; raises MeasurementFailed with a worker's last words when it cannot."""
        order = json.dumps({"picture": str(picture), "seconds": seconds}) + "\n"
        for worker in self._workers:
            _pipe(worker.stdin).write(order)
            _pipe(worker.stdin).flush()
        return together([self._turn(worker) for worker in self._workers])

    def _turn(self, worker: subprocess.Popen[str]) -> Turn:
        answer = read_line(worker, self._log)
        return Turn(answer["seconds"], answer["cpu_s"], tuple(answer["took_ms"]))


def together(turns: Sequence[Turn]) -> CeilingRun:
    """What workers did side by side: their rates add up, and none waits for another's last image."""
    took_ms = sorted(ms for turn in turns for ms in turn.took_ms)
    rate = sum(len(turn.took_ms) / turn.seconds for turn in turns)
    p50, p95, p99 = (percentile(took_ms, share) for share in (0.5, 0.95, 0.99))
    load = Load(len(took_ms), len(took_ms) / rate, p50, p95, p99)
    return CeilingRun(load, sum(turn.cpu_s for turn in turns))


@contextlib.contextmanager
def ceiling(own: LoneModel, log: Path, *, processes: int, threads: int) -> Iterator[Ceiling]:
    """Ready to run when the block begins; ended with it. Raises MeasurementFailed when the model cannot be run."""
    command = [sys.executable, "-m", "services.cli.measure.ceiling_worker"]
    command += [str(own.models), own.ref.name, str(own.ref.version), str(threads)]
    environment = {**os.environ, "OPENCV_FOR_THREADS_NUM": str(threads)}  # its own threads count as well
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(log.open("ab"))
        workers = []
        for _ in range(processes):
            worker = subprocess.Popen(  # noqa: S603 - our own program
                command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=file, text=True,
                start_new_session=True,
            )  # fmt: skip
            stack.callback(_end, worker)
            workers.append(worker)
        for worker in workers:
            read_line(worker, log)
        yield Ceiling(workers, log)


def read_line(worker: subprocess.Popen[str], log: Path) -> dict[str, Any]:
    line = _pipe(worker.stdout).readline()
    if not line:
        raise MeasurementFailed(f"the ceiling cannot be measured: {last_words(log)}")
    answer: dict[str, Any] = json.loads(line)
    return answer


def _pipe(pipe: IO[str] | None) -> IO[str]:
    if pipe is None:  # both ends are asked for where it is started
        raise MeasurementFailed("the ceiling's process has no pipe")
    return pipe


def _end(worker: subprocess.Popen[str]) -> None:
    """It ends with its input; one in the middle of a turn is not waited for."""
    with contextlib.suppress(OSError):
        _pipe(worker.stdin).close()
    try:
        worker.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait()
    _pipe(worker.stdout).close()
