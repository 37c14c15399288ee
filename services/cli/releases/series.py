"""What a release's timeline shows, as lines to be drawn. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from services.cli.releases.server import Document
from services.shared.release.routing import SHADOW

# A value of None is a gap in the line: the arm was asked nothing.
Values = tuple[tuple[float, float | None], ...]


@dataclass(frozen=True, slots=True)
class Line:
    """`values` are (seconds since the release began, value), in time's order."""

    name: str
    values: Values


def began_at(state: Document) -> float:
    return unix_seconds(state["created_at"])


def drawn_arms(state: Document, points: Sequence[Document]) -> list[str]:
    """Stable, the plan's arms, and the shadow where requests were mirrored: a name has its place, and so its colour, in
    every chart."""
    arms = [arm["arm"] for arm in state["arms"]]
    return [*arms, SHADOW] if any(SHADOW in point["arms"] for point in points) else arms


def weight_lines(state: Document, points: Sequence[Document]) -> list[Line]:
    """In percent of the keys."""

    def weight(arm: str, point: Document) -> float | None:
        weight: float | None = point["weights"].get(arm)
        return weight

    return _lines(state, points, weight)


def error_lines(state: Document, points: Sequence[Document]) -> list[Line]:
    """In percent of what was asked between two points."""

    def rate(arm: str, point: Document) -> float | None:
        seen = point["arms"].get(arm)
        return 100.0 * seen["errors"] / seen["requests"] if seen and seen["requests"] else None

    return _lines(state, points, rate)


def latency_lines(state: Document, points: Sequence[Document], quantile: str = "p95_ms") -> list[Line]:
    """In milliseconds."""

    def latency(arm: str, point: Document) -> float | None:
        seen = point["arms"].get(arm)
        return seen[quantile] if seen else None

    return _lines(state, points, latency)


def unix_seconds(text: str) -> float:
    """Of a time of the API (RFC 3339, UTC)."""
    return datetime.fromisoformat(text).timestamp()


def joined(points: Sequence[Document], most: int) -> list[Document]:
    """At most so many points: neighbours become one, with the sums of their counts and the largest of their latencies,
    where the last of them stands."""
    size = -(-len(points) // most) or 1
    return [_one_of(points[start : start + size]) for start in range(0, len(points), size)]


def _one_of(points: Sequence[Document]) -> Document:
    if len(points) == 1:
        return points[0]
    arms: dict[str, Document] = {}
    for point in points:
        for name, seen in point["arms"].items():
            arms[name] = _together(arms[name], seen) if name in arms else seen
    return {**points[-1], "arms": arms}


def _together(one: Document, other: Document) -> Document:
    counts = {name: one[name] + other[name] for name in ("requests", "errors")}
    times = {name: _larger(one[name], other[name]) for name in ("p50_ms", "p95_ms", "p99_ms")}
    return {**counts, **times}


def _larger(one: float | None, other: float | None) -> float | None:
    known = [value for value in (one, other) if value is not None]
    return max(known) if known else None


def _lines(state: Document, points: Sequence[Document], value: Callable[[str, Document], float | None]) -> list[Line]:
    """One for each arm that is drawn."""
    began, arms = began_at(state), drawn_arms(state, points)
    return [Line(arm, tuple((unix_seconds(p["at"]) - began, value(arm, p)) for p in points)) for arm in arms]
