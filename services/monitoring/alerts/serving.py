"""Alerts about what answers: the API, the model server, the models and the devices they run on."""

from __future__ import annotations

from services.monitoring.alerts.base import ENGINES, Alert, Group, Scope, Service, Severity
from services.monitoring.alerts.objectives import REQUESTS_RATE

# No model that is served interactively needs half a minute for one run; a device that hangs needs for ever.
SILENT_S = 30


def serving(scope: Scope) -> tuple[Group, ...]:
    return (
        Group("api", _api(scope)),
        Group("models", _models(scope)),
        Group("model-server", _model_server(scope)),
        Group("web", _web(scope)),
    )


def _api(scope: Scope) -> tuple[Alert, ...]:
    api = scope.of(Service.API)
    return (
        Alert(
            "GrayscaleDown",
            f"absent(up{{{api}}} == 1)",
            Severity.CRITICAL,
            "No API process can be scraped",
            "2m",
        ),
        Alert(
            "GrayscaleNearFull",
            f"max(grayscale_admission_requests{{{api}}} / grayscale_admission_requests_limit{{{api}}}) > 0.8\n"
            f"  or max(grayscale_admission_bytes{{{api}}} / grayscale_admission_bytes_limit{{{api}}}) > 0.8",
            Severity.WARNING,
            "An API has four fifths of the requests or bytes in work that it takes: soon it refuses",
            "5m",
        ),
        Alert(
            "GrayscaleRefuses",
            f"sum(rate(grayscale_admission_refused_total{{{api}}}[5m]))\n"
            f"  > on () 0.01 * {REQUESTS_RATE}{scope.recorded}",
            Severity.WARNING,
            "More than 1 % of requests are refused because too much work is waiting",
            "5m",
        ),
    )


def _models(scope: Scope) -> tuple[Alert, ...]:
    engines = scope.of(*ENGINES)
    failures = f"nv_inference_request_failure{{{engines}"
    return (
        Alert(
            "GrayscaleModelFailures",
            f'sum by (model, version) (rate({failures}, reason="BACKEND"}}[5m])) > 0',
            Severity.CRITICAL,
            "{{ $labels.model }} version {{ $labels.version }} or its runtime fails on requests",
            "5m",
        ),
        Alert(
            "GrayscaleModelQueueFull",
            f'sum by (model, version) (rate({failures}, reason="REJECTED"}}[5m]))\n'
            f"  > 0.01 * sum by (model, version) (rate(nv_inference_request_success{{{engines}}}[5m]))",
            Severity.WARNING,
            "More than 1 % of what {{ $labels.model }} version {{ $labels.version }} is asked finds its queue full or "
            "its time up",
            "5m",
        ),
        Alert(
            "GrayscaleDeviceSilent",
            f"max by (model, version) (grayscale_inference_oldest_running_seconds{{{engines}}}) > {SILENT_S}",
            Severity.CRITICAL,
            "A run of {{ $labels.model }} version {{ $labels.version }} has not come back for "
            "{{ $value | humanizeDuration }}: its device does not answer",
            "1m",
        ),
        Alert(
            "GrayscaleVersionUnavailable",
            f'sum(grayscale_model_versions{{{engines}, state="unavailable"}}) > 0',
            Severity.WARNING,
            "A version that is wanted could not be loaded",
            "15m",
        ),
    )


def _model_server(scope: Scope) -> tuple[Alert, ...]:
    return (
        Alert(
            "GrayscaleModelServerDown",
            f"absent(up{{{scope.of(Service.MODEL_SERVER)}}} == 1)",
            Severity.CRITICAL,
            "No model server can be scraped: predictions fail",
            "1m",
        ),
    )


def _web(scope: Scope) -> tuple[Alert, ...]:
    return (
        Alert(
            "GrayscalePagesDown",
            f"absent(up{{{scope.of(Service.WEB)}}} == 1)",
            Severity.WARNING,
            "The pages cannot be scraped: people see nothing, programs notice nothing",
            "5m",
        ),
    )
