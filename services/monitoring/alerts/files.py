"""The files of rules, for the Compose file and for the chart."""

from __future__ import annotations

from pathlib import Path

from services.monitoring.alerts.base import Alert, Group, Record, Scope, Service
from services.monitoring.alerts.data import data
from services.monitoring.alerts.machine import machine
from services.monitoring.alerts.objectives import objectives
from services.monitoring.alerts.rules_yaml import rules_yaml
from services.monitoring.alerts.scopes import ChartScope, ComposeScope
from services.monitoring.alerts.serving import serving
from services.monitoring.alerts.work import work

COMPOSE, CHART = Path("docker/prometheus-rules.yml"), Path("k8s/files/rules.yaml")
RUNBOOKS = "docs/runbooks.md"
_MADE = "# Made by `python -m services.monitoring` from services/monitoring/alerts: change it there.\n"
_OF_CHART = """\
# The words in capitals are filled in by templates/monitoring.yaml: the release's namespace and full name, objectives of
# values.yaml (AVAILABILITY and LATENCY_PERCENT in percent, LATENCY_SECONDS), RUNBOOKS: where docs/runbooks.md is.
"""


def groups(scope: Scope) -> tuple[Group, ...]:
    """All that is the same everywhere."""
    return (*objectives(scope), *serving(scope), *work(scope), *machine(scope), *data(scope))


def alerts() -> tuple[Alert, ...]:
    """As the Compose file's Prometheus has them."""
    return tuple(rule for group in groups(ComposeScope()) for rule in group.rules if isinstance(rule, Alert))


def files() -> dict[Path, str]:
    """Text by path, from the repository's root."""
    compose, chart = ComposeScope(), ChartScope()
    return {
        COMPOSE: _MADE + rules_yaml(groups(compose), prefix="grayscale", runbooks=RUNBOOKS, labels=compose.labels),
        CHART: _MADE
        + _OF_CHART
        + rules_yaml((_scaling(chart), *groups(chart)), prefix="RELEASE", runbooks="RUNBOOKS", labels=chart.labels),
    }


def _scaling(scope: Scope) -> Group:
    """How long requests waited for their batch, by pod: what model servers are scaled by."""
    served = scope.of(Service.MODEL_SERVER)
    expr = (
        f"sum by (namespace, pod) (rate(nv_inference_queue_duration_us{{{served}}}[1m]))\n"
        f"  / 1e6 / clamp_min(sum by (namespace, pod) (rate(nv_inference_request_success{{{served}}}[1m])), 0.001)"
    )
    return Group("scaling", (Record("grayscale_model_server_queue_seconds", expr, labelled=False),))
