"""Whether an answer was right."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.api.releases.feedback_truth import Truth, is_right
from services.shared.errors import InvalidInput
from services.shared.feedback import FeedbackClaim
from services.shared.model_ref import ModelRef

LABELS = ("cat", "dog", "fox", "dog")
CLAIM = FeedbackClaim(ModelRef("pets", 2), "candidate", 1, 1_000_000, "r-1", 2)

# (what is said, the labels that are known, whether the answer "dog", index 1, was right)
TABLE = [
    (Truth(label="dog"), LABELS, True),
    (Truth(label="cat"), LABELS, False),
    (Truth(label=1), LABELS, True),
    (Truth(label=3), LABELS, False),  # another class of the same name has another index
    (Truth(label=1), (), True),
    (Truth(label=7), (), False),
    (Truth(correct=True), (), True),
    (Truth(correct=False), (), False),
    (Truth(reward=0.5), (), None),
    (Truth(label="dog", reward=0.5), LABELS, True),
    (Truth(correct=False, reward=0.0), LABELS, False),
]


@pytest.mark.parametrize(("truth", "labels", "right"), TABLE)
def test_the_best_class_is_held_against_the_truth(truth: Truth, labels: tuple[str, ...], right: bool | None) -> None:
    assert is_right(truth, CLAIM, labels) is right


@pytest.mark.parametrize(
    ("truth", "labels", "said"),
    [
        (Truth(label="cow"), LABELS, "pets/2 has no class 'cow': its classes are 'cat', 'dog', 'fox', 'dog'"),
        (Truth(label="cow"), tuple(str(i) for i in range(12)), "'9' …"),
        (Truth(label="cow"), (), "have no names: send the class's index, or correct"),
        (Truth(label=4), LABELS, "has no class 4: its indices are from 0 to 3"),
        (Truth(label=-1), (), "has no class -1: its indices are from 0 on"),
    ],
)
def test_a_label_that_the_version_has_not_is_refused(truth: Truth, labels: tuple[str, ...], said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        is_right(truth, CLAIM, labels)
    assert said in refused.value.detail


def test_an_answer_without_classes_takes_no_label() -> None:
    boxes = replace(CLAIM, top_1=-1)
    with pytest.raises(InvalidInput, match="send correct or reward"):
        is_right(Truth(label="dog"), boxes, LABELS)
    assert is_right(Truth(correct=True), boxes, LABELS) is True


def test_an_answer_of_a_class_without_a_name_was_not_the_one_that_is_named() -> None:
    assert is_right(Truth(label="dog"), replace(CLAIM, top_1=9), LABELS) is False


def test_something_has_to_be_said_and_not_twice() -> None:
    with pytest.raises(InvalidInput, match="one of label, correct and reward"):
        Truth()
    with pytest.raises(InvalidInput, match="label or correct, not both"):
        Truth(label="dog", correct=True)
