"""Objectives of availability and latency, and alerts on how fast their error budgets burn.

Beyer et al., The Site Reliability Workbook (2018), chapter 5, "Alerting on SLOs", table 5-8: a rate that would use up
the budget of 30 days in two days is looked at over an hour, one that just uses it up over three days; a second window
of a twelfth of the length ends the alert soon after its cause.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from services.monitoring.alerts.base import PREDICTIONS, PROMISED, Alert, Group, Record, Scope, Service, Severity

SHORTEST, *LONGER = "5m", "30m", "1h", "2h", "6h", "1d", "3d"


@dataclass(frozen=True, slots=True)
class Burn:
    """An alert when the budget burns `factor` times as fast as it may, over both windows."""

    factor: float
    long: str
    short: str
    waits: str
    severity: Severity


BURNS = (
    Burn(14.4, "1h", "5m", "2m", Severity.CRITICAL),
    Burn(6, "6h", "30m", "15m", Severity.CRITICAL),
    Burn(3, "1d", "2h", "1h", Severity.WARNING),
    Burn(1, "3d", "6h", "3h", Severity.WARNING),
)
ERRORS, SLOW = "api:grayscale_errors", "api:grayscale_slow"
REQUESTS_RATE = f"api:grayscale_requests:rate{SHORTEST}"
_REQUESTS, _PREDICTIONS = "api:grayscale_requests", "api:grayscale_predictions"


def objectives(scope: Scope) -> tuple[Group, ...]:
    return (
        Group("objectives", tuple(_records(scope))),
        Group(
            "burn-rates",
            (
                *_burns(scope, ERRORS, scope.availability, "GrayscaleErrorBudgetBurns", "Requests are failed"),
                *_burns(scope, SLOW, scope.latency, "GrayscaleLatencyBudgetBurns", "Predictions are slow"),
            ),
        ),
    )


def _records(scope: Scope) -> Iterator[Record]:
    api = scope.of(Service.API)
    requests, predictions = f"{api}, {PROMISED}", f"{api}, {PREDICTIONS}"
    duration = "grayscale_http_request_duration_seconds"
    rate = f"rate{SHORTEST}"
    yield Record(f"{_REQUESTS}:{rate}", f"sum(rate(grayscale_http_requests_total{{{requests}}}[5m]))")
    yield Record(
        f"{ERRORS}:{rate}",
        f'sum(rate(grayscale_http_requests_total{{{requests}, code=~"5.."}}[5m]))\n'
        f"  or on () 0 * {_REQUESTS}:{rate}{scope.recorded}",
    )
    yield Record(f"{_PREDICTIONS}:{rate}", f"sum(rate({duration}_count{{{predictions}}}[5m]))")
    yield Record(
        f"{SLOW}:{rate}",
        f"{_PREDICTIONS}:{rate}{scope.recorded}\n"
        f'  - on () sum(rate({duration}_bucket{{{predictions}, le="{scope.latency_s}"}}[5m]))',
    )
    # Longer windows average what was just recorded: three days of every API series would be read anew each time.
    for part, whole in ((ERRORS, _REQUESTS), (SLOW, _PREDICTIONS)):
        yield Record(f"{part}:ratio_{rate}", f"{part}:{rate}{scope.recorded} / {whole}:{rate}{scope.recorded}")
        for window in LONGER:
            yield Record(
                f"{part}:ratio_rate{window}",
                f"avg_over_time({part}:{rate}{scope.recorded}[{window}])\n"
                f"  / avg_over_time({whole}:{rate}{scope.recorded}[{window}])",
            )
    yield Record(f"{ERRORS}:budget", f"vector(1 - {scope.availability} / 100)")
    yield Record(f"{SLOW}:budget", f"vector(1 - {scope.latency} / 100)")


def _burns(scope: Scope, part: str, objective: str, name: str, what: str) -> Iterator[Alert]:
    for burn in BURNS:
        limit = f"{burn.factor:g} * (1 - {objective} / 100)"
        yield Alert(
            name,
            f"{part}:ratio_rate{burn.long}{scope.recorded} > {limit}\n"
            f"  and {part}:ratio_rate{burn.short}{scope.recorded} > {limit}",
            burn.severity,
            f"{what} {burn.factor:g} times as often as the objective allows, for {burn.long}",
            burn.waits,
            {"window": burn.long},
        )
