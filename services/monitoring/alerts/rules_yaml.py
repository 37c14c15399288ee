"""Groups of rules as Prometheus' YAML."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping

from services.monitoring.alerts.base import Alert, Group, Record


def rules_yaml(groups: Iterable[Group], *, prefix: str, runbooks: str, labels: Mapping[str, str]) -> str:
    """The text below `groups:`. `prefix` begins the groups' names, which have to be unique in one Prometheus;
    `runbooks` is where the
    runbooks are, and `labels` are put on recorded series."""
    lines = ["groups:"]
    for group in groups:
        lines += [f"  - name: {prefix}.{group.name}", "    rules:"]
        for rule in group.rules:
            lines += _record(rule, labels) if isinstance(rule, Record) else _alert(rule, runbooks)
    return "\n".join(lines) + "\n"


def _record(record: Record, labels: Mapping[str, str]) -> Iterator[str]:
    yield f"      - record: {record.name}"
    yield from _expr(record.expr)
    if labels and record.labelled:
        yield f"        labels: {_map(labels)}"


def _alert(alert: Alert, runbooks: str) -> Iterator[str]:
    yield f"      - alert: {alert.name}"
    yield from _expr(alert.expr)
    if alert.waits:
        yield f"        for: {alert.waits}"
    yield f"        labels: {_map({'severity': alert.severity, **alert.labels})}"
    yield "        annotations:"
    yield f"          summary: {json.dumps(alert.summary, ensure_ascii=False)}"
    yield f"          runbook_url: {json.dumps(f'{runbooks}#{alert.name.lower()}')}"


def _expr(expr: str) -> Iterator[str]:
    yield "        expr: |"
    yield from (f"          {line}" for line in expr.splitlines())


def _map(labels: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{name}: {json.dumps(str(value))}" for name, value in labels.items()) + "}"
