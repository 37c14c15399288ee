"""What one serving process counts about one arm of a release, a microsecond or two for each request. Pure."""

from __future__ import annotations

from services.shared.release.arm_snapshot import CONFIDENCE_UNITS, ArmSnapshot
from services.shared.release.distinct_keys import DistinctKeys
from services.shared.release.latency_histogram import LatencyHistogram

MAX_CLASSES = 1024  # counted apart while the release's cells are not known
MAX_ERROR_KINDS = 16
OTHER_ERRORS = "other"


class ArmCounters:
    """Every request: `begin`, then one of `observe`, `observe_error` and `abandon`. Not locked: one thread counts.

    `cells` are the classes to count apart; none: the first MAX_CLASSES that come.
    """

    __slots__ = (
        "_bounded",
        "_classes",
        "_compared",
        "_confidence_sum",
        "_confidence_sumsq",
        "_differing",
        "_errors",
        "_in_flight",
        "_keys",
        "_latency",
        "_other_classes",
        "_requests",
    )

    def __init__(self, cells: tuple[int, ...] = ()) -> None:
        self._bounded = bool(cells)
        self._classes = dict.fromkeys(cells, 0)
        self._other_classes = 0
        self._confidence_sum = self._confidence_sumsq = 0
        self._errors: dict[str, int] = {}
        self._requests = self._in_flight = self._compared = self._differing = 0
        self._latency = LatencyHistogram()
        self._keys = DistinctKeys()

    def begin(self) -> None:
        """A request is on its way to the arm."""
        self._in_flight += 1

    def observe(self, latency_s: float, key_hash: int, top_1: int = -1, confidence: float = 0.0) -> None:
        """A request was answered; `top_1` is the first image's best class (-1 for tasks without classes), `confidence`
        its score, taken into [0, 1]."""
        self._in_flight -= 1
        self._requests += 1
        self._latency.observe(latency_s)
        self._keys.add(key_hash)
        if top_1 < 0:
            return
        classes = self._classes
        if top_1 in classes:
            classes[top_1] += 1
        elif self._bounded or len(classes) >= MAX_CLASSES:
            self._other_classes += 1
        else:
            classes[top_1] = 1
        if confidence > 0.0:  # not so of NaN
            units = int((confidence if confidence < 1.0 else 1.0) * CONFIDENCE_UNITS + 0.5)
            self._confidence_sum += units
            self._confidence_sumsq += units * units

    def observe_error(self, kind: str, key_hash: int) -> None:
        """A request failed, and the arm is to blame; its time is not counted, so that failing fast is not fast."""
        self._in_flight -= 1
        self._requests += 1
        self._keys.add(key_hash)
        if kind not in self._errors and len(self._errors) >= MAX_ERROR_KINDS:
            kind = OTHER_ERRORS
        self._errors[kind] = self._errors.get(kind, 0) + 1

    def abandon(self) -> None:
        """A request ended in a way that says nothing about the arm: the caller left, or its input was bad."""
        self._in_flight -= 1

    def compare(self, differs: bool) -> None:
        """An answer of this arm was held against another version's answer to the same picture."""
        self._compared += 1
        self._differing += differs

    def snapshot(self) -> ArmSnapshot:
        return ArmSnapshot(
            requests=self._requests,
            errors=dict(self._errors),
            in_flight=self._in_flight,
            latency=self._latency.snapshot(),
            classes=dict(self._classes),
            other_classes=self._other_classes,
            confidence_sum=self._confidence_sum,
            confidence_sumsq=self._confidence_sumsq,
            compared=self._compared,
            differing=self._differing,
            keys=self._keys.snapshot(),
        )
