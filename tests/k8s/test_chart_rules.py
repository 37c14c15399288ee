"""The alerts and the recording rules are about this release, and about numbers that its services really give."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from services.api.predict import ROUTE
from services.monitoring.alerts.base import Service
from tests.support.helm_charts import NAME, NAMESPACE, Manifest, named, of_kind, render, rendered, values_of
from tests.support.promql import FOREIGN, SERVICES, complaints, selectors

FILLED_IN = ("RELEASE", "NAMESPACE", "AVAILABILITY", "LATENCY", "RUNBOOKS")


def rules(manifests: list[Manifest]) -> Iterator[dict[str, Any]]:
    (found,) = of_kind(manifests, "PrometheusRule")
    for group in found["spec"]["groups"]:
        yield from group["rules"]


def expressions(manifests: list[Manifest]) -> Iterator[tuple[str, str]]:
    for rule in rules(manifests):
        yield rule.get("alert") or rule["record"], rule["expr"]
    yield "keda", named(manifests, "ScaledObject", "worker")["spec"]["triggers"][0]["metadata"]["query"]


def told_by(matchers: str) -> tuple[str, ...]:
    """The services whose series these matchers choose."""
    [pattern] = re.findall(r'service=~?"([^"]*)"', matchers) or [".*"]
    return tuple(
        service.replace("-", "_") for service in map(str, Service) if re.fullmatch(pattern, f"{NAME}-{service}")
    )


def test_rules_speak_of_numbers_and_labels_that_these_services_tell() -> None:
    manifests = rendered("many")
    recorded = frozenset(rule["record"] for rule in rules(manifests) if "record" in rule)
    seen = set()
    for rule, expression in expressions(manifests):
        for name, _, matchers in selectors(expression):
            seen.add(name)
            for service in told_by(matchers) if name not in FOREIGN else ():
                assert service in SERVICES
            assert complaints(f"{name}{{{matchers}}}", told_by(matchers), recorded) == [], rule
    assert len(seen) >= 30


def test_rules_are_about_this_release_alone() -> None:
    manifests = rendered("many")
    services = {m["metadata"]["name"] for m in of_kind(manifests, "Service")}
    for rule, expression in expressions(manifests):
        assert not any(word in expression for word in FILLED_IN), rule
        for name, _, matchers in selectors(expression):
            assert f'namespace="{NAMESPACE}"' in matchers, (rule, name)
            assert "service=" in matchers or f'app="{NAME}"' in matchers, (rule, name)
        for service in re.findall(r'service="([^"]*)"', expression):
            assert service in services


def test_recorded_series_say_whose_they_are() -> None:
    for rule in rules(rendered("many")):
        if rule.get("record", "").startswith("api:"):
            assert rule["labels"] == {"namespace": NAMESPACE, "app": NAME}


def test_objectives_are_values() -> None:
    found = list(expressions(rendered("many")))
    burns = [expression for rule, expression in found if rule == "GrayscaleErrorBudgetBurns"]
    assert len(burns) == 4
    assert all("(1 - 99.95 / 100)" in expression for expression in burns)
    assert 'le="0.5"' in dict(found)["api:grayscale_slow:rate5m"]
    assert "(1 - 99 / 100)" in dict(found)["GrayscaleLatencyBudgetBurns"]


def test_a_whole_number_of_seconds_is_the_bound_that_the_histogram_has() -> None:
    values = values_of("many")
    values["monitoring"]["prometheusRule"] = {"enabled": True}
    assert 'le="1.0"' in dict(expressions(render(values)))["api:grayscale_slow:rate5m"]


def test_runbooks_are_where_the_value_says() -> None:
    values = values_of("many")
    values["monitoring"]["prometheusRule"]["runbooks"] = "https://wiki.example.com/grayscale"
    links = {rule["annotations"]["runbook_url"] for rule in rules(render(values)) if "alert" in rule}
    assert "https://wiki.example.com/grayscale#grayscaledown" in links
    assert all(link.startswith("https://wiki.example.com/grayscale#grayscale") for link in links)


def test_nobody_is_called_for_what_is_not_there() -> None:
    off = {"enabled": False}
    values: dict[str, Any] = {"worker": off, "controller": off, "web": off, "modelServer": {"kind": "embedded"}}
    values["monitoring"] = {"prometheusRule": {"enabled": True}}
    without = {rule["alert"] for rule in rules(render(values)) if "alert" in rule}
    everything = {rule["alert"] for rule in rules(rendered("many")) if "alert" in rule}
    gone = everything - without
    assert gone >= {"GrayscaleModelServerDown", "GrayscaleWorkerDown", "GrayscaleNoController", "GrayscalePagesDown"}
    assert {"GrayscaleDown", "GrayscaleStoreAway", "GrayscaleDiskFull"} <= without


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

    assert complaints(f'{number}{{service="x"}}', ("api",)) == []
    assert number in {m["pods"]["metric"]["name"] for m in metrics if m["type"] == "Pods"}


def test_the_route_of_the_latency_objective_is_the_hot_one() -> None:
    (pattern,) = re.findall(
        r'route=~"([^"]*)"', dict(expressions(rendered("many")))["api:grayscale_predictions:rate5m"]
    )

    assert re.fullmatch(pattern, ROUTE)
