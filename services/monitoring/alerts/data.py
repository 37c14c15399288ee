"""Alerts about what the models are shown."""

from __future__ import annotations

from services.monitoring.alerts.base import Alert, Group, Scope, Service, Severity


def data(scope: Scope) -> tuple[Group, ...]:
    api = scope.of(Service.API)
    drift = Alert(
        "GrayscaleDataDrift",
        f"max by (model, version, feature) (grayscale_drift_score{{{api}}}) > "
        f"max by (model, version, feature) (grayscale_drift_threshold{{{api}}})",
        Severity.WARNING,
        "The pictures that {{ $labels.model }} version {{ $labels.version }} is shown are not like those it was "
        "measured on: {{ $labels.feature }} has moved",
        "30m",
    )
    return (Group("data", (drift,)),)
