"""What an HTTP service counts of its requests; cheap to add to, read when asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from services.shared.telemetry.histogram import Histogram, HistogramSnapshot


class HttpRequests:
    """Counts by route and status, times by route. `route` comes from a fixed set of words, never from a path."""

    __slots__ = ("_counts", "_durations", "in_flight")

    def __init__(self) -> None:
        self.in_flight = 0
        self._counts: dict[tuple[str, int], int] = {}
        self._durations: dict[str, Histogram] = {}

    def observe(self, route: str, status: int, seconds: float) -> None:
        """Adds one ended request; status 499 stands for a client that went away before its answer."""
        key = (route, status)
        self._counts[key] = self._counts.get(key, 0) + 1
        duration = self._durations.get(route)
        if duration is None:
            duration = self._durations[route] = Histogram()
        duration.observe(seconds)

    def observe_all(self, route: str, status: int, seconds: Sequence[float]) -> None:
        """The same for requests that ended together."""
        key = (route, status)
        self._counts[key] = self._counts.get(key, 0) + len(seconds)
        duration = self._durations.get(route)
        if duration is None:
            duration = self._durations[route] = Histogram()
        duration.observe_all(seconds)

    def counts(self) -> Mapping[tuple[str, int], int]:
        return dict(self._counts)

    def durations(self) -> Mapping[str, HistogramSnapshot]:
        return {route: histogram.snapshot() for route, histogram in self._durations.items()}
