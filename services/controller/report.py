"""What people are told of a release: a JSON document, and nothing in it that JSON has not. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from services.controller.judge import Judgement
from services.controller.timeline import latency_ms
from services.shared.observations.base import Evidence
from services.shared.release.ab_report import ab_report
from services.shared.release.analysis import Assessment, Case, numbers_of_all
from services.shared.release.arm_snapshot import CONFIDENCE_UNITS, ArmSnapshot
from services.shared.release.finding import Finding, Numbers
from services.shared.release.plan import ArmPlan, Plan, Strategy
from services.shared.release.release_counters import ArmKey
from services.shared.release.routing import SHADOW, STABLE
from services.shared.release.state import ReleaseState, counted_step
from services.shared.release_store.base import Release

_CLASSES = 20  # those that differ most often


def report_of(release: Release, judgement: Judgement, evidence: Evidence, now: float) -> dict[str, Any]:
    """Numbers of arms are those of the step that was judged, which are compared; NaN and infinity become None."""
    document = {
        **heading_of(release, now),
        "verdict": {"outcome": judgement.verdict.outcome.value, "reason": judgement.verdict.reason},
        "arms": _arms(release.plan, release.state, _step(release, judgement), evidence),
        "guardrails": [
            {"arm": arm.name, **_guardrail(finding, numbers)}
            for arm, assessment, numbers_of_arm in _by_arm(release.plan, judgement)
            for finding, numbers in zip(assessment.findings, numbers_of_arm, strict=True)
        ],
        "ratio_evidence": max((each.ratio_evidence for each in judgement.assessments), default=1.0),
        "ab": _ab(release.plan, judgement),
        "shadow": _shadow(release.state.release, evidence),
    }
    shown: dict[str, Any] = _as_json(document)
    return shown


def heading_of(release: Release, now: float) -> dict[str, Any]:
    """What changes with the release's state alone."""
    plan, state = release.plan, release.state
    return {
        "model": plan.model,
        "release": state.release,
        "phase": state.phase.value,
        "step": state.step,
        "steps": len(plan.steps),
        "weight": state.weight,
        "reason": state.reason,
        "revision": release.revision,
        "at": now,
    }


def _step(release: Release, judgement: Judgement) -> int:
    judged = judgement.observations
    return judged[0].current.step if judged else counted_step(release.plan, release.state)


def _arms(plan: Plan, state: ReleaseState, step: int, evidence: Evidence) -> list[dict[str, Any]]:
    everyone = [(STABLE, state.stable, 100.0 - state.weight)]
    everyone += [(arm.name, arm.ref, weight) for arm, weight in zip(plan.arms, state.weights, strict=True)]
    found = []
    for name, ref, weight in everyone:
        snapshot = evidence.totals.arms.get(ArmKey(state.release, step, name), ArmSnapshot())
        failed = snapshot.failed
        found.append(
            {
                "arm": name,
                "ref": str(ref),
                "weight": weight,
                "requests": snapshot.requests,
                "errors": failed,
                "error_rate": failed / snapshot.requests if snapshot.requests else math.nan,
                "error_kinds": dict(snapshot.errors),
                "latency_ms": {f"p{round(100 * q)}": latency_ms(snapshot.latency, q) for q in (0.5, 0.95, 0.99)},
                "keys": round(snapshot.keys.estimate()) if snapshot.requests else 0,
                "confidence": snapshot.confidence_mean(),
                "classes": _classes(snapshot, state.cells),
            }
        )
    return found


def _ab(plan: Plan, judgement: Judgement) -> dict[str, Any] | None:
    """None of other strategies, and before the first look."""
    if plan.strategy is not Strategy.AB or not judgement.observations:
        return None
    observations = zip((arm.name for arm in plan.arms), judgement.observations, strict=True)
    return ab_report(plan, dict(observations), plan.alpha)


def _classes(snapshot: ArmSnapshot, cells: tuple[int, ...]) -> dict[str, int]:
    """Answers by class, and those of all other classes together."""
    shown = {str(index): snapshot.classes.get(index, 0) for index in cells or snapshot.most_frequent(10)}
    return {**shown, "other": snapshot.classified - sum(shown.values())} if snapshot.classified else {}


def _by_arm(plan: Plan, judgement: Judgement) -> Iterator[tuple[ArmPlan, Assessment, list[Numbers]]]:
    """What was found of each arm, and its numbers with their intervals; nothing before the first look."""
    for arm, assessment, observation in zip(plan.arms, judgement.assessments, judgement.observations, strict=False):
        case = Case(observation, plan.guardrails, alpha=plan.alpha, arms=len(plan.arms))
        yield arm, assessment, numbers_of_all(case)


def _guardrail(finding: Finding, numbers: Numbers) -> dict[str, Any]:
    return {
        "metric": finding.metric,
        "limit": finding.limit,
        "outcome": finding.outcome.value,
        "sentence": finding.sentence,
        "candidate": numbers.candidate,
        "stable": numbers.stable,
        "count_candidate": numbers.count_c,
        "count_stable": numbers.count_s,
        "estimate": numbers.estimate,
        "interval": list(numbers.interval),
        "e_value": finding.e_value,
        "threshold": finding.threshold,
        "guaranteed": finding.guaranteed,
    }


def _shadow(release: str, evidence: Evidence) -> dict[str, Any] | None:
    """Over all steps that mirrored requests; None without one."""
    shadows = [
        snapshot for key, snapshot in evidence.totals.arms.items() if key.release == release and key.arm == SHADOW
    ]
    if not shadows:
        return None
    both = ArmSnapshot()
    for snapshot in shadows:
        both = both.merge(snapshot)
    differing: Mapping[int, int] = both.differing_by_class
    most = sorted(both.compared_by_class, key=lambda index: (-differing.get(index, 0), index))[:_CLASSES]
    return {
        "requests": both.requests,
        "errors": both.failed,
        "dropped": both.dropped,
        "compared": both.compared,
        "differing": both.differing,
        "by_class": [
            {"class": index, "compared": both.compared_by_class[index], "differing": differing.get(index, 0)}
            for index in most
        ],
        "largest_difference": both.largest_difference / CONFIDENCE_UNITS,
    }


def _as_json(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _as_json(child) for name, child in value.items()}
    return [_as_json(child) for child in value] if isinstance(value, list | tuple) else value
