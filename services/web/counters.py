"""What the pages' server counts, and how `/metrics` shows it."""

from __future__ import annotations

import os
from collections import Counter

from services.shared.telemetry.exposition import exposed, told, told_alone, told_histogram
from services.shared.telemetry.family import Label, counter, gauge, histogram
from services.shared.telemetry.histogram import Histogram
from services.shared.telemetry.process_metrics import render_processes

ROUTES = ("page", "api", "other")
FAILURES = ("away", "silent", "broken", "invalid", "slow_body", "too_large")
_ROUTE = Label("route", ROUTES)
_REQUESTS = counter(
    "grayscale_web_requests_total", "Requests to the pages' server; 499: the client went away", "requests", _ROUTE,
    Label("code", "the statuses that were answered"),
)  # fmt: skip
_SECONDS = histogram(
    "grayscale_web_request_duration_seconds", "From a request's headers to the end of its answer", "seconds", _ROUTE
)
_FAILURES = counter(
    "grayscale_web_forward_failures_total", "Requests for the API that this server had to answer itself", "requests",
    Label("reason", FAILURES),
)  # fmt: skip
_IN_FLIGHT = gauge("grayscale_web_requests_in_flight", "Requests that are being answered", "requests")
FAMILIES = (_REQUESTS, _SECONDS, _FAILURES, _IN_FLIGHT)


class WebCounters:
    """Belongs to one event loop."""

    def __init__(self) -> None:
        self.in_flight = 0
        self.failures: Counter[str] = Counter()
        self._requests: Counter[tuple[str, int]] = Counter()
        self._seconds = {route: Histogram() for route in ROUTES}

    def ended(self, route: str, status: int, seconds: float) -> None:
        self._requests[route, status] += 1
        self._seconds[route].observe(seconds)

    def render(self) -> bytes:
        """Prometheus' text format."""
        return exposed(
            told(_REQUESTS, [((route, str(status)), n) for (route, status), n in sorted(self._requests.items())]),
            told_histogram(_SECONDS, [((route,), each.snapshot()) for route, each in self._seconds.items()]),
            told(_FAILURES, [((reason,), self.failures[reason]) for reason in FAILURES]),
            told_alone(_IN_FLIGHT, self.in_flight),
        ) + render_processes([os.getpid()])
