"""The ways of serving that are compared: each starts what it needs, and gives what measures a point of it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from services.cli.measure import grayscale_server
from services.cli.measure.ceiling import Ceiling, ceiling
from services.cli.measure.load import Generator, MeasurementFailed, upload
from services.cli.measure.lone_model import LoneModel
from services.cli.measure.rounds import Measure, Open, Workload
from services.cli.measure.rows import Point, Sample
from services.cli.measure.server_process import Memory, ServerProcess, memory_of

WARM_CLIENTS, WARM_SECONDS = 8, 2
_MEMORY_AT = 0.6  # of a run: when everything that it needs is in use


@dataclass(frozen=True, slots=True)
class Target:
    """Where pictures go, and the processes that answer; none when they are not ours to look at."""

    url: str
    processes: tuple[ServerProcess, ...] = ()
    headers: Mapping[str, str] | None = None


class ServedMeasure:
    """Measures a running server; the first run with a picture is preceded by one that nobody counts."""

    def __init__(self, target: Target, generator: Generator) -> None:
        self._target, self._generator = target, generator
        self._warm: set[Path] = set()

    def __call__(self, point: Point, picture: Path, seconds: int) -> Sample:
        request, processes = upload(self._target.url, picture, self._target.headers), self._target.processes
        if picture not in self._warm:
            self._generator.run(request, WARM_CLIENTS, min(seconds, WARM_SECONDS))
            self._warm.add(picture)
            _wait_idle(processes)
        before = sum(process.cpu_s() for process in processes)
        with MemoryUnderLoad(processes, _MEMORY_AT * seconds) as memory:
            load = self._generator.run(request, point.concurrency, seconds)
        cpu_s = sum(process.cpu_s() for process in processes) - before
        _wait_idle(processes)
        if not processes:
            return Sample(load)
        return Sample(load, cpu_ms=1000 * cpu_s / max(load.requests, 1), memory=memory.most)


def _wait_idle(processes: Sequence[ServerProcess]) -> None:
    """What clients left behind when they hung up is not the next point's to pay for."""
    for process in processes:
        process.wait_idle()


class MemoryUnderLoad:
    """Looks at processes once while the block runs, and once when it ends: `most` is the larger of both. Seldom,
    because the kernel walks every page for it."""

    def __init__(self, processes: Sequence[ServerProcess], after_s: float) -> None:
        self._processes = processes
        self._timer = threading.Timer(after_s, self._look)
        self.most: Memory | None = None

    def __enter__(self) -> MemoryUnderLoad:
        if self._processes:
            self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        if self._processes:
            self._timer.join()
            self._look()

    def _look(self) -> None:
        now = memory_of([pid for process in self._processes for pid in process.pids()])
        if self.most is None or now.size_bytes > self.most.size_bytes:
            self.most = now


def in_process(generator: Generator, processes: int) -> Open:
    """The API with the engine inside, in so many processes."""

    def start(workload: Workload, _: Sequence[Point], place: Path) -> AbstractContextManager[Measure]:
        return _served(
            grayscale_server.api(own_model(workload).models, place, processes=processes), workload, generator
        )

    return start


def behind_grpc(generator: Generator) -> Open:
    """One API process, and a model server behind it."""

    def start(workload: Workload, _: Sequence[Point], place: Path) -> AbstractContextManager[Measure]:
        return _served(grayscale_server.api_and_model_server(own_model(workload).models, place), workload, generator)

    return start


@contextlib.contextmanager
def _served(
    server: AbstractContextManager[grayscale_server.Serving], workload: Workload, generator: Generator
) -> Iterator[Measure]:
    with server as serving:
        yield ServedMeasure(Target(serving.predict_url(workload.model), serving.processes), generator)


def running_server(url: str, key: str | None, generator: Generator) -> Open:
    """A server that somebody else has started, at this address."""
    headers = {"Authorization": f"Bearer {key}"} if key else None

    def start(workload: Workload, _: Sequence[Point], __: Path) -> AbstractContextManager[Measure]:
        target = Target(f"{url.rstrip('/')}/v1/models/{workload.model}/predict", headers=headers)
        return contextlib.nullcontext(ServedMeasure(target, generator))

    return start


def own_model(workload: Workload) -> LoneModel:
    """What a server is started with; raises MeasurementFailed where there is only somebody else's server."""
    if workload.own is None:
        raise MeasurementFailed(f"{workload.title} is on a server that runs already: there is nothing to start")
    return workload.own


def machine_ceiling(cores: int) -> Open:
    """The ceilings that the points ask for: of one image at a time, and of all cores."""

    @contextlib.contextmanager
    def start(workload: Workload, points: Sequence[Point], place: Path) -> Iterator[Measure]:
        with contextlib.ExitStack() as stack:
            ceilings: dict[int, Ceiling] = {}
            own = own_model(workload)
            for concurrency in {point.concurrency for point in points}:
                processes, threads = (1, cores) if concurrency == 1 else (cores, 1)
                made = ceiling(own, place / "ceiling.log", processes=processes, threads=threads)
                ceilings[concurrency] = stack.enter_context(made)
            yield lambda point, picture, seconds: _of_ceiling(ceilings[point.concurrency], picture, seconds)

    return start


def _of_ceiling(measured: Ceiling, picture: Path, seconds: int) -> Sample:
    run = measured.run(picture, seconds)
    return Sample(run.load, cpu_ms=1000 * run.cpu_s / max(run.load.requests, 1))
