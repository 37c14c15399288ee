"""Interleaved rounds: what is measured, in which order, and that what was started is stopped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.cli.measure.load import Load, MeasurementFailed
from services.cli.measure.rounds import Measure, Open, Plan, Workload, groups_of, rotated, run_rounds
from services.cli.measure.rows import CEILING, GRPC, IN_PROCESS, Point, Sample


class Yard:
    """Ways of serving that write down what happens to them."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.running: set[str] = set()
        self.fails_at: str | None = None

    def way(self, name: str) -> Open:
        @contextmanager
        def start(workload: Workload, points: Sequence[Point], place: Path) -> Iterator[Measure]:
            assert place.is_dir()
            assert not list(place.iterdir())
            (place / "log").touch()
            self.running.add(f"{workload.title}/{name}")
            try:
                yield self._measure
            finally:
                self.running.remove(f"{workload.title}/{name}")

        return start

    def _measure(self, point: Point, picture: Path, seconds: int) -> Sample:
        assert f"{point.model}/{point.way}" in self.running
        self.said.append(point.name)
        if point.name == self.fails_at:
            raise MeasurementFailed("it fell over")
        return Sample(Load(seconds, 1.0, 1, 1, 1))


def plan(yard: Yard, *models: str, rounds: int = 1, patterns: tuple[str, ...] = ()) -> Plan:
    workloads = tuple(Workload(title, title, {"small": (1, 8), "large": (8,)}, 3, None) for title in models)
    ways = {name: yard.way(name) for name in (CEILING, IN_PROCESS, "other")}
    return Plan(workloads, ways, {"small": Path("s"), "large": Path("l")}, rounds, 2, patterns)


def tell(what: str, done: int, total: int) -> None:
    assert done <= total


def test_a_round_measures_every_point_once(tmp_path: Path) -> None:
    yard = Yard()
    measured = run_rounds(plan(yard, "a"), tmp_path, tell)
    assert yard.said == [
        *("a/small/ceiling/c1", "a/small/in-process/c1", "a/small/other/c1"),
        *("a/small/ceiling/c2", "a/small/in-process/c8", "a/small/other/c8"),
        *("a/large/ceiling/c2", "a/large/in-process/c8", "a/large/other/c8"),
    ]
    assert [point.name for point in measured] == yard.said
    assert all(len(samples) == 1 for samples in measured.values())


def test_a_ceiling_is_measured_once_for_all_numbers_of_clients() -> None:
    workload = Workload("a", "a", {"small": (8, 32, 64)}, 1, None)
    groups = groups_of(plan(Yard(), "a"), workload)
    assert [[point.way for point in group] for group in groups] == [
        [CEILING, IN_PROCESS, "other"],
        [IN_PROCESS, "other"],
        [IN_PROCESS, "other"],
    ]


def test_a_window_holds_several_batches_of_a_slow_model_behind_a_model_server(tmp_path: Path) -> None:
    workload = Workload("a", "a", {"small": (8, 32)}, 4, None, batch_windows=3)
    yard = Yard()
    ways = {name: yard.way(name) for name in (IN_PROCESS, GRPC)}
    measured = run_rounds(Plan((workload,), ways, {"small": Path("s")}, 1, 2), tmp_path, tell)
    assert {point.name: sample.load.requests for point, (sample,) in measured.items()} == {
        **{"a/small/in-process/c8": 4, "a/small/in-process/c32": 4},
        **{"a/small/grpc/c8": 4, "a/small/grpc/c32": 12},
    }


def test_the_order_moves_on_with_each_round(tmp_path: Path) -> None:
    yard = Yard()
    run_rounds(plan(yard, "a", "b", rounds=2, patterns=("*/large/*",)), tmp_path, tell)
    first, second = yard.said[:6], yard.said[6:]
    assert [name.split("/")[0] for name in first] == ["a"] * 3 + ["b"] * 3
    assert [name.split("/")[0] for name in second] == ["b"] * 3 + ["a"] * 3
    assert [name.split("/")[2] for name in first[:3]] == [CEILING, IN_PROCESS, "other"]
    assert [name.split("/")[2] for name in second[:3]] == [IN_PROCESS, "other", CEILING]


def test_only_what_is_asked_for_is_started(tmp_path: Path) -> None:
    yard = Yard()
    measured = run_rounds(plan(yard, "a", "b", patterns=("b/small/other/*",)), tmp_path, tell)
    assert [point.name for point in measured] == yard.said == ["b/small/other/c1", "b/small/other/c8"]
    assert not (tmp_path / "a").exists()
    assert [place.name for place in (tmp_path / "b").iterdir()] == ["other"]


def test_nothing_asked_for_is_nothing_done(tmp_path: Path) -> None:
    assert run_rounds(plan(Yard(), "a", patterns=("none",)), tmp_path, tell) == {}


def test_every_round_starts_anew_in_an_empty_place(tmp_path: Path) -> None:
    yard = Yard()
    measured = run_rounds(plan(yard, "a", rounds=3), tmp_path, tell)
    assert {len(samples) for samples in measured.values()} == {3}
    assert not yard.running


def test_what_was_started_is_stopped_when_one_fails(tmp_path: Path) -> None:
    yard = Yard()
    yard.fails_at = "a/large/ceiling/c2"
    with pytest.raises(MeasurementFailed, match="fell over"):
        run_rounds(plan(yard, "a"), tmp_path, tell)
    assert not yard.running


@pytest.mark.parametrize(("turn", "expected"), [(0, (1, 2, 3)), (1, (2, 3, 1)), (2, (3, 1, 2)), (3, (1, 2, 3))])
def test_items_take_turns_at_being_first(turn: int, expected: tuple[int, ...]) -> None:
    assert rotated([1, 2, 3], turn) == expected
    assert rotated([], turn) == ()
