"""What a scenario promises, and which of it was missed. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

REFUSED = ", refused"  # what a name ends in for answers with 429 or 503 and Retry-After


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured under a name: `failures` are among the `requests`; times in milliseconds."""

    requests: int
    failures: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    per_second: float


@dataclass(frozen=True, slots=True)
class Limit:
    """Of one name: at least so many requests, at most this share of them failed, and the slowest of a hundred within
    this time (None: whatever it takes). `max_refused` is the share of requests that may be answered with a request to
    come later."""

    name: str
    p99_ms: float | None = None
    max_failed: float = 0.0
    max_refused: float = 0.0
    min_requests: int = 1


def missed(limits: Sequence[Limit], figures: Mapping[str, Figures], may_fail: str | None = None) -> list[str]:
    """A sentence for each promise that was not kept. A name that has no limit must not fail, unless it begins with
    `may_fail`."""
    said = [sentence for limit in limits for sentence in _missed(limit, figures)]
    limited = {limit.name for limit in limits} | {limit.name + REFUSED for limit in limits}
    for name, found in sorted(figures.items()):
        free = may_fail is not None and name.startswith(may_fail)
        if name not in limited and not free and found.failures:
            said.append(f"{name}: {found.failures} of {found.requests} failed")
    return said


def _missed(limit: Limit, figures: Mapping[str, Figures]) -> list[str]:
    found, refused = figures.get(limit.name), figures.get(limit.name + REFUSED)
    answered, turned_away = found.requests if found else 0, refused.requests if refused else 0
    said = []
    if answered < limit.min_requests:
        said.append(f"{limit.name}: {answered} requests, and at least {limit.min_requests} were due")
    if found and found.failures > limit.max_failed * answered:
        said.append(f"{limit.name}: {found.failures} of {answered} failed, at most {limit.max_failed:.1%} may")
    if turned_away > limit.max_refused * (answered + turned_away):
        said.append(
            f"{limit.name}: {turned_away} of {answered + turned_away} were refused, at most {limit.max_refused:.1%} may"
        )
    if found and limit.p99_ms is not None and found.p99_ms > limit.p99_ms:
        said.append(f"{limit.name}: the slowest of 100 took {found.p99_ms:.0f} ms, {limit.p99_ms:.0f} are allowed")
    return said
