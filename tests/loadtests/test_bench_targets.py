"""The targets: which figure is compared with which bound, and what is not said of rows that are missing or bad."""

from __future__ import annotations

import io
from collections.abc import Mapping

import pytest
from rich.console import Console

from loadtests.bench_targets import (
    FP32,
    INT8,
    LONE,
    RELEASED,
    TARGETS,
    TINY,
    Figure,
    Outcome,
    Target,
    fp32_baseline,
    outcome_document,
    outcome_table,
    outcomes,
)
from services.cli.measure.load import Load
from services.cli.measure.rows import BASELINE, CEILING, GRPC, IN_PROCESS, Point, Sample, rows_of
from services.cli.measure.server_process import Memory

SERVED = Point(INT8, "640x427", IN_PROCESS, 32)


def sample(rate: float, *, errors: int = 0, memory: Memory | None = None) -> list[Sample]:
    return [Sample(Load(round(100 * rate), 100.0, 2.5, 3, 4, refused=errors), memory=memory)]


def outcome(target: Target, measured: dict[Point, list[Sample]]) -> Outcome:
    [made] = outcomes(rows_of(measured, cores=2), measured, [target])
    return made


MEASURED = {
    SERVED: sample(60),
    SERVED.ceiling(2): sample(80),
    SERVED.by(GRPC): sample(30),
    SERVED.by(BASELINE): sample(40),
    Point(FP32, "640x427", BASELINE, 32): sample(20),
}


@pytest.mark.parametrize(
    ("target", "measured", "is_met"),
    [
        (Target(SERVED, Figure.REQUESTS_PER_S, 60), 60, True),
        (Target(SERVED, Figure.REQUESTS_PER_S, 60.1), 60, False),
        (Target(SERVED, Figure.P50_MS, 2.5), 2.5, True),
        (Target(SERVED, Figure.P50_MS, 2.4), 2.5, False),
        (Target(SERVED, Figure.OF_CEILING, 0.75), 0.75, True),
        (Target(SERVED, Figure.OF_CEILING, 0.76), 0.75, False),
        (Target(SERVED, Figure.OF_FP32_BASELINE, 3), 3, True),  # 60 of 20, not of the int8 baseline's 40
        (Target(SERVED.by(GRPC), Figure.OF_IN_PROCESS, 0.9), 0.5, False),
        (Target(Point(TINY, "28px", IN_PROCESS, 1), Figure.P50_MS, 1), None, None),
    ],
)
def test_a_figure_is_compared_with_its_bound(target: Target, measured: float | None, is_met: bool | None) -> None:
    made = outcome(target, MEASURED)
    assert made.measured == measured
    assert made.is_met is is_met


def test_a_row_with_errors_meets_nothing() -> None:
    assert outcome(Target(SERVED, Figure.REQUESTS_PER_S, 1), {SERVED: sample(60, errors=1)}).is_met is None


@pytest.mark.parametrize(
    ("memory", "is_met"),
    [
        (Memory(700_000_000, proportional=True), True),
        (Memory(700_000_001, proportional=True), False),
        (Memory(1, proportional=False), None),
        (None, None),
    ],
)
def test_only_proportional_memory_is_judged(memory: Memory | None, is_met: bool | None) -> None:
    point = Point(FP32, "12MP", LONE, 8)
    assert outcome(Target(point, Figure.MEMORY_MB, 700), {point: sample(1, memory=memory)}).is_met is is_met


@pytest.mark.parametrize(("model", "expected"), [(TINY, TINY), (FP32, FP32), (INT8, FP32)])
def test_int8_is_compared_with_what_a_user_would_serve(model: str, expected: str) -> None:
    assert fp32_baseline(Point(model, "p", IN_PROCESS, 8)) == Point(expected, "p", BASELINE, 8)


def test_every_target_is_of_a_row_that_the_benchmark_has() -> None:
    from loadtests.bench import CLIENTS, HEAVY_ASKED

    asked: Mapping[str, Mapping[str, tuple[int, ...]]]
    asked = {TINY: {"28px": CLIENTS}, FP32: HEAVY_ASKED, INT8: HEAVY_ASKED}
    for target in TARGETS:
        point = target.point
        assert point.concurrency in asked[point.model][point.picture], point.name
        assert point.way in (IN_PROCESS, RELEASED, GRPC, LONE)
        assert point.way != CEILING


def test_targets_are_shown_and_written() -> None:
    made = outcomes(rows_of(MEASURED, cores=2), MEASURED, [Target(SERVED, Figure.OF_CEILING, 0.9)])
    console = Console(width=160, file=io.StringIO(), record=True)
    console.print(outcome_table(made))
    words = " ".join(console.export_text().split())
    assert "resnet50-int8/640x427/in-process/c32 ≥ 0.9 of its ceiling 0.75 not met" in words
    assert outcome_document(made) == [
        {
            "row": SERVED.name,
            "figure": "of its ceiling",
            "bound": 0.9,
            "at_most": False,
            "measured": 0.75,
            "met": False,
        }
    ]
