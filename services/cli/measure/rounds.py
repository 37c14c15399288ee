"""Interleaved rounds: in each one every point is measured once, the ways by turns and in another order every time, so
that what else the machine does hits all alike. Every round starts its servers anew: no figure hangs on one start."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from services.cli.measure.lone_model import LoneModel
from services.cli.measure.rows import CEILING, GRPC, Point, Sample

FEW_CLIENTS = 8

Item = TypeVar("Item")
Tell = Callable[[str, int, int], None]  # what is being done, how much is done, of how much
Measure = Callable[[Point, Path, int], Sample]  # of a point, with a picture's file, for so many seconds


@dataclass(frozen=True, slots=True)
class Workload:
    """What the report calls it, the name under which servers have the model, and what is asked of it: for each
    picture's name the numbers of clients. `own` is what servers are started with; None for one that runs already.

    Behind a model server the answers of a slow model come a batch at a time: a window that is to tell a rate has to
    hold several. Those with more than `FEW_CLIENTS` are `batch_windows` times as long there.
    """

    title: str
    model: str
    asked: Mapping[str, tuple[int, ...]]
    seconds: int
    own: LoneModel | None
    batch_windows: int = 1

    def seconds_of(self, point: Point) -> int:
        in_batches = point.way == GRPC and point.concurrency > FEW_CLIENTS
        return self.seconds * (self.batch_windows if in_batches else 1)


Open = Callable[[Workload, Sequence[Point], Path], AbstractContextManager[Measure]]


@dataclass(frozen=True, slots=True)
class Plan:
    """`ways`: how each way of serving is started, for the points that are measured of it; `pictures`: their files."""

    workloads: tuple[Workload, ...]
    ways: Mapping[str, Open]
    pictures: Mapping[str, Path]
    rounds: int
    cores: int
    patterns: tuple[str, ...] = ()


def groups_of(plan: Plan, workload: Workload) -> tuple[tuple[Point, ...], ...]:
    """What is measured of a workload: for each picture and number of clients the ways to compare, beside each other."""
    seen: set[Point] = set()
    groups = []
    for picture, concurrencies in workload.asked.items():
        for concurrency in concurrencies:
            asked = [Point(workload.title, picture, way, concurrency) for way in plan.ways]
            points = [point.ceiling(plan.cores) if point.way == CEILING else point for point in asked]
            group = tuple(point for point in points if point not in seen and point.matches(plan.patterns))
            seen.update(group)
            groups.append(group)
    return tuple(group for group in groups if group)


def run_rounds(plan: Plan, directory: Path, tell: Tell) -> dict[Point, list[Sample]]:
    """Every sample by point. Raises MeasurementFailed when a server cannot be started or loaded."""
    work = [(workload, groups_of(plan, workload)) for workload in plan.workloads]
    work = [(workload, groups) for workload, groups in work if groups]
    measured: dict[Point, list[Sample]] = {point: [] for _, groups in work for group in groups for point in group}
    done, total = 0, plan.rounds * len(measured)
    if not total:
        return measured
    for turn in range(plan.rounds):
        for workload, groups in rotated(work, turn):
            with contextlib.ExitStack() as stack:
                tell(f"round {turn + 1}: starting what serves {workload.title}", done, total)
                measures = _start(plan, workload, [p for group in groups for p in group], directory, stack)
                for point in (each for group in groups for each in rotated(group, turn)):
                    tell(f"round {turn + 1}: {point.name}", done, total)
                    picture, seconds = plan.pictures[point.picture], workload.seconds_of(point)
                    measured[point].append(measures[point.way](point, picture, seconds))
                    done += 1
    tell("rounds", total, total)
    return measured


def _start(
    plan: Plan, workload: Workload, points: Sequence[Point], directory: Path, stack: contextlib.ExitStack
) -> dict[str, Measure]:
    measures = {}
    for way, start in plan.ways.items():
        own = [point for point in points if point.way == way]
        if own:
            place = directory / workload.title / way
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
            measures[way] = stack.enter_context(start(workload, own, place))
    return measures


def rotated(items: Sequence[Item], turn: int) -> tuple[Item, ...]:
    """The items, beginning with another one each turn."""
    first = turn % max(len(items), 1)
    return (*items[first:], *items[:first])
