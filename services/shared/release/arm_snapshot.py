"""What one arm did until now, as totals that add up over processes in any order. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from services.shared.release.distinct_keys import NO_KEYS, DistinctKeysSnapshot
from services.shared.release.latency_histogram import LatencySnapshot

# Confidences are summed in whole units of 1/10,000: sums of sums do not depend on their order, and stay below 2^63.
CONFIDENCE_UNITS = 10_000

_Kind = TypeVar("_Kind", int, str)


@dataclass(frozen=True, slots=True)
class ArmSnapshot:
    """Totals since the process began, but for `in_flight`, which is now.

    `requests` were answered or failed; `errors` are those that failed, by kind. `latency` is of the answered. `classes`
    are the answered by the first image's best class, `other_classes` those of classes that are not counted apart;
    `confidence_sum` and `confidence_sumsq` are of that class's score in units and squared units.

    Of a shadow: `compared` answers were held against stable's, `differing` of them had another best class; the same by
    the class that stable gave, where it is counted apart. `largest_difference` is between two scores (numbers, of tasks
    without classes) for one picture, in units. `dropped` copies were never asked about: there was no room for them.
    """

    requests: int = 0
    errors: Mapping[str, int] = field(default_factory=dict)
    in_flight: int = 0
    latency: LatencySnapshot = field(default_factory=LatencySnapshot)
    classes: Mapping[int, int] = field(default_factory=dict)
    other_classes: int = 0
    confidence_sum: int = 0
    confidence_sumsq: int = 0
    compared: int = 0
    differing: int = 0
    keys: DistinctKeysSnapshot = NO_KEYS
    compared_by_class: Mapping[int, int] = field(default_factory=dict)
    differing_by_class: Mapping[int, int] = field(default_factory=dict)
    largest_difference: int = 0
    dropped: int = 0

    @property
    def failed(self) -> int:
        return sum(self.errors.values())

    @property
    def classified(self) -> int:
        return sum(self.classes.values()) + self.other_classes

    def confidence_mean(self) -> float:
        """NaN of no classified answers."""
        return self.confidence_sum / CONFIDENCE_UNITS / self.classified if self.classified else math.nan

    def most_frequent(self, count: int) -> tuple[int, ...]:
        """The classes that were best most often, the lower index first among equals, at most `count` of them."""
        return tuple(sorted(self.classes, key=lambda index: (-self.classes[index], index))[:count])

    def merge(self, other: ArmSnapshot) -> ArmSnapshot:
        """Both together: associative and commutative, with ArmSnapshot() as its zero."""
        return ArmSnapshot(
            self.requests + other.requests,
            _sum(self.errors, other.errors),
            self.in_flight + other.in_flight,
            self.latency.merge(other.latency),
            _sum(self.classes, other.classes),
            self.other_classes + other.other_classes,
            self.confidence_sum + other.confidence_sum,
            self.confidence_sumsq + other.confidence_sumsq,
            self.compared + other.compared,
            self.differing + other.differing,
            self.keys.merge(other.keys),
            _sum(self.compared_by_class, other.compared_by_class),
            _sum(self.differing_by_class, other.differing_by_class),
            max(self.largest_difference, other.largest_difference),
            self.dropped + other.dropped,
        )

    def to_json(self) -> dict[str, Any]:
        return {**self.counts_to_json(), "keys": self.keys.to_json()}

    def counts_to_json(self) -> dict[str, Any]:
        """All but the distinct keys, which take more room than the rest."""
        return {
            "requests": self.requests,
            "errors": dict(self.errors),
            "in_flight": self.in_flight,
            "latency": self.latency.to_json(),
            "classes": _pairs(self.classes),
            "other_classes": self.other_classes,
            "confidence_sum": self.confidence_sum,
            "confidence_sumsq": self.confidence_sumsq,
            "compared": self.compared,
            "differing": self.differing,
            "compared_by_class": _pairs(self.compared_by_class),
            "differing_by_class": _pairs(self.differing_by_class),
            "largest_difference": self.largest_difference,
            "dropped": self.dropped,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any], keys: DistinctKeysSnapshot = NO_KEYS) -> ArmSnapshot:
        """Raises ValueError, KeyError or TypeError for a document that `to_json` did not make. One of a process that
        told nothing of classes that differ, of differences or of what it dropped counts as having none; `keys` are
        those of a document that has none in it."""
        read = {
            "latency": LatencySnapshot.from_json(document["latency"]),
            "classes": dict(document["classes"]),
            "keys": DistinctKeysSnapshot.from_json(document["keys"]) if "keys" in document else keys,
            "compared_by_class": dict(document.get("compared_by_class", ())),
            "differing_by_class": dict(document.get("differing_by_class", ())),
        }
        return cls(**{**document, **read})


def _pairs(counts: Mapping[int, int]) -> list[list[int]]:
    """A document's keys are texts: these stay numbers."""
    return [[index, count] for index, count in counts.items()]


def _sum(one: Mapping[_Kind, int], other: Mapping[_Kind, int]) -> dict[_Kind, int]:
    """Not a Counter's `+`, which drops zeros: a cell without answers is still a cell."""
    total = dict(one)
    for name, count in other.items():
        total[name] = total.get(name, 0) + count
    return total
