"""What a process counts of the explanations that it made; cheap to add to, read when asked for."""

from __future__ import annotations

import enum
from collections.abc import Mapping

from services.shared.telemetry.histogram import Histogram, HistogramSnapshot


class ExplanationOutcome(enum.StrEnum):
    """`refused`: there was no place; `left`: the client went away; `failed`: everything else that gave no answer."""

    MADE = "made"
    REFUSED = "refused"
    LEFT = "left"
    FAILED = "failed"


class ExplanationCounts:
    """By method and outcome; `method` comes from a fixed set of words."""

    __slots__ = ("_evaluations", "_outcomes", "_seconds")

    def __init__(self) -> None:
        self._outcomes: dict[tuple[str, ExplanationOutcome], int] = {}
        self._evaluations: dict[str, int] = {}
        self._seconds: dict[str, Histogram] = {}

    def ended(self, method: str, outcome: ExplanationOutcome) -> None:
        """One that was asked for and not made."""
        self._outcomes[method, outcome] = self._outcomes.get((method, outcome), 0) + 1

    def made(self, method: str, seconds: float, evaluations: int) -> None:
        """One that was answered, how long it took and how many pictures the model was asked about."""
        self.ended(method, ExplanationOutcome.MADE)
        self._evaluations[method] = self._evaluations.get(method, 0) + evaluations
        if method not in self._seconds:
            self._seconds[method] = Histogram()
        self._seconds[method].observe(seconds)

    def outcomes(self) -> Mapping[tuple[str, ExplanationOutcome], int]:
        return dict(self._outcomes)

    def evaluations(self) -> Mapping[str, int]:
        return dict(self._evaluations)

    def seconds(self) -> Mapping[str, HistogramSnapshot]:
        return {method: histogram.snapshot() for method, histogram in self._seconds.items()}
