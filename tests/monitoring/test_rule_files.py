"""The files of rules: as their source makes them, understood by Prometheus, and explained in the runbooks."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from services.monitoring.alerts.base import Severity
from services.monitoring.alerts.files import CHART, COMPOSE, RUNBOOKS, alerts, files
from services.monitoring.alerts.objectives import BURNS
from services.monitoring.alerts.scopes import ComposeScope
from services.shared.telemetry.histogram import DURATION_BOUNDS_S
from tests.support.helm_charts import of_kind, rendered
from tests.support.promtool import promtool
from tests.support.stack import ROOT

PARTS = ("**Means.**", "**Look.**", "**Do.**")


@pytest.mark.parametrize("path", [COMPOSE, CHART], ids=str)
def test_the_committed_file_is_what_its_source_makes(path: Path) -> None:
    assert (ROOT / path).read_text() == files()[path], "run: python -m services.monitoring"


def test_promtool_takes_the_file_of_compose_and_what_the_chart_renders(tmp_path: Path) -> None:
    (rules,) = of_kind(rendered("many"), "PrometheusRule")
    chart = tmp_path / "chart.json"
    chart.write_text(json.dumps(rules["spec"]))
    promtool("check", "rules", ROOT / COMPOSE, chart)


def test_prometheus_of_compose_reads_the_rules() -> None:
    prometheus = yaml.safe_load((ROOT / "docker/prometheus.yml").read_text())
    volumes = yaml.safe_load((ROOT / "docker/compose.yaml").read_text())["services"]["prometheus"]["volumes"]
    [read] = prometheus["rule_files"]
    assert f"./{COMPOSE.name}:{read}:ro" in volumes


def test_an_alert_is_about_the_same_in_the_chart_and_in_compose() -> None:
    def names(path: Path) -> list[tuple[str, str]]:
        groups = yaml.safe_load((ROOT / path).read_text())["groups"]
        return [(rule["alert"], rule["labels"]["severity"]) for g in groups for rule in g["rules"] if "alert" in rule]

    assert names(CHART) == names(COMPOSE) == [(alert.name, str(alert.severity)) for alert in alerts()]


def test_every_alert_has_its_section_in_the_runbooks_and_every_section_its_alert() -> None:
    sections = dict(re.findall(r"^## (Grayscale\w+)\n(.*?)(?=^## |\Z)", (ROOT / RUNBOOKS).read_text(), re.S | re.M))
    assert sections.keys() == {alert.name for alert in alerts()}
    for name, text in sections.items():
        assert all(part in text for part in PARTS), name
        assert "`" in text, f"{name}: no command, no name of a metric"


def test_links_into_the_runbooks_lead_somewhere() -> None:
    anchors = {heading.lower() for heading in re.findall(r"^## (\w+)$", (ROOT / RUNBOOKS).read_text(), re.M)}
    for group in yaml.safe_load((ROOT / COMPOSE).read_text())["groups"]:
        for rule in group["rules"]:
            if "alert" in rule:
                page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
                assert (page, anchor in anchors) == (RUNBOOKS, True)


def test_what_is_fast_is_a_bound_of_the_histogram() -> None:
    assert float(ComposeScope().latency_s) in DURATION_BOUNDS_S
    assert ComposeScope().latency_s == repr(float(ComposeScope().latency_s))


def test_burns_are_those_of_the_workbook() -> None:
    """Whoever is paged has lost 2 % or 5 % of the budget of 30 days; a ticket comes at 10 %."""
    hours = {"1h": 1, "6h": 6, "1d": 24, "3d": 72}
    spent = [(burn.severity, round(100 * burn.factor * hours[burn.long] / 720, 6)) for burn in BURNS]
    page, ticket = Severity.CRITICAL, Severity.WARNING
    assert spent == [(page, 2.0), (page, 5.0), (ticket, 10.0), (ticket, 10.0)]
