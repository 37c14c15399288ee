"""Each measure against a plain calculation, and each gate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pytest

from exporters.base import Accuracy, Array, Parity
from exporters.proof.accuracy import measure_accuracy
from exporters.proof.gates import judge
from exporters.proof.parity import RELATIVE_FLOOR, compare
from exporters.recipe import Gates


class Rows:
    """Pictures whose pixels are ignored: the models answer with fixed rows."""

    def __init__(self, count: int) -> None:
        self.labels: Array = np.zeros(count, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, size: int) -> Iterator[tuple[Array, Array]]:
        for start in range(0, len(self), size):
            rows = np.arange(start, min(start + size, len(self)))
            yield rows, self.labels[rows]


class Fixed:
    def __init__(self, output: Array, name: str = "probabilities") -> None:
        self.output, self.name = output, name

    def run(self, images: Array) -> Mapping[str, Array]:
        return {self.name: self.output[images]}


@pytest.fixture
def pair() -> tuple[Array, Array]:
    random = np.random.default_rng(1)
    expected = random.dirichlet(np.ones(5), 37).astype(np.float32)
    return expected + random.normal(0, 0.05, expected.shape).astype(np.float32), expected


def test_parity_is_what_a_loop_over_all_values_says(pair: tuple[Array, Array]) -> None:
    actual, expected = pair
    parity = compare(Fixed(actual), Fixed(expected), Rows(37), batch=8)
    absolute = [abs(float(a) - float(b)) for a, b in zip(actual.ravel(), expected.ravel(), strict=True)]
    relative = [d / max(abs(float(b)), RELATIVE_FLOOR) for d, b in zip(absolute, expected.ravel(), strict=True)]
    agreeing = sum(int(a.argmax() == b.argmax()) for a, b in zip(actual, expected, strict=True))
    a, b = actual.astype(float).ravel(), expected.astype(float).ravel()
    assert parity.images == 37
    assert parity.max_abs == pytest.approx(max(absolute))
    assert parity.max_relative == pytest.approx(max(relative))
    assert parity.cosine == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    assert parity.top1_agreement == agreeing / 37
    assert sum(parity.errors) == actual.size


def test_accuracy_is_what_counting_says() -> None:
    random = np.random.default_rng(2)
    probabilities, labels = random.dirichlet(np.ones(4), 200), random.integers(0, 4, 200)
    measured = measure_accuracy(probabilities, labels)
    predicted = probabilities.argmax(axis=1)
    confusion = [[int(((labels == t) & (predicted == p)).sum()) for p in range(4)] for t in range(4)]
    assert measured.images == 200
    assert measured.accuracy == pytest.approx(float((predicted == labels).mean()))
    assert [list(row) for row in measured.confusion] == confusion
    for c in range(4):
        hits = confusion[c][c]
        assert measured.precision[c] == pytest.approx(hits / max(1, sum(row[c] for row in confusion)))
        assert measured.recall[c] == pytest.approx(hits / max(1, sum(confusion[c])))
    error, confidence = 0.0, probabilities.max(axis=1)
    for low in np.arange(15) / 15:
        inside = (confidence > low) & (confidence <= low + 1 / 15)
        if inside.any():
            right = float((predicted == labels)[inside].mean())
            error += inside.mean() * abs(right - float(confidence[inside].mean()))
    assert measured.calibration_error == pytest.approx(error, abs=1e-6)


def scored(share: float) -> Accuracy:
    return Accuracy(100, share, (), (), (), (), 0.0)


GOOD = Parity(100, 1e-6, 1e-5, 1.0, 1.0)


@pytest.mark.parametrize(
    ("name", "parity", "own", "original", "failures"),
    [
        ("fp32", GOOD, scored(0.97), scored(0.97), ()),
        ("fp32", Parity(9, 0.01, 0, 1.0, 1.0), None, None, ("max absolute difference 0.01 is above 0.0001",)),
        ("int8", Parity(9, 0.01, 0, 1.0, 1.0), None, None, ()),  # the largest difference is fp32's gate
        ("int8", Parity(9, 0, 0, 0.5, 1.0), None, None, ("cosine 0.5 is below 0.99",)),
        ("int8", Parity(9, 0, 0, 1.0, 0.981), None, None, ("top-1 agreement 0.981 is below 0.99",)),
        ("int8", Parity(9, 0, 0, 1.0, None), None, None, ()),
        ("int8", GOOD, scored(0.96), scored(0.97), ()),
    ],
)
def test_gates(name: str, parity: Parity, own: Accuracy, original: Accuracy, failures: tuple[str, ...]) -> None:
    assert judge(Gates(), name, parity, own, original) == failures  # type: ignore[arg-type]


def test_a_loss_of_accuracy_is_told_with_both_numbers() -> None:
    [failure] = judge(Gates(), "int8", GOOD, scored(0.90), scored(0.97))
    assert "0.9 is 0.07 below the original's 0.97" in failure


def test_nothing_passes_with_nan() -> None:
    failures = judge(Gates(), "fp32", Parity(9, float("nan"), 0, float("nan"), 1.0), None, None)
    assert len(failures) == 2
