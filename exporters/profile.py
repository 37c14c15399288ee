"""How fast model files are on this machine, through the backend that serves them.

One caller, so latency is a run's own time and images per second are one session's. Every point is given the same
seconds, in short turns taken one after the other: what else the machine does meanwhile hits all points alike.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from exporters.base import ExportFailed, Tell, Timing
from services.shared.backends.base import Backend, LoadedModel, Placement
from services.shared.clock import Clock
from services.shared.errors import ServingError
from services.shared.model_config import InstanceGroup, ModelConfig
from services.shared.release_memory import release_memory
from services.shared.tensors import BYTES, Array, TensorSpec

TURNS = 5  # into which the seconds of a point are cut
LEAST_RUNS = 3
MOST_RUNS = 20_000  # of a point: the numbers of a run of microseconds are known long before

_log = logging.getLogger(__name__)
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_STATM = Path("/proc/self/statm")


@dataclass(frozen=True, slots=True)
class Subject:
    """A model file to measure; `title` tells it from the others."""

    title: str
    path: Path
    config: ModelConfig


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure: every batch size with every number of threads, each for `seconds`."""

    batch_sizes: tuple[int, ...]
    threads: tuple[int, ...]
    seconds: float


class _Point:
    """One model, batch size and thread count, with what has been measured of it."""

    def __init__(self, title: str, model: LoadedModel, batch: int, threads: int, clock: Clock) -> None:
        self.title, self.batch, self.threads, self.resident_bytes = title, batch, threads, 0
        self._model, self._clock = model, clock
        self._inputs = {spec.name: random_input(spec, batch) for spec in model.inputs}
        self._runs_s: list[float] = []

    def run(self) -> float:
        """Seconds of one run."""
        begin = self._clock.monotonic()
        self._model.run(self._inputs)
        return self._clock.monotonic() - begin

    def take_turn(self, seconds: float) -> None:
        """Runs for about this long, at least once."""
        spent = 0.0
        while spent < seconds and len(self._runs_s) < MOST_RUNS:
            self._runs_s.append(self.run())
            spent += self._runs_s[-1]

    def is_done(self, seconds: float) -> bool:
        runs = len(self._runs_s)
        return runs >= MOST_RUNS or (runs >= LEAST_RUNS and sum(self._runs_s) >= seconds)

    def timing(self) -> Timing:
        return summarise(self._runs_s, batch=self.batch, threads=self.threads, resident_bytes=self.resident_bytes)


def summarise(runs_s: Sequence[float], *, batch: int, threads: int, resident_bytes: int) -> Timing:
    """The numbers of a point. Images per second are of the median run: one that the machine interrupted says nothing
    of the model."""
    runs_ms = np.asarray(runs_s) * 1000
    p50, p95, p99 = (float(value) for value in np.percentile(runs_ms, (50, 95, 99)))
    return Timing(
        batch=batch,
        threads=threads,
        runs=len(runs_ms),
        mean_ms=float(runs_ms.mean()),
        std_ms=float(runs_ms.std()),
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        images_per_s=1000 * batch / max(p50, 1e-6),
        resident_bytes=resident_bytes,
    )


def random_input(spec: TensorSpec, batch: int) -> Array:
    """Noise that fits an input; -1 becomes 1. A picture's content does not change what a run costs, zeros may."""
    shape, random = (batch, *(max(d, 1) for d in spec.shape)), np.random.default_rng(0)
    if spec.datatype == BYTES:
        return np.full(shape, b"", dtype=object)
    if spec.dtype.kind in "iu":
        return random.integers(0, 256, size=shape).astype(spec.dtype)
    return random.random(shape, dtype=np.float32).astype(spec.dtype)


def measure(
    subjects: Sequence[Subject], backends: Mapping[str, Backend], plan: Plan, *, clock: Clock, tell: Tell
) -> dict[str, tuple[Timing, ...]]:
    """Timings by title, ordered by threads, then batch. Sizes above a model's `max_batch_size` are left out.

    Raises ExportFailed when a model cannot be loaded or run here.
    """
    points: list[_Point] = []
    loaded: list[LoadedModel] = []
    try:
        for subject in subjects:
            for threads in plan.threads:
                # Once for what a runtime brings with its first model, which is no model's own.
                _load(subject, backends, threads).close()
                release_memory()
                before = resident_bytes()
                model = _load(subject, backends, threads)
                loaded.append(model)
                sizes = _sizes(plan.batch_sizes, subject.config)
                own = [_Point(subject.title, model, size, threads, clock) for size in sizes]
                with _named(subject.title):
                    _warm(own, plan.seconds)
                for point in own:
                    point.resident_bytes = max(0, resident_bytes() - before)
                points += own
        _take_turns(points, plan.seconds, tell)
    finally:
        points_of = {subject.title: tuple(p for p in points if p.title == subject.title) for subject in subjects}
        for model in loaded:
            model.close()
        release_memory()
    return {title: tuple(point.timing() for point in own) for title, own in points_of.items()}


def resident_bytes() -> int:
    """The memory of this process that is in RAM; 0 where the system does not say (proc(5))."""
    try:
        return int(_STATM.read_text().split()[1]) * _PAGE_BYTES
    except OSError:
        return 0


def _load(subject: Subject, backends: Mapping[str, Backend], threads: int) -> LoadedModel:
    backend = backends.get(subject.config.backend)
    if backend is None:
        raise ExportFailed(f"{subject.title} needs the backend {subject.config.backend}, which is not on this machine")
    kinds = subject.config.instances or (InstanceGroup(),)
    one = replace(
        subject.config,
        instances=tuple(replace(group, count=1) for group in kinds[:1]),
        parameters={**subject.config.parameters, "intra_op_thread_count": str(threads)},
    )
    with _named(subject.title):
        model = backend.load(subject.path, one, Placement(threads))
    for warning in model.warnings:
        _log.warning("%s is measured without what its config asks for in: %s", subject.title, warning)
    return model


def _sizes(wanted: tuple[int, ...], config: ModelConfig) -> tuple[int, ...]:
    most = max(config.max_batch_size, 1)
    return tuple(sorted({min(size, most) for size in wanted}))


def _warm(points: Sequence[_Point], seconds: float) -> None:
    """The largest batch first: the runtime's memory then grows once. A slow model is run once, others a few times."""
    for point in reversed(points):
        if point.run() < seconds / LEAST_RUNS:
            point.run()


def _take_turns(points: Sequence[_Point], seconds: float, tell: Tell) -> None:
    turn = 0
    while open_points := [point for point in points if not point.is_done(seconds)]:
        for done, point in enumerate(open_points):
            with _named(point.title):
                point.take_turn(seconds / TURNS)
            share = min(turn, TURNS - 1) * len(points) + min(done, len(points))
            tell("profile", share, TURNS * len(points))
        turn += 1
    tell("profile", TURNS * len(points), TURNS * len(points))


@contextmanager
def _named(title: str) -> Iterator[None]:
    try:
        yield
    except ServingError as error:
        raise ExportFailed(f"{title} cannot be measured: {error.detail}") from error
