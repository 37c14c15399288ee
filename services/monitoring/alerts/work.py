"""Alerts about what goes on behind the answers: jobs, and releases with their controller."""

from __future__ import annotations

from services.monitoring.alerts.base import Alert, Group, Scope, Service, Severity

LONG_WAIT_S = 3600
# A look is made every second; one that is so old says that the leader stands.
OLD_LOOK_S = 30


def work(scope: Scope) -> tuple[Group, ...]:
    return Group("jobs", _jobs(scope)), Group("worker", _worker(scope)), Group("controller", _controller(scope))


def _jobs(scope: Scope) -> tuple[Alert, ...]:
    """Every API tells the job store's numbers, which are the whole deployment's: max, never sum."""
    api = scope.of(Service.API)
    return (
        Alert(
            "GrayscaleDeadLetters",
            f"max(grayscale_jobs_dead_letters{{{api}}}) > 0",
            Severity.WARNING,
            "{{ $value }} images of jobs were given up",
            "15m",
        ),
        Alert(
            "GrayscaleJobsWait",
            f"max by (priority) (grayscale_jobs_oldest_waiting_seconds{{{api}}}) > {LONG_WAIT_S}",
            Severity.WARNING,
            "A job of {{ $labels.priority }} priority has waited for more than an hour",
            "5m",
        ),
        Alert(
            "GrayscaleWebhooksGivenUp",
            f'max(increase(grayscale_jobs_webhooks_total{{{api}, outcome="given_up"}}[1h])) > 0',
            Severity.WARNING,
            "A webhook was given up: its receiver did not take it in all attempts",
        ),
    )


def _worker(scope: Scope) -> tuple[Alert, ...]:
    return (
        Alert(
            "GrayscaleWorkerDown",
            f"absent(up{{{scope.of(Service.WORKER)}}} == 1)",
            Severity.WARNING,
            "No worker can be scraped: jobs wait",
            "5m",
        ),
        Alert(
            "GrayscaleWorkersDie",
            f'max(increase(grayscale_jobs_chunks_total{{{scope.of(Service.API)}, event="lapsed"}}[30m])) > 3',
            Severity.WARNING,
            "Workers died, or stood still, with work in their hands, more than three times in half an hour",
        ),
    )


def _controller(scope: Scope) -> tuple[Alert, ...]:
    controller = scope.of(Service.CONTROLLER)
    return (
        Alert(
            "GrayscaleNoController",
            f"absent(grayscale_controller_leading{{{controller}}} == 1\n"
            f"  and time() - grayscale_controller_last_look_timestamp_seconds{{{controller}}} < {OLD_LOOK_S})",
            Severity.WARNING,
            "No controller leads and looks: releases stand still, and nothing is rolled back",
            "1m",
        ),
        Alert(
            "GrayscaleControllerErrors",
            f"sum(rate(grayscale_controller_errors_total{{{controller}}}[5m])) > 0",
            Severity.WARNING,
            "The controller fails to look at a release",
            "5m",
        ),
        Alert(
            "GrayscaleRollback",
            f"sum(increase(grayscale_controller_rollbacks_total{{{controller}}}[10m])) > 0",
            Severity.INFO,
            "A release was taken back; its report says why",
        ),
        Alert(
            "GrayscaleReleaseWaits",
            f'sum(grayscale_controller_releases{{{controller}, phase="paused"}}) > 0',
            Severity.INFO,
            "A release waits for a person",
            "1h",
        ),
    )
