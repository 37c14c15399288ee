"""What models weigh in memory, and what kept graphs save: `python -m loadtests.session_memory`.

Two processes load each model as the backend does, without a cache directory, with an empty one, and with a filled one.
Prints their load times, and the sum of their proportional set sizes (PSS: what a process has alone, and its part of
what it shares) after runs of several batch sizes.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path

from rich.console import Console
from rich.table import Table

from loadtests.bench_models import default_directory
from loadtests.session_options import Subject, cores, subjects
from services.shared.backends.base import Placement
from services.shared.backends.onnx_runtime import OnnxRuntimeBackend

_BOUND_S = 300.0


@dataclass(frozen=True, slots=True)
class Memory:
    """What a process needed: seconds to load, and MB after a run of each size."""

    load_s: float
    pss_mb: tuple[float, ...]


def pss_mb() -> float:
    """This process's share of memory: what it has alone, and its part of what it shares."""
    line = next(line for line in Path("/proc/self/smaps_rollup").read_text().splitlines() if line.startswith("Pss:"))
    return int(line.split()[1]) / 1024


def serve(one: Subject, cache: Path | None, loaded: Event, together: Barrier, answers: Queue[Memory]) -> None:
    """Loads the model, then runs batch 1, the largest, and 1 again, each also as a run that is alone; measures while
    the other process has done the same."""
    begin_s = time.perf_counter()
    config = one.config()
    model = OnnxRuntimeBackend(cache).load(one.path, config, Placement(1, cores()))
    load_s, pss = time.perf_counter() - begin_s, []
    loaded.set()
    for batch in (1, config.max_batch_size, 1):
        model.run(one.inputs(batch))
        model.run(one.inputs(1), alone=True)
        together.wait(_BOUND_S)
        pss.append(pss_mb())
        together.wait(_BOUND_S)
    answers.put(Memory(load_s, tuple(pss)))


def two_processes(one: Subject, cache: Path | None) -> list[Memory]:
    """The second loads when the first has: it finds what was kept."""
    spawn = multiprocessing.get_context("spawn")
    answers, together = spawn.Queue(), spawn.Barrier(2)
    processes = []
    for _ in range(2):
        loaded = spawn.Event()
        processes.append(spawn.Process(target=serve, args=(one, cache, loaded, together, answers)))
        processes[-1].start()
        loaded.wait(_BOUND_S)
    found = [answers.get(timeout=_BOUND_S) for _ in processes]
    for process in processes:
        process.join()
    return found


def memory_table(models: Sequence[Subject]) -> Table:
    table = Table(
        *("model", "kept", "load, s", "PSS, MB: batch 1", "after the largest", "after 1 again"),
        title="Two processes, each with one session for every run and one for those that are alone",
    )
    for one in models:
        with tempfile.TemporaryDirectory() as directory:
            for kept, cache in (("no", None), ("first start", Path(directory)), ("yes", Path(directory))):
                both = two_processes(one, cache)
                load = " + ".join(f"{memory.load_s:.2f}" for memory in both)
                sums = [f"{sum(values):.0f}" for values in zip(*(memory.pss_mb for memory in both), strict=True)]
                table.add_row(one.name, kept, load, *sums)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description="What models weigh in memory, and what kept graphs save.")
    parser.add_argument("--models", type=Path, default=default_directory(), help="where the ResNet-50s are kept")
    Console().print(memory_table(subjects(parser.parse_args().models)))


if __name__ == "__main__":
    main()
