"""What a process counts about the arms of releases, as metrics.

Labels are the release, the step (its index in the plan), the arm, and where the requests came from: `live` ones alone
are evidence about a release. Error kinds are at most MAX_ERROR_KINDS and one more for each arm, arms at most MAX_ARMS.
A release's numbers are gone a while after it is over.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, pairwise

from services.shared.release.arm_snapshot import ArmSnapshot
from services.shared.release.latency_histogram import BUCKETS, LatencySnapshot, upper_bound_s
from services.shared.release.release_counters import ReleaseSnapshot
from services.shared.telemetry.exposition import Told, exposed, told, told_histogram
from services.shared.telemetry.family import Family, Label, counter, gauge, histogram
from services.shared.telemetry.histogram import DURATION_BOUNDS_S, HistogramSnapshot

RELEASE = Label("release", "ids of releases that are under way, or ended a while ago")
ARM = Label("arm", "`stable`, `shadow` and the arms of the release's plan")
_NAME = "grayscale_release_"
_LABELS = (
    RELEASE, Label("step", "indices of the steps of the release's plan"), ARM,
    Label("source", ("live", "job")),
)  # fmt: skip
_KIND = Label("kind", "names of errors, a few for each arm, and `other` for the rest")
_REQUESTS = counter(f"{_NAME}requests_total", "Requests that an arm answered or failed", "requests", *_LABELS)
_ERRORS = counter(f"{_NAME}errors_total", "Requests that an arm failed, by kind", "requests", *_LABELS, _KIND)
_IN_FLIGHT = gauge(f"{_NAME}in_flight", "Requests that an arm has in work now", "requests", *_LABELS)
_SECONDS = histogram(
    f"{_NAME}request_duration_seconds", "How long answered requests of an arm took", "seconds", *_LABELS
)
_COMPARED = counter(
    f"{_NAME}compared_total", "Answers of a shadow that were held against stable's", "answers", *_LABELS
)
_DIFFERING = counter(
    f"{_NAME}disagreements_total", "Answers of a shadow with another best class than stable's", "answers", *_LABELS
)
_DROPPED = counter(
    f"{_NAME}shadows_dropped_total", "Requests that a shadow was not asked about, for want of room", "requests",
    *_LABELS,
)  # fmt: skip
FAMILIES = (_REQUESTS, _ERRORS, _IN_FLIGHT, _SECONDS, _COMPARED, _DIFFERING, _DROPPED)

_FINE = [upper_bound_s(bucket) for bucket in range(BUCKETS)]
# How many of the fine buckets lie below each bound: one that crosses it (by 5 % at most) counts to the next.
_BELOW = [bisect_right(_FINE, bound * (1 + 1e-9)) for bound in DURATION_BOUNDS_S]


def render_releases(releases: ReleaseSnapshot, source: str) -> bytes:
    """The text; nothing but the names of the metrics where no release is counted."""
    arms = [((key.release, str(key.step), key.arm, source), arm) for key, arm in sorted(releases.arms.items())]
    return exposed(_requests(arms), _comparisons(arms))


_Arms = Sequence[tuple[tuple[str, ...], ArmSnapshot]]


def _each(family: Family, arms: _Arms, value: Callable[[ArmSnapshot], int]) -> Iterator[Told]:
    return told(family, [(labels, value(arm)) for labels, arm in arms])


def _requests(arms: _Arms) -> Iterator[Told]:
    yield from _each(_REQUESTS, arms, lambda arm: arm.requests)
    kinds = [((*labels, kind), count) for labels, arm in arms for kind, count in sorted(arm.errors.items())]
    yield from told(_ERRORS, kinds)
    yield from _each(_IN_FLIGHT, arms, lambda arm: arm.in_flight)
    yield from told_histogram(_SECONDS, [(labels, _coarse(arm.latency)) for labels, arm in arms])


def _comparisons(arms: _Arms) -> Iterator[Told]:
    yield from _each(_COMPARED, arms, lambda arm: arm.compared)
    yield from _each(_DIFFERING, arms, lambda arm: arm.differing)
    yield from _each(_DROPPED, arms, lambda arm: arm.dropped)


def _coarse(latency: LatencySnapshot) -> HistogramSnapshot:
    below = [0, *accumulate(latency.counts)]
    at = [0, *(below[fine] for fine in _BELOW), below[-1]]
    counts = tuple(after - before for before, after in pairwise(at))
    return HistogramSnapshot(DURATION_BOUNDS_S, counts, latency.sum_ns / 1e9)
