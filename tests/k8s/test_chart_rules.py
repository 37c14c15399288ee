"""The alerts and the recording rule speak of numbers that the services really give."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from services.api.predict import ROUTE
from services.controller import counters as controller_counters
from services.controller.counters import ControllerCounters
from services.shared.jobs.job import TOTALS, QueueDepth, StoreStats
from services.shared.model_ref import ModelRef
from services.shared.priority import Priority
from services.shared.telemetry.base import FailureReason, ModelMetrics, Stage
from services.shared.telemetry.histogram import BATCH_SIZE_BOUNDS, Histogram
from services.shared.telemetry.http_requests import HttpRequests
from services.shared.telemetry.job_metrics import render_jobs
from services.shared.telemetry.prometheus import render, render_http
from tests.support.helm_charts import NAME, NAMESPACE, named, of_kind, rendered

# Prometheus' own.
ITS_OWN = {"up"}
LABELS_OF_SCRAPES = {"namespace", "pod", "service"}
_SELECTOR = re.compile(r"([a-z_]\w*)\{([^}]*)\}")


def exposition() -> str:
    """What the API, a model server and a controller tell."""
    ref, requests = ModelRef("pets", 1), HttpRequests()
    requests.observe(ROUTE, 200, 0.1)
    model = ModelMetrics(
        ref,
        durations={stage: Histogram().snapshot() for stage in Stage},
        batch_size=Histogram(BATCH_SIZE_BOUNDS).snapshot(),
        pending=0,
        successes=1,
        failures=dict.fromkeys(FailureReason, 0),
        inference_count=1,
        execution_count=1,
    )
    depths = tuple(QueueDepth(priority, 0, 0, 0.0) for priority in Priority)
    jobs = StoreStats(depths, active_jobs=0, running=0, delayed=0, dead=0, totals=dict.fromkeys(TOTALS, 0))
    leading = controller_counters.render(ControllerCounters(), leads=True)
    return b"".join([render({ref: model}), render_http(requests), render_jobs(jobs), leading]).decode()


def series() -> dict[str, set[str]]:
    """Each name with its labels."""
    found: dict[str, set[str]] = {}
    for line in exposition().splitlines():
        if line and not line.startswith("#"):
            name, _, labels = line.rpartition(" ")[0].partition("{")
            found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    return found


def expressions(manifests: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    (rules,) = of_kind(manifests, "PrometheusRule")
    for group in rules["spec"]["groups"]:
        for rule in group["rules"]:
            yield rule.get("alert") or rule["record"], rule["expr"]
    yield "keda", named(manifests, "ScaledObject", "worker")["spec"]["triggers"][0]["metadata"]["query"]


def test_rules_speak_of_numbers_and_labels_that_are_there() -> None:
    there = series()
    seen = set()
    for rule, expression in expressions(rendered("many")):
        for name, labels in _SELECTOR.findall(expression):
            seen.add(name)
            assert name in there or name in ITS_OWN, (rule, name)
            assert set(re.findall(r"(\w+)(?:=~|!~|!=|=)", labels)) <= there.get(name, set()) | LABELS_OF_SCRAPES, rule
    assert len(seen) >= 9


def test_rules_are_about_this_release_alone() -> None:
    manifests = rendered("many")
    services = {m["metadata"]["name"] for m in of_kind(manifests, "Service")}
    for rule, expression in expressions(manifests):
        assert "RELEASE" not in expression
        assert "NAMESPACE" not in expression
        for name, labels in _SELECTOR.findall(expression):
            assert f'namespace="{NAMESPACE}"' in labels, (rule, name)
        for service in re.findall(r'service="([^"]*)"', expression):
            assert service in services


def test_parentheses_and_quotes_are_closed() -> None:
    for rule, expression in expressions(rendered("many")):
        for opening, closing in ("()", "{}", "[]"):
            assert expression.count(opening) == expression.count(closing), rule
        assert expression.count('"') % 2 == 0, rule


def test_the_queue_time_is_recorded_under_the_name_that_scales() -> None:
    manifests = rendered("many")
    (metric,) = named(manifests, "HorizontalPodAutoscaler", "model-server")["spec"]["metrics"]

    assert metric["pods"]["metric"]["name"] in dict(expressions(manifests))


@pytest.mark.parametrize("number", ["grayscale_http_requests_in_flight"])
def test_other_scaling_metrics_are_exposed_as_they_are(number: str) -> None:
    metrics = named(rendered("many"), "HorizontalPodAutoscaler", "api")["spec"]["metrics"]

    assert number in series()
    assert number in {m["pods"]["metric"]["name"] for m in metrics if m["type"] == "Pods"}


def test_the_route_of_the_slow_alert_is_the_hot_one() -> None:
    expression = dict(expressions(rendered("many")))["GrayscaleSlowPredictions"]
    (pattern,) = re.findall(r'route=~"([^"]*)"', expression)

    assert re.fullmatch(pattern, ROUTE)
    assert NAME in expression
