"""Releases, their log and their course over time as JSON documents. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from services.shared.jobs.job_document import timestamp
from services.shared.observations.base import Look, Point
from services.shared.release.advance import CONTROLLER, Event
from services.shared.release.parse_plan import plan_document
from services.shared.release.routing import STABLE, ReleaseRouting
from services.shared.release_store.base import Release

Document = dict[str, Any]


def release_document(release: Release) -> Document:
    """`step` is the index of the plan's step, `steps` their number; `arms` are stable and then the plan's, with the
    percentage of keys that each has now."""
    plan, state = release.plan, release.state
    arms = [_arm(STABLE, str(state.stable), 100.0 - state.weight)]
    arms += [_arm(arm.name, str(arm.ref), weight) for arm, weight in zip(plan.arms, state.weights, strict=True)]
    return {
        "release": state.release,
        "model": plan.model,
        "strategy": plan.strategy.value,
        "phase": state.phase.value,
        "step": state.step,
        "steps": len(plan.steps),
        "weight": state.weight,
        "shadow": state.shadow,
        "arms": arms,
        "reason": state.reason,
        "failed": state.failed,
        "winner": state.winner or None,
        "is_over": state.over,
        "default_before": str(state.default_before),
        "created_at": timestamp(state.created_at),
        "since": timestamp(state.since),
        "revision": release.revision,
        "plan": plan_document(plan),
    }


def event_document(event: Event, *, names: bool) -> Document:
    """With `names` it says which administrator it was, if any."""
    by = event.by if names or event.by == CONTROLLER else "an administrator"
    return {
        "at": timestamp(event.at),
        "release": event.release,
        "by": by,
        "from": None if event.before is None else event.before.value,
        "to": event.phase.value,
        "step": event.step,
        "weight": event.weight,
        "why": event.why.replace(event.by, by),  # older logs name them there too
    }


def report_document(look: Look) -> Document:
    """The controller's own report, with its time as all times are told."""
    return {**look.report, "at": timestamp(look.at)}


def point_document(point: Point) -> Document:
    """`arms` by name: what happened between the point before and this one."""
    return {
        "at": timestamp(point.at),
        "step": point.step,
        "phase": point.phase,
        "weights": dict(point.weights),
        "arms": {
            name: {
                "requests": arm.requests,
                "errors": arm.errors,
                "p50_ms": _finite(arm.p50_ms),
                "p95_ms": _finite(arm.p95_ms),
                "p99_ms": _finite(arm.p99_ms),
            }
            for name, arm in point.arms.items()
        },
    }


def points_after(points: Iterable[Point], after: str | None) -> list[Document]:
    """Of a timeline what is later than `after`, a time as documents tell it; all of it where that is None."""
    documents = map(point_document, points)
    # Such times have one length, and so the order of their characters.
    return [document for document in documents if after is None or document["at"] > after]


def routing_document(routing: ReleaseRouting) -> Document:
    """How a serving process routes a name now."""
    weight = min(100.0, sum(arm.weight for arm in routing.arms))
    arms = [_arm(STABLE, str(routing.stable), 100.0 - weight)]
    return {
        "release": routing.release,
        "weight": weight,
        "shadow": routing.shadow.share if routing.shadow else 0.0,
        "arms": arms + [_arm(arm.name, str(arm.ref), arm.weight) for arm in routing.arms],
    }


def _arm(name: str, ref: str, weight: float) -> Document:
    return {"arm": name, "ref": ref, "weight": round(weight, 9)}  # 100 less 33.3 is 66.7 to a reader


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
