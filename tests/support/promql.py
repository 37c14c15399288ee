"""What PromQL says about metrics, held against their declarations."""

from __future__ import annotations

import re
from collections.abc import Iterator

from services.cli.metrics_catalogue import GROUPS, families_of
from services.shared.telemetry.family import Kind

# Prometheus' own, and NVIDIA Triton's of GPUs.
FOREIGN = {"up", "ALERTS"}
_FOREIGN_PREFIX = "nv_gpu_"
_SELECTOR = re.compile(r"([a-zA-Z_][\w:]*)\{([^}]*)\}")
_LABEL = re.compile(r"(\w+)(?:=~|!~|!=|=)\"")
LABELS_OF_SCRAPES = {"namespace", "pod", "service", "job", "instance", "app"}
SERVICES = tuple(dict.fromkeys(service for group in GROUPS for service in group.services))


def selectors(expr: str) -> Iterator[tuple[str, set[str], str]]:
    """Every `name{…}`: the name, the labels that are matched, and the matchers' text."""
    for name, matchers in _SELECTOR.findall(expr):
        yield name, set(_LABEL.findall(matchers)), matchers


def series_of(service: str) -> dict[str, set[str]]:
    """Every series that a service tells, with its labels."""
    found: dict[str, set[str]] = {}
    for family in families_of(service):
        labels = {label.name for label in family.labels}
        if family.kind is Kind.HISTOGRAM:
            found |= {
                f"{family.name}_bucket": {*labels, "le"},
                f"{family.name}_sum": labels,
                f"{family.name}_count": labels,
            }
        else:
            found[family.name] = labels
    return found


def complaints(expr: str, services: tuple[str, ...] = SERVICES, recorded: frozenset[str] = frozenset()) -> list[str]:
    """What an expression gets wrong: names that none of the services tells, labels that they do not have."""
    there: dict[str, set[str]] = {}
    for service in services:
        for name, labels in series_of(service).items():
            there.setdefault(name, set()).update(labels)
    wrong = []
    for name, labels, _ in selectors(expr):
        if name in FOREIGN or name in recorded or name.startswith(_FOREIGN_PREFIX):
            continue
        if name not in there:
            wrong.append(f"nobody tells {name}")
        elif extra := labels - there[name] - LABELS_OF_SCRAPES:
            wrong.append(f"{name} has no {sorted(extra)}")
    return wrong
