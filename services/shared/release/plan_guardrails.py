"""The guardrails of a plan's document. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from services.shared.release.plan import DISAGREEMENT, LIMITS, LIMITS_OF, PROMQL, Guardrail, Step
from services.shared.release.plan_document import Entry
from services.shared.release.plan_fields import fields_of, items_of, number, text, whole_number

_MAX_GUARDRAILS = 100


def guardrails_of(entry: Entry, steps: Sequence[Step]) -> tuple[Guardrail, ...]:
    """Raises InvalidPlan for one that cannot be checked, or not in these steps."""
    found: list[Guardrail] = []
    children = items_of(entry, "guardrails, as in - {metric: error_rate, max_increase: 0.005}")
    if len(children) > _MAX_GUARDRAILS:
        raise entry.refused(f"{len(children)} guardrails are too many: write at most {_MAX_GUARDRAILS}")
    for child in children:
        guardrail = _guardrail(child)
        if any((other.metric, other.query) == (guardrail.metric, guardrail.query) for other in found):
            raise child.refused(f"{guardrail.metric} is guarded twice: write one limit for it")
        if guardrail.metric == DISAGREEMENT and not any(step.shadow for step in steps):
            raise child.refused("disagreement is seen in shadow steps only: add - {shadow: 100, for: 60s}")
        found.append(guardrail)
    return tuple(found)


def guardrail_document(guardrail: Guardrail) -> dict[str, Any]:
    """A document that `guardrails_of` reads as the same."""
    limits = {name: getattr(guardrail, name) for name in LIMITS if getattr(guardrail, name) is not None}
    own = {"query": guardrail.query, "looks": guardrail.looks} if guardrail.metric == PROMQL else {}
    return {"metric": guardrail.metric, **own, **limits}


def _guardrail(entry: Entry) -> Guardrail:
    fields = fields_of(entry, ("metric",), (*LIMITS, "query", "looks"))
    metric = text(fields["metric"], "error_rate")
    allowed = LIMITS_OF.get(metric)
    if allowed is None:
        raise fields["metric"].refused(f"{metric[:64]!r} is not one of {', '.join(LIMITS_OF)}")
    own = ("query", "looks") if metric == PROMQL else ()
    fields_of(entry, ("metric", *own[:1]), (*allowed, *own[1:]))
    given = [name for name in LIMITS if name in fields]
    if len(given) != 1:
        raise entry.refused(f"{metric} has exactly one limit: write {' or '.join(allowed)}")
    limit: dict[str, Any] = {given[0]: _limit(fields[given[0]], given[0], metric)}
    if metric != PROMQL:
        return Guardrail(metric, **limit)
    query = text(fields["query"], 'sum(rate(errors_total{arm="$arm"}[1m]))')
    if "$arm" not in query:
        raise fields["query"].refused('the query names no arm: write $arm where its name belongs, as in {arm="$arm"}')
    looks = whole_number(fields["looks"], 1, 1000) if "looks" in fields else 1
    return Guardrail(metric, query=query, looks=looks, **limit)


def _limit(entry: Entry, name: str, metric: str) -> float:
    if name == "max_ratio":  # below 1 a candidate just as good would fail
        return number(entry, 1, 1000)
    if metric in (PROMQL, "reward"):
        return number(entry, -math.inf if name == "max" else 0, math.inf)
    return number(entry, 0, 1)
