"""The targets of the served path, and whether a run of the benchmark met them. Pure."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from services.cli.measure.report import brief
from services.cli.measure.rows import BASELINE, GRPC, IN_PROCESS, Measured, Point, Row, ratio

TINY, FP32, INT8 = "tiny", "resnet50-fp32", "resnet50-int8"
LONE = "in-process-alone"  # nothing else runs meanwhile
RELEASED = "in-process-released"  # a release shares the traffic between two versions, and a controller judges it


class Figure(enum.Enum):
    """What is compared with a bound, as its column says it."""

    REQUESTS_PER_S = "req/s"
    P50_MS = "p50 ms"
    OF_CEILING = "of its ceiling"
    OF_FP32_BASELINE = "× the baseline, fp32"  # with the fp32 model: int8 and its gates are part of what is offered
    OF_IN_PROCESS = "of in-process"
    MEMORY_MB = "MB of PSS"


AT_MOST = (Figure.P50_MS, Figure.MEMORY_MB)


@dataclass(frozen=True, slots=True)
class Target:
    """A bound for one figure of one row."""

    point: Point
    figure: Figure
    bound: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run says of a target: None where the row was not measured, or had errors."""

    target: Target
    measured: float | None

    @property
    def is_met(self) -> bool | None:
        if self.measured is None:
            return None
        if self.target.figure in AT_MOST:
            return self.measured <= self.target.bound
        return self.measured >= self.target.bound


TARGETS = (
    Target(Point(TINY, "28px", IN_PROCESS, 32), Figure.REQUESTS_PER_S, 10_000),
    Target(Point(TINY, "28px", IN_PROCESS, 32), Figure.OF_FP32_BASELINE, 3.5),
    Target(Point(TINY, "28px", IN_PROCESS, 1), Figure.P50_MS, 0.45),
    Target(Point(TINY, "28px", RELEASED, 32), Figure.REQUESTS_PER_S, 10_000),
    Target(Point(TINY, "28px", RELEASED, 32), Figure.OF_FP32_BASELINE, 3.5),
    Target(Point(TINY, "28px", RELEASED, 1), Figure.P50_MS, 0.45),
    Target(Point(INT8, "640x427", RELEASED, 32), Figure.OF_IN_PROCESS, 0.95),
    Target(Point(TINY, "28px", GRPC, 32), Figure.REQUESTS_PER_S, 4_000),
    Target(Point(TINY, "28px", GRPC, 1), Figure.P50_MS, 1.3),
    Target(Point(FP32, "640x427", IN_PROCESS, 32), Figure.OF_CEILING, 0.93),
    Target(Point(FP32, "640x427", IN_PROCESS, 1), Figure.OF_CEILING, 0.95),
    Target(Point(FP32, "640x427", GRPC, 32), Figure.OF_IN_PROCESS, 0.9),
    Target(Point(INT8, "640x427", IN_PROCESS, 32), Figure.OF_CEILING, 0.9),
    Target(Point(INT8, "640x427", IN_PROCESS, 32), Figure.OF_FP32_BASELINE, 3.2),
    Target(Point(INT8, "640x427", GRPC, 32), Figure.OF_IN_PROCESS, 0.9),
    Target(Point(INT8, "12MP", IN_PROCESS, 8), Figure.REQUESTS_PER_S, 47),
    Target(Point(INT8, "12MP", IN_PROCESS, 8), Figure.OF_CEILING, 0.85),  # 47 of 55
    Target(Point(INT8, "12MP", IN_PROCESS, 8), Figure.OF_FP32_BASELINE, 4.5),
    Target(Point(FP32, "12MP", IN_PROCESS, 8), Figure.REQUESTS_PER_S, 20),
    Target(Point(FP32, "12MP", IN_PROCESS, 8), Figure.OF_CEILING, 0.93),  # 20 of 21.5
    Target(Point(FP32, "12MP", LONE, 8), Figure.MEMORY_MB, 700),
)


def outcomes(rows: Sequence[Row], measured: Measured, targets: Sequence[Target] = TARGETS) -> tuple[Outcome, ...]:
    """Of every target."""
    by_point = {row.point: row for row in rows}
    return tuple(Outcome(target, _figure(target, by_point, measured)) for target in targets)


def _figure(target: Target, rows: Mapping[Point, Row], measured: Measured) -> float | None:
    row = rows.get(target.point)
    if row is None or row.errors:
        return None
    match target.figure:
        case Figure.REQUESTS_PER_S:
            return row.requests_per_s
        case Figure.P50_MS:
            return row.p50_ms
        case Figure.OF_CEILING:
            return row.of_ceiling
        case Figure.OF_FP32_BASELINE:
            return ratio(measured.get(target.point, ()), measured.get(fp32_baseline(target.point), ()))
        case Figure.OF_IN_PROCESS:
            return ratio(measured.get(target.point, ()), measured.get(target.point.by(IN_PROCESS), ()))
        case Figure.MEMORY_MB:  # resident bytes count shared pages twice, and would say nothing of the target
            return row.memory.size_bytes / 1e6 if row.memory and row.memory.proportional else None


def fp32_baseline(point: Point) -> Point:
    """What the plain service does with the same picture and number of clients, and the model as it was trained."""
    return Point(FP32 if point.model == INT8 else point.model, point.picture, BASELINE, point.concurrency)


def outcome_table(made: Sequence[Outcome]) -> Table:
    """Target, measured, met or not."""
    table = Table(box=None, header_style="bold", padding=(0, 1, 0, 0), title="targets", title_justify="left")
    for heading in ("row", "target", "measured", ""):
        table.add_column(heading, justify="right" if heading == "measured" else "left", no_wrap=True)
    words = {True: "[green]met[/]", False: "[red]not met[/]", None: "[dim]not measured[/]"}
    for outcome in made:
        target = outcome.target
        sign = "≤" if target.figure in AT_MOST else "≥"
        wanted = f"{sign} {brief(target.bound)} {target.figure.value}"
        table.add_row(target.point.name, wanted, brief(outcome.measured), words[outcome.is_met])
    return table


def outcome_document(made: Sequence[Outcome]) -> list[dict[str, Any]]:
    """The same for machines."""
    return [
        {
            "row": outcome.target.point.name,
            "figure": outcome.target.figure.value,
            "bound": outcome.target.bound,
            "at_most": outcome.target.figure in AT_MOST,
            "measured": outcome.measured,
            "met": outcome.is_met,
        }
        for outcome in made
    ]
