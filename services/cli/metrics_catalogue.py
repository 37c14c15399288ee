"""Every metric of every service, from where it is declared, and docs/metrics.md, which is made of that.

`python -m services.cli.metrics_catalogue --write` writes the file; without `--write` it is printed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.api import admission_metrics
from services.controller import counters as controller_counters
from services.model_server import calls
from services.shared.telemetry import (
    drift_metrics,
    explanation_metrics,
    host_metrics,
    job_metrics,
    process_metrics,
    prometheus,
    release_metrics,
    span_metrics,
)
from services.shared.telemetry.family import Family, Label
from services.web import counters as web_counters
from services.worker import work_counters

PAGE = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"
API, MODEL_SERVER, WORKER, CONTROLLER, WEB = "api", "model_server", "worker", "controller", "web"
ENGINES = (API, MODEL_SERVER, WORKER)


@dataclass(frozen=True, slots=True)
class Group:
    """Families that belong together, and the services that tell them."""

    title: str
    services: tuple[str, ...]
    families: tuple[Family, ...]
    note: str = ""


GROUPS = (
    Group(
        "Requests over HTTP", (API, MODEL_SERVER), prometheus.HTTP_FAMILIES,
        "A request that was refused before its model was looked up (no key, no place) has an empty `model`.",
    ),
    Group("Predictions", (API,), prometheus.PREDICT_FAMILIES),
    Group("Places for inferences", (API,), admission_metrics.FAMILIES),
    Group("Calls over gRPC", (MODEL_SERVER,), calls.FAMILIES),
    Group(
        "Models", ENGINES, prometheus.MODEL_FAMILIES,
        "Of the models that run in the service's own processes: with a model server the API and the worker have none. "
        "Names that begin with `nv_` are Triton's, in its units.",
    ),
    Group("Arms of releases", (API, WORKER), release_metrics.FAMILIES),
    Group("The controller and its releases", (CONTROLLER,), controller_counters.FAMILIES),
    Group(
        "Jobs", (API,), job_metrics.FAMILIES,
        "The whole deployment's numbers, whichever API is asked: look at them with `max`, never with `sum`. They are "
        "there while the store of jobs answers.",
    ),
    Group("Work on jobs", (WORKER,), work_counters.FAMILIES),
    Group("Explanations", (API,), explanation_metrics.FAMILIES),
    Group(
        "Data drift", (API,), drift_metrics.FAMILIES,
        "Of all API processes of a host, whichever is asked: look at them with `max`, never with `sum`.",
    ),
    Group("Tracing", ENGINES, span_metrics.FAMILIES),
    Group("Pages", (WEB,), web_counters.FAMILIES),
    Group(
        "Processes", (*ENGINES, CONTROLLER, WEB), process_metrics.FAMILIES,
        "The API and the worker tell of each of their processes, and of the parent that starts them.",
    ),
    Group("Room for data", (*ENGINES, CONTROLLER), host_metrics.DATA_FAMILIES),
    Group("Certificate", (API, MODEL_SERVER, WEB), host_metrics.TLS_FAMILIES),
    Group("Store", (API, CONTROLLER), host_metrics.STORE_FAMILIES),
)  # fmt: skip

_INTRODUCTION = """# Metrics

Every service has `GET /metrics` in Prometheus' text format (version 0.0.4), without a key.

| service | default address |
|---|---|
| `api` | `:8080/metrics` |
| `model_server` | `:8002/metrics` |
| `worker` | `:8003/metrics` |
| `controller` | `:8004/metrics` |
| `web` | `:8081/metrics` |

A service of several processes gives one answer for all of them, whichever is asked. Counters, histograms and gauges
that count things are added up, what ended processes have counted stays in. Of gauges in seconds the largest counts.
A histogram has the series `_bucket` (label `le`, cumulative), `_sum` and `_count`.

This page is made from the declarations in the code by `python -m services.cli.metrics_catalogue --write`; a test fails
where it is not what they say. Alerts on these metrics are in [runbooks.md](runbooks.md).
"""


def families_of(service: str) -> tuple[Family, ...]:
    """Everything that a service may tell."""
    return tuple(family for group in GROUPS if service in group.services for family in group.families)


def page() -> str:
    """docs/metrics.md."""
    return "\n".join([_INTRODUCTION, *(line for group in GROUPS for line in _section(group))])


def _section(group: Group) -> Iterator[str]:
    services = ", ".join(f"`{service}`" for service in group.services)
    yield from (f"## {group.title}", "", f"Told by {services}.{' ' * bool(group.note)}{group.note}", "")
    yield "| metric | type | unit | labels | meaning |"
    yield "|---|---|---|---|---|"
    for family in group.families:
        labels = ", ".join(f"`{label.name}`" for label in family.labels) or "–"
        cells = (f"`{family.name}`", str(family.kind), family.unit or "–", labels, family.help)
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
    yield ""
    yield from _labels(group.families)


def _labels(families: Sequence[Family]) -> Iterator[str]:
    labels = list(dict.fromkeys(label for family in families for label in family.labels))
    names = [label.name for label in labels]
    for label in labels:
        of = [f"`{family.name}`" for family in families if label in family.labels]
        where = f" of {', '.join(of)}" if names.count(label.name) > 1 else ""
        yield f"- `{label.name}`{where}: {_values(label)}"
    if labels:
        yield ""


def _values(label: Label) -> str:
    return label.values if isinstance(label.values, str) else ", ".join(f"`{value}`" for value in label.values)


def main(arguments: Sequence[str]) -> int:
    if list(arguments) == ["--write"]:
        PAGE.write_text(page())
    else:
        sys.stdout.write(page())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
