"""What was measured where, and what the rounds say of it. Pure."""

from __future__ import annotations

import fnmatch
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.cli.measure.load import Load
from services.cli.measure.server_process import Memory

CEILING, IN_PROCESS, GRPC, BASELINE = "ceiling", "in-process", "grpc", "baseline"


@dataclass(frozen=True, slots=True)
class Point:
    """One row: a model asked for a picture by so many clients at once, in one way. A ceiling has no clients:
    `concurrency` is 1 where one image may use every core, else the number of cores."""

    model: str
    picture: str
    way: str
    concurrency: int

    @property
    def name(self) -> str:
        """What a filter is compared with."""
        return f"{self.model}/{self.picture}/{self.way}/c{self.concurrency}"

    def matches(self, patterns: Sequence[str]) -> bool:
        return not patterns or any(fnmatch.fnmatchcase(self.name, pattern) for pattern in patterns)

    def ceiling(self, cores: int) -> Point:
        """The row that says how quick the machine could be at this."""
        return Point(self.model, self.picture, CEILING, 1 if self.concurrency == 1 else cores)

    def by(self, way: str) -> Point:
        """The same asked in another way."""
        return Point(self.model, self.picture, way, self.concurrency)


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of a point. `cpu_ms` of the server's processes for each answer; None, as `memory`, where the processes
    are not ours to look at."""

    load: Load
    cpu_ms: float | None = None
    memory: Memory | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """Medians over the rounds; `errors` is their sum. The ratios are of requests per second, the median of the ratios
    of each round; None where the other row was not measured."""

    point: Point
    requests_per_s: float
    lowest_per_s: float
    highest_per_s: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    cpu_ms: float | None
    memory: Memory | None
    errors: int
    rounds: int
    of_ceiling: float | None
    of_baseline: float | None


Measured = Mapping[Point, Sequence[Sample]]


def rows_of(measured: Measured, cores: int) -> tuple[Row, ...]:
    """A row for each point, in the order in which they were first measured."""
    return tuple(_row(point, samples, measured, cores) for point, samples in measured.items() if samples)


def _row(point: Point, samples: Sequence[Sample], measured: Measured, cores: int) -> Row:
    rates = [sample.load.requests_per_s for sample in samples]
    cpu_ms = [sample.cpu_ms for sample in samples if sample.cpu_ms is not None]
    memories = [sample.memory for sample in samples if sample.memory is not None]
    is_measure = point.way == CEILING
    return Row(
        point=point,
        requests_per_s=statistics.median(rates),
        lowest_per_s=min(rates),
        highest_per_s=max(rates),
        p50_ms=statistics.median(sample.load.p50_ms for sample in samples),
        p95_ms=statistics.median(sample.load.p95_ms for sample in samples),
        p99_ms=statistics.median(sample.load.p99_ms for sample in samples),
        cpu_ms=statistics.median(cpu_ms) if cpu_ms else None,
        memory=_median_memory(memories),
        errors=sum(sample.load.errors for sample in samples),
        rounds=len(samples),
        of_ceiling=None if is_measure else ratio(samples, measured.get(point.ceiling(cores), ())),
        of_baseline=None
        if is_measure or point.way == BASELINE
        else ratio(samples, measured.get(point.by(BASELINE), ())),
    )


def ratio(samples: Sequence[Sample], others: Sequence[Sample]) -> float | None:
    """The median of the ratios of requests per second, round by round; None when no round has both."""
    ratios = [
        one.load.requests_per_s / other.load.requests_per_s
        for one, other in zip(samples, others, strict=False)
        if other.load.requests_per_s > 0
    ]
    return statistics.median(ratios) if ratios else None


def _median_memory(memories: Sequence[Memory]) -> Memory | None:
    if not memories:
        return None
    size = statistics.median_high(memory.size_bytes for memory in memories)
    return Memory(size, all(memory.proportional for memory in memories))
