"""What one API process counts, in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Callable

from services.shared.router import Router
from services.shared.telemetry.http_requests import HttpRequests
from services.shared.wiring import Serving

SOURCE = "live"  # how evidence about a release is labelled that comes from here


def own_metrics(serving: Serving, requests: HttpRequests, router: Router) -> Callable[[], bytes]:
    """What renders them. No first prediction needs what it imports."""

    def rendered() -> bytes:
        from services.shared.telemetry.prometheus import render, render_http
        from services.shared.telemetry.release_metrics import render_releases

        releases = render_releases(router.counters.snapshot(), SOURCE)
        return render(serving.metrics()) + render_http(requests) + releases

    return rendered
