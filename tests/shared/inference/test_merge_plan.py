from __future__ import annotations

import numpy as np
import pytest

from services.shared.errors import (
    DeadlineExceeded,
    InferenceFailed,
    InvalidInput,
    NotReady,
    Overloaded,
    ServingError,
    TooLarge,
)
from services.shared.inference.base import InferResult
from services.shared.inference.merge_plan import Size, lane_of, must_split, split_rows, take, wire_deadline
from services.shared.model_ref import ModelRef
from services.shared.priority import Priority
from services.shared.tensors import Array

REF = ModelRef("pets", 1)


def size(rows: int, size_bytes: int = 1, *, alone: bool = False) -> Size:
    return Size(rows, size_bytes, alone)


@pytest.mark.parametrize(
    ("waiting", "expected"),
    [
        ([], 0),
        ([size(1)], 1),
        ([size(9)], 1),  # more than a batch: the server refuses it, nobody else with it
        ([size(9), size(1)], 1),
        ([size(4), size(4), size(1)], 2),
        ([size(3), size(6), size(1)], 1),  # the third does not overtake the second
        ([size(1, 60), size(1, 40), size(1, 1)], 2),
        ([size(1, 200), size(1, 1)], 1),
        ([size(1, alone=True), size(1)], 1),
        ([size(1), size(1, alone=True), size(1)], 1),
    ],
)
def test_the_next_call_takes_the_first_that_fit(waiting: list[Size], expected: int) -> None:
    assert take(waiting, max_rows=8, max_bytes=100) == expected


@pytest.mark.parametrize(
    ("deadlines", "expected"),
    [([5.0], 5.0), ([5.0, 9.0, 7.0], 9.0), ([5.0, None], None), ([None], None)],
)
def test_a_call_lives_as_long_as_its_latest_request(deadlines: list[float | None], expected: float | None) -> None:
    assert wire_deadline(deadlines) == expected


@pytest.mark.parametrize(
    ("error", "requests", "expected"),
    [
        (InvalidInput("x"), 2, True),
        (TooLarge("x"), 2, True),
        (InferenceFailed("x"), 2, True),
        (InvalidInput("x"), 1, False),
        (NotReady("x"), 2, False),
        (Overloaded("x"), 2, False),
        (DeadlineExceeded("x"), 2, False),
    ],
)
def test_only_a_failure_that_one_request_may_cause_is_split(error: ServingError, requests: int, expected: bool) -> None:
    assert must_split(error, requests) is expected


def inputs(rows: int = 1, width: int = 2, dtype: type = np.uint8, name: str = "x") -> dict[str, Array]:
    return {name: np.zeros((rows, width), dtype)}


def test_requests_that_differ_only_in_rows_share_a_lane() -> None:
    first, second = (lane_of(REF, inputs(rows), Priority.NORMAL, None) for rows in (1, 3))
    assert first is not None
    assert second is not None
    assert first[0] == second[0]
    assert (first[1], second[1]) == (Size(1, 2), Size(3, 6))


@pytest.mark.parametrize(
    ("ref", "tensors", "priority", "outputs"),
    [
        (ModelRef("pets", 2), inputs(), Priority.NORMAL, None),
        (REF, inputs(width=3), Priority.NORMAL, None),
        (REF, inputs(dtype=np.int8), Priority.NORMAL, None),
        (REF, inputs(name="y"), Priority.NORMAL, None),
        (REF, {**inputs(), **inputs(name="y")}, Priority.NORMAL, None),
        (REF, inputs(), Priority.LOW, None),
        (REF, inputs(), Priority.NORMAL, ["p"]),
    ],
    ids=["version", "shape", "type", "name", "more inputs", "priority", "outputs"],
)
def test_requests_that_differ_share_no_lane(
    ref: ModelRef, tensors: dict[str, Array], priority: Priority, outputs: list[str] | None
) -> None:
    usual = lane_of(REF, inputs(), Priority.NORMAL, None)
    other = lane_of(ref, tensors, priority, outputs)
    assert usual is not None
    assert other is not None
    assert usual[0] != other[0]


@pytest.mark.parametrize(
    "tensors",
    [{}, {"x": np.float32(1) * np.ones(())}, inputs(rows=0), {**inputs(1), **inputs(2, name="y")}],
    ids=["no input", "no dimension", "no rows", "rows that differ"],
)
def test_inputs_without_one_batch_dimension_have_no_lane(tensors: dict[str, Array]) -> None:
    assert lane_of(REF, tensors, Priority.NORMAL, None) is None


def test_each_request_gets_its_own_rows() -> None:
    parts = split_rows(InferResult({"y": np.arange(6).reshape(6, 1)}), [1, 3, 2])
    assert [part["y"].ravel().tolist() for part in parts] == [[0], [1, 2, 3], [4, 5]]


@pytest.mark.parametrize("output", [np.zeros(()), np.zeros((1, 5))])
def test_an_output_without_a_row_for_each_row_cannot_be_split(output: Array) -> None:
    with pytest.raises(InferenceFailed):
        split_rows(InferResult({"y": output}), [1, 1])
