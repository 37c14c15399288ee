"""Whether an answer was right, by what its client says of it now. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.shared.errors import InvalidInput
from services.shared.feedback import FeedbackClaim

_SHOWN_LABELS = 10


@dataclass(frozen=True, slots=True)
class Truth:
    """What is known of an answer: the `label` that it should have had (a class's name or index) or whether it was
    `correct`, and a `reward`: any number, the larger the better. At least one of them, and not both of the first two;
    raises InvalidInput otherwise."""

    label: str | int | None = None
    correct: bool | None = None
    reward: float | None = None

    def __post_init__(self) -> None:
        if self.label is None and self.correct is None and self.reward is None:
            raise InvalidInput("send one of label, correct and reward with the feedback_id", field="label")
        if self.label is not None and self.correct is not None:
            raise InvalidInput("send label or correct, not both: one follows from the other", field="correct")


def is_right(truth: Truth, claim: FeedbackClaim, labels: Sequence[str]) -> bool | None:
    """Whether the best class of the answer was the true one, None where only a reward is known. `labels` are those of
    the claim's version, by index; empty when there are none. Raises InvalidInput for a label that it has not."""
    if truth.label is None:
        return truth.correct
    if claim.top_1 < 0:
        raise InvalidInput(
            f"answers of {claim.ref} have no best class to compare a label with: send correct or reward", field="label"
        )
    if isinstance(truth.label, int):
        if truth.label < 0 or (labels and truth.label >= len(labels)):
            to = f"to {len(labels) - 1}" if labels else "on"
            raise InvalidInput(f"{claim.ref} has no class {truth.label}: its indices are from 0 {to}", field="label")
        return claim.top_1 == truth.label
    if truth.label not in labels:
        raise InvalidInput(_unknown(truth.label, claim, labels), field="label")
    return claim.top_1 < len(labels) and labels[claim.top_1] == truth.label


def _unknown(label: str, claim: FeedbackClaim, labels: Sequence[str]) -> str:
    if not labels:
        return f"the classes of {claim.ref} have no names: send the class's index, or correct"
    some = ", ".join(map(repr, labels[:_SHOWN_LABELS])) + (" …" if len(labels) > _SHOWN_LABELS else "")
    return f"{claim.ref} has no class {label[:64]!r}: its classes are {some}"
