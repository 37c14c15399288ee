from __future__ import annotations

import numpy as np
import pytest

from services.shared.errors import InferenceFailed
from services.shared.imaging.classification import _few, _many, best_of, top_k

LABELS = ("zero", "one", "two", "three")


@pytest.mark.parametrize(
    ("scores", "k", "want"),
    [
        ([0.1, 0.6, 0.2, 0.1], 1, [1]),
        ([0.1, 0.6, 0.2, 0.1], 3, [1, 2, 0]),  # of the two equal ones the lower index
        ([0.25, 0.25, 0.25, 0.25], 2, [0, 1]),
        ([0.25, 0.25, 0.25, 0.25], 4, [0, 1, 2, 3]),
        ([0.0, 0.0, 0.0, 1.0], 2, [3, 0]),
        ([0.4, 0.3, 0.2, 0.1], 100, [0, 1, 2, 3]),
        ([-3.0, -1.0, -2.0, -1.0], 3, [1, 3, 2]),  # logits will do
        ([0.5], 5, [0]),
    ],
)
def test_the_best_come_first_and_among_equals_the_lower_index(scores: list[float], k: int, want: list[int]) -> None:
    best = top_k(np.array(scores, np.float32), LABELS, k)
    assert [each.index for each in best] == want
    assert [each.label for each in best] == [LABELS[index] for index in want]
    assert [each.score for each in best] == pytest.approx([scores[index] for index in want])


def test_it_is_what_a_stable_sort_of_everything_gives() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        scores = random.integers(0, 6, 40).astype(np.float32)  # many equals
        k = int(random.integers(1, 45))
        assert [each.index for each in top_k(scores, (), k)] == np.argsort(-scores, kind="stable")[:k].tolist()


@pytest.mark.parametrize(("labels", "want"), [((), ["1", "0"]), (("cat",), ["1", "cat"])])
def test_a_class_without_label_is_named_by_its_index(labels: tuple[str, ...], want: list[str]) -> None:
    assert [each.label for each in top_k(np.array([0.2, 0.8]), labels, 2)] == want


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32])
def test_scores_are_plain_python_floats(dtype: type) -> None:
    (best,) = top_k(np.array([0, 1], dtype), LABELS, 1)
    assert type(best.score) is float
    assert type(best.index) is int


@pytest.mark.parametrize(
    ("scores", "says"),
    [
        (np.array([0.1, np.nan, 0.3]), "not finite"),
        (np.array([0.1, np.inf]), "not finite"),
        (np.array([-np.inf, 0.1]), "not finite"),
        (np.array([1e300, 0.0]), "not finite"),  # beyond what a 32-bit score holds
        (np.zeros(0), r"shape \[0\]"),
        (np.zeros((1, 4)), r"shape \[1, 4\]"),
        (np.zeros(()), r"shape \[\]"),
    ],
)
def test_an_output_that_is_no_row_of_scores_is_the_models_failure(scores: np.ndarray, says: str) -> None:
    with pytest.raises(InferenceFailed, match=says):
        top_k(scores, LABELS, 3)


def test_few_classes_are_ranked_as_many_are() -> None:
    random = np.random.default_rng(0)
    for size in range(1, 33):
        scores = random.integers(0, 4, size).astype(np.float32)  # many equals
        for k in range(1, size + 1):
            assert _few(scores.tolist(), k) == _many(scores, k)
        assert _few(scores.tolist(), size + 9) == _many(scores, size)


@pytest.mark.parametrize("classes", [1, 10, 32, 33, 100])
@pytest.mark.parametrize("k", [1, 5, 100])
def test_rows_are_ranked_as_each_of_them_alone(classes: int, k: int) -> None:
    scores = np.random.default_rng(classes).integers(0, 4, (7, classes)).astype(np.float32)  # many are equal
    best, found = best_of(scores, k, 7)
    for row, indices, values in zip(scores, best, found, strict=True):
        assert [(p.index, p.score) for p in top_k(row, (), k)] == list(zip(indices, values, strict=True))


@pytest.mark.parametrize(
    "scores",
    [
        np.zeros((2, 3), np.float32),
        np.zeros((3, 0), np.float32),
        np.zeros(3, np.float32),
        np.array([[0.0, 1.0], [np.nan, 0.0], [0.0, 1.0]], np.float32),
        np.array([[0.0, 1.0], [np.inf, 0.0], [0.0, 1.0]], np.float64),
    ],
    ids=["fewer rows", "no classes", "one row", "not a number", "infinite"],
)
def test_rows_that_are_no_scores_are_the_models_failure(scores: np.ndarray) -> None:
    with pytest.raises(InferenceFailed):
        best_of(scores, 2, 3)
