"""What an HTTP service counts of its requests; cheap to add to, read when asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from services.shared.telemetry.histogram import Histogram, HistogramSnapshot


class HttpRequests:
    """Counts by route, status and model, times by route and model, and how long pictures took to be decoded by model.

    `route` comes from a fixed set of words, never from a path; `model` is one that the service knows, or empty.
    """

    __slots__ = ("_counts", "_decodes", "_durations", "in_flight")

    def __init__(self) -> None:
        self.in_flight = 0
        self._counts: dict[tuple[str, int, str], int] = {}
        self._durations: dict[tuple[str, str], Histogram] = {}
        self._decodes: dict[str, Histogram] = {}

    def observe(self, route: str, status: int, seconds: float, model: str = "") -> None:
        """Adds one ended request; status 499 stands for a client that went away before its answer."""
        key = (route, status, model)
        self._counts[key] = self._counts.get(key, 0) + 1
        duration = self._durations.get((route, model))
        if duration is None:
            duration = self._durations[route, model] = Histogram()
        duration.observe(seconds)

    def observe_all(self, route: str, status: int, seconds: Sequence[float], model: str = "") -> None:
        """The same for requests that ended together."""
        key = (route, status, model)
        self._counts[key] = self._counts.get(key, 0) + len(seconds)
        duration = self._durations.get((route, model))
        if duration is None:
            duration = self._durations[route, model] = Histogram()
        duration.observe_all(seconds)

    def decoded(self, model: str, seconds: Sequence[float]) -> None:
        """Adds answered predictions, by how long their pictures took."""
        decode = self._decodes.get(model)
        if decode is None:
            decode = self._decodes[model] = Histogram()
        decode.observe_all(seconds)

    def counts(self) -> Mapping[tuple[str, int, str], int]:
        return dict(self._counts)

    def durations(self) -> Mapping[tuple[str, str], HistogramSnapshot]:
        return {key: histogram.snapshot() for key, histogram in self._durations.items()}

    def decodes(self) -> Mapping[str, HistogramSnapshot]:
        return {model: histogram.snapshot() for model, histogram in self._decodes.items()}
