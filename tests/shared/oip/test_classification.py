from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from services.shared.errors import InvalidInput
from services.shared.oip.classification import classify
from services.shared.tensors import Array

LABELS = ("cat", "dog", "fox")


@pytest.mark.parametrize(
    ("array", "count", "entries"),
    [
        (np.array([[0.1, 0.7, 0.2]], np.float32), 2, [[b"0.700000:1:dog", b"0.200000:2:fox"]]),
        (np.array([[1, 3, 3]], np.int32), 3, [[b"3:1:dog", b"3:2:fox", b"1:0:cat"]]),
        (np.array([[0, 255, 254]], np.uint8), 1, [[b"255:1:dog"]]),
        (
            np.array([[-(2**63), 2**63 - 1]], np.int64),
            2,
            [[b"9223372036854775807:1:dog", b"-9223372036854775808:0:cat"]],
        ),
        (np.array([[np.nan, 1.0, np.inf]], np.float64), 3, [[b"inf:2:fox", b"1.000000:1:dog", b"nan:0:cat"]]),
        (np.array([[0.5, 2.0]], ml_dtypes.bfloat16), 1, [[b"2.000000:1:dog"]]),
        (np.array([[0.0] * 3 + [9.0]], np.float16), 1, [[b"9.000000:3"]]),
        (np.array([[[1.0], [2.0]], [[4.0], [3.0]]], np.float32), 1, [[b"2.000000:1:dog"], [b"4.000000:0:cat"]]),
        (np.zeros((2, 0), np.float32), 5, [[], []]),
    ],
)
def test_classes_are_ordered_best_first(array: Array, count: int, entries: list[list[bytes]]) -> None:
    assert classify(array, count, LABELS, batched=True, name="p").tolist() == entries


def test_a_model_without_batches_gives_one_row() -> None:
    answer = classify(np.array([0.25, 0.75], np.float32), 1, (), batched=False, name="p")

    assert answer.tolist() == [b"0.750000:1"]


@pytest.mark.parametrize("array", [np.array([[b"a"]], dtype=object), np.array([[True]])])
def test_what_has_no_order_is_refused(array: Array) -> None:
    with pytest.raises(InvalidInput, match="no order"):
        classify(array, 1, (), batched=True, name="p")


def test_the_number_of_classes_in_one_answer_is_limited() -> None:
    with pytest.raises(InvalidInput, match="more than 1000000"):
        classify(np.zeros((2, 600_000), np.float32), 600_000, (), batched=True, name="p")
