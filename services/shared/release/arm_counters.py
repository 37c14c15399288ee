"""What one serving process counts about one arm of a release, a microsecond or two for each request. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol

from services.shared.release.arm_snapshot import CONFIDENCE_UNITS, ArmSnapshot
from services.shared.release.distinct_keys import DistinctKeys
from services.shared.release.latency_histogram import LatencyHistogram

MAX_CLASSES = 1024  # counted apart while the release's cells are not known
MAX_ERROR_KINDS = 16
OTHER_ERRORS = "other"
LARGEST_DIFFERENCE = 2**53  # in units; stands for one that is larger still, or no number


class Cell(Protocol):
    """One whole number, at index 0; perhaps where it outlives the process."""

    def __getitem__(self, index: int, /) -> int: ...

    def __setitem__(self, index: int, value: int, /) -> None: ...


class ArmCounters:
    """Every request: `begin`, then one of `observe`, `observe_error` and `abandon`. Not locked: one thread counts.
    Those that one run answers may be counted together.

    `cells` are the classes to count apart; none: the first MAX_CLASSES that come. `in_flight` holds the number of
    requests between the two; `on_error` is told of every error, and must be brief.
    """

    __slots__ = (
        "_bounded",
        "_classes",
        "_compared",
        "_compared_by_class",
        "_confidence_sum",
        "_confidence_sumsq",
        "_differing",
        "_differing_by_class",
        "_dropped",
        "_errors",
        "_in_flight",
        "_keys",
        "_largest_difference",
        "_latency",
        "_on_error",
        "_other_classes",
        "_requests",
    )

    def __init__(
        self,
        cells: tuple[int, ...] = (),
        in_flight: Cell | None = None,
        on_error: Callable[[], None] | None = None,
    ) -> None:
        self._in_flight: Cell = [0] if in_flight is None else in_flight
        self._on_error = on_error
        self._bounded = bool(cells)
        self._classes = dict.fromkeys(cells, 0)
        self._other_classes = 0
        self._confidence_sum = self._confidence_sumsq = 0
        self._errors: dict[str, int] = {}
        self._requests = 0
        self._compared = self._differing = self._largest_difference = self._dropped = 0
        self._compared_by_class: dict[int, int] = {}
        self._differing_by_class: dict[int, int] = {}
        self._latency = LatencyHistogram()
        self._keys = DistinctKeys()

    def begin(self, requests: int = 1) -> None:
        """So many are on their way to the arm."""
        self._in_flight[0] += requests

    def observe(self, latency_s: float, key_hash: int, top_1: int = -1, confidence: float = 0.0) -> None:
        """A request was answered; `top_1` is the first image's best class (-1 for tasks without classes), `confidence`
        its score, taken into [0, 1]."""
        self.observe_all((latency_s,), (key_hash,), (top_1,), (confidence,))

    def observe_all(
        self,
        latencies_s: Sequence[float],
        key_hashes: Sequence[int],
        tops_1: Sequence[int],
        confidences: Sequence[float],
    ) -> None:
        """`observe` of each; the sequences go together."""
        self._in_flight[0] -= len(latencies_s)
        self._requests += len(latencies_s)
        self._latency.observe_all(latencies_s)
        self._keys.add_all(key_hashes)
        classes, total, squares = self._classes, 0, 0
        for top_1, confidence in zip(tops_1, confidences, strict=True):
            if top_1 in classes:
                classes[top_1] += 1
            elif top_1 < 0:
                continue
            elif self._bounded or len(classes) >= MAX_CLASSES:
                self._other_classes += 1
            else:
                classes[top_1] = 1
            if confidence > 0.0:  # not so of NaN
                units = int((confidence if confidence < 1.0 else 1.0) * CONFIDENCE_UNITS + 0.5)
                total += units
                squares += units * units
        self._confidence_sum += total
        self._confidence_sumsq += squares

    def observe_error(self, kind: str, key_hash: int) -> None:
        """A request failed, and the arm is to blame; its time is not counted, so that failing fast is not fast."""
        self._in_flight[0] -= 1
        self._requests += 1
        self._keys.add(key_hash)
        if kind not in self._errors and len(self._errors) >= MAX_ERROR_KINDS:
            kind = OTHER_ERRORS
        self._errors[kind] = self._errors.get(kind, 0) + 1
        if self._on_error is not None:
            self._on_error()

    def abandon(self, requests: int = 1) -> None:
        """So many ended in a way that says nothing about the arm: the caller left, or its input was bad."""
        self._in_flight[0] -= requests

    def compare(self, differs: bool, stable_top_1: int = -1, difference: float = 0.0) -> None:
        """An answer of this arm was held against stable's to the same picture: another best class or not, stable's best
        class (-1: none), and the largest difference between two scores of one class."""
        self._compared += 1
        self._differing += differs
        self.differ_by(difference)
        by_class = self._compared_by_class
        if stable_top_1 < 0 or (stable_top_1 not in by_class and len(by_class) >= MAX_CLASSES):
            return
        by_class[stable_top_1] = by_class.get(stable_top_1, 0) + 1
        if differs:
            self._differing_by_class[stable_top_1] = self._differing_by_class.get(stable_top_1, 0) + 1

    def differ_by(self, difference: float) -> None:
        """The largest difference between two numbers that this arm and stable gave for the same picture; all that can
        be said of a task without classes."""
        if difference > 0.0 or math.isnan(difference):
            units = difference * CONFIDENCE_UNITS + 0.5
            whole = int(units) if units < LARGEST_DIFFERENCE else LARGEST_DIFFERENCE
            self._largest_difference = max(self._largest_difference, whole)

    def drop(self) -> None:
        """A request that this arm should have been asked about, and was not: there was no room for it."""
        self._dropped += 1

    def snapshot(self) -> ArmSnapshot:
        return ArmSnapshot(
            requests=self._requests,
            errors=dict(self._errors),
            in_flight=self._in_flight[0],
            latency=self._latency.snapshot(),
            classes=dict(self._classes),
            other_classes=self._other_classes,
            confidence_sum=self._confidence_sum,
            confidence_sumsq=self._confidence_sumsq,
            compared=self._compared,
            differing=self._differing,
            keys=self._keys.snapshot(),
            compared_by_class=dict(self._compared_by_class),
            differing_by_class=dict(self._differing_by_class),
            largest_difference=self._largest_difference,
            dropped=self._dropped,
        )
