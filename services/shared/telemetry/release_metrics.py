"""What a process counts about the arms of releases, in Prometheus' text format.

Labels are the release, the step (its index in the plan), the arm, and where the requests came from: `live` ones alone
are evidence about a release. Error kinds are at most MAX_ERROR_KINDS and one more for each arm, arms at most MAX_ARMS.
A release's numbers are gone a while after it is over.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate

from services.shared.release.arm_snapshot import ArmSnapshot
from services.shared.release.latency_histogram import BUCKETS, upper_bound_s
from services.shared.release.release_counters import ArmKey, ReleaseSnapshot
from services.shared.telemetry.histogram import DURATION_BOUNDS_S

_NAME = "grayscale_release_"
_FINE = [upper_bound_s(bucket) for bucket in range(BUCKETS)]
# How many of the fine buckets lie below each bound: one that crosses it (by 5 % at most) counts to the next.
_BELOW = [bisect_right(_FINE, bound * (1 + 1e-9)) for bound in DURATION_BOUNDS_S]
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def render_releases(releases: ReleaseSnapshot, source: str) -> bytes:
    """The text; nothing but the names of the metrics where no release is counted."""
    arms = [(_labels(key, source), arm) for key, arm in sorted(releases.arms.items())]
    return "\n".join([*_requests(arms), *_durations(arms), *_comparisons(arms), ""]).encode()


_Arms = Sequence[tuple[str, ArmSnapshot]]


def _requests(arms: _Arms) -> Iterator[str]:
    yield from _head("requests_total", "counter", "Requests that an arm answered or failed")
    for labels, arm in arms:
        yield f"{_NAME}requests_total{{{labels}}} {arm.requests}"
    yield from _head("errors_total", "counter", "Requests that an arm failed, by kind")
    for labels, arm in arms:
        for kind, count in sorted(arm.errors.items()):
            yield f'{_NAME}errors_total{{{labels},kind="{_escaped(kind)}"}} {count}'
    yield from _head("in_flight", "gauge", "Requests that an arm has in work now")
    for labels, arm in arms:
        yield f"{_NAME}in_flight{{{labels}}} {arm.in_flight}"


def _durations(arms: _Arms) -> Iterator[str]:
    name = "request_duration_seconds"
    yield from _head(name, "histogram", "How long answered requests of an arm took")
    for labels, arm in arms:
        below = [0, *accumulate(arm.latency.counts)]
        for bound, fine in zip(DURATION_BOUNDS_S, _BELOW, strict=True):
            yield f'{_NAME}{name}_bucket{{{labels},le="{bound!r}"}} {below[fine]}'
        yield f'{_NAME}{name}_bucket{{{labels},le="+Inf"}} {below[-1]}'
        yield f"{_NAME}{name}_sum{{{labels}}} {arm.latency.sum_ns / 1e9!r}"
        yield f"{_NAME}{name}_count{{{labels}}} {below[-1]}"


def _comparisons(arms: _Arms) -> Iterator[str]:
    yield from _head("compared_total", "counter", "Answers of a shadow that were held against stable's")
    for labels, arm in arms:
        yield f"{_NAME}compared_total{{{labels}}} {arm.compared}"
    yield from _head("disagreements_total", "counter", "Answers of a shadow with another best class than stable's")
    for labels, arm in arms:
        yield f"{_NAME}disagreements_total{{{labels}}} {arm.differing}"
    yield from _head("shadows_dropped_total", "counter", "Requests that a shadow was not asked about, for want of room")
    for labels, arm in arms:
        yield f"{_NAME}shadows_dropped_total{{{labels}}} {arm.dropped}"


def _labels(key: ArmKey, source: str) -> str:
    return f'release="{_escaped(key.release)}",step="{key.step}",arm="{_escaped(key.arm)}",source="{source}"'


def _escaped(value: str) -> str:
    return value.translate(_ESCAPES)


def _head(name: str, kind: str, text: str) -> tuple[str, str]:
    return f"# HELP {_NAME}{name} {text}", f"# TYPE {_NAME}{name} {kind}"
