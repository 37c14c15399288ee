"""What one API process counts, in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Callable

from services.api.admission import Admission
from services.shared.router import Router
from services.shared.telemetry.explanation_counts import ExplanationCounts
from services.shared.telemetry.http_requests import HttpRequests
from services.shared.tracing.base import SpanSink
from services.shared.wiring import Serving

SOURCE = "live"  # how evidence about a release is labelled that comes from here


def own_metrics(
    serving: Serving,
    requests: HttpRequests,
    router: Router,
    explanations: ExplanationCounts,
    admission: Admission,
    spans: SpanSink | None = None,
) -> Callable[[], bytes]:
    """What renders them. No first prediction needs what it imports."""

    def rendered() -> bytes:
        from services.api.admission_metrics import render_admission
        from services.shared.telemetry.explanation_metrics import render_explanations
        from services.shared.telemetry.prometheus import render, render_decodes, render_http
        from services.shared.telemetry.release_metrics import render_releases
        from services.shared.telemetry.span_metrics import render_spans

        releases = render_releases(router.counters.snapshot(), SOURCE)
        models = render(serving.metrics(), serving.version_states())
        predictions = render_http(requests) + render_decodes(requests) + render_admission(admission)
        return models + predictions + releases + render_explanations(explanations) + render_spans(spans)

    return rendered
