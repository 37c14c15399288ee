"""What an A/B release shows: each arm against stable or the first arm, in everything that is counted. Pure.

`ab_test.py` compares; here is what is compared, with which share of alpha, and when it is too early.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from services.shared.release.ab_test import AbPlan, AbResult, Winner, compare
from services.shared.release.analysis import ratio_evidence
from services.shared.release.estimate import samples_of
from services.shared.release.mean_evidence import Difference, Sample
from services.shared.release.metric_cells import ACCURACY, ERROR_RATE, REWARD
from services.shared.release.observation import ArmTotals, Observation, StepTotals
from services.shared.release.plan import Plan
from services.shared.release.ratio_check import ALPHA as RATIO_ALPHA
from services.shared.release.routing import STABLE

METRICS = (REWARD, ACCURACY, ERROR_RATE)
LEAST_TUNED_TO = 1000  # values of an arm: below, a boundary for so few would be wide later
LEAST_EVENTS = 20  # right and wrong answers, or errors and answers, of both arms: a share is far from normal before
_MOST_LOG = 700.0
_ALL_KEYS = 100.0 - 1e-6


def ab_report(plan: Plan, observations: Mapping[str, Observation], alpha: float) -> dict[str, Any]:
    """A JSON-able document. `observations` has for each arm of the plan its look against stable.

    Arms are compared with the `baseline`: stable, or the first arm where the arms have all keys between them. `alpha`
    is, for each metric by itself, the chance that a winner is ever named where no arm differs from it: the comparisons
    share it evenly. A metric that nothing was counted of is left out, and no winner is named while the arms did not get
    the keys that they were to have. Infinite numbers are None.
    """
    arms = [arm for arm in plan.arms if arm.name in observations]
    ratio = _sample_ratio(plan, observations[arms[0].name]) if arms else None
    baseline = STABLE if math.fsum(arm.weight for arm in plan.arms) < _ALL_KEYS else plan.arms[0].name
    comparisons = max(sum(arm.name != baseline for arm in plan.arms), 1)
    test = AbPlan(_tuned_to(plan), 1.0, alpha, comparisons)
    against = {} if baseline == STABLE else _candidates(observations.get(baseline))
    compared: list[dict[str, Any]] = [
        {
            "arm": arm.name,
            "ref": str(arm.ref),
            "weight": arm.weight,
            "metrics": _metrics(test, (arm.name, baseline), _live(observations[arm.name], against)),
        }
        for arm in arms
        if arm.name != baseline
    ]
    if ratio is not None and ratio["mismatch"]:
        for metric in (metric for arm in compared for metric in arm["metrics"]):
            metric["winner"] = None
            metric["sentence"] = "the arms did not get the keys that they were to have, so no winner is named"
    return {
        "alpha": alpha,
        "baseline": baseline,
        "comparisons": comparisons,
        "tuned_to": test.per_arm,
        "arms": compared,
        "sample_ratio": ratio,
    }


def _live(observation: Observation, against: Mapping[int, ArmTotals]) -> list[StepTotals]:
    """The steps that were no shadow, with another arm in stable's place where there is one."""
    live = [step for step in observation.steps if not step.shadow]
    return [replace(step, stable=against.get(step.step, step.stable)) for step in live]


def _candidates(observation: Observation | None) -> dict[int, ArmTotals]:
    return {step.step: step.candidate for step in observation.steps} if observation else {}


def _tuned_to(plan: Plan) -> int:
    """The values of an arm that boundaries are narrowest for: what its step asks for."""
    return max([LEAST_TUNED_TO, *(step.min_requests for step in plan.steps)])


def _metrics(test: AbPlan, names: tuple[str, str], steps: Sequence[StepTotals]) -> list[dict[str, Any]]:
    """`names` are the arm's and the baseline's."""
    counted = [m for m in METRICS if any(sample.count for step in steps for sample in samples_of(m, step))]
    return [_compared(replace(test, lower_is_better=m == ERROR_RATE), names, m, steps) for m in counted]


def _compared(test: AbPlan, names: tuple[str, str], metric: str, steps: Sequence[StepTotals]) -> dict[str, Any]:
    strata = [samples_of(metric, step) for step in steps]
    one, other = (_together(samples) for samples in zip(*strata, strict=True))
    result = compare(replace(test, variance=_variance(strata)), strata, names)
    if metric != REWARD and not _enough_events(one, other):
        said = f"too early: there are to be {LEAST_EVENTS} answers of either kind"
        result = AbResult(Winner.OPEN, result.lift, (-math.inf, math.inf), 1.0, said)
    winners = {Winner.CANDIDATE: names[0], Winner.STABLE: names[1], Winner.OPEN: None}
    return {
        "metric": metric,
        "value": _mean(one),
        "baseline_value": _mean(other),
        "count": int(one.count),
        "baseline_count": int(other.count),
        "lift": _finite(result.lift),
        "interval": [_finite(end) for end in result.interval],
        "e_value": _finite(result.e_value),
        "threshold": 1 / test.each_alpha,
        "winner": winners[result.winner],
        "sentence": f"{metric} of {names[0]} against {names[1]}: {result.sentence}",
    }


def _together(samples: Sequence[Sample]) -> Sample:
    return Sample(sum(s.count for s in samples), sum(s.total for s in samples), sum(s.squares for s in samples))


def _variance(strata: Sequence[tuple[Sample, Sample]]) -> float:
    """Of one value, as observed, to the nearest power of two: a boundary that follows each value is not always valid,
    and one for a variance wrong by less than a half is as narrow."""
    difference = Difference.over(strata)
    observed = difference.v / difference.w if difference.w else 0.0
    return 2.0 ** round(math.log2(max(observed, 1e-12)))


def _enough_events(candidate: Sample, stable: Sample) -> bool:
    hits, count = candidate.total + stable.total, candidate.count + stable.count
    return min(hits, count - hits) >= LEAST_EVENTS


def _sample_ratio(plan: Plan, observation: Observation) -> dict[str, Any] | None:
    """The check of the split over all arms; None where keys are not split."""
    current = observation.current
    if not current.keys:
        return None
    log_e = ratio_evidence(observation)
    mismatch = log_e >= math.log(1 / RATIO_ALPHA)
    return {
        "arms": [STABLE, *(arm.name for arm in plan.arms)],
        "shares": list(current.shares),
        "keys": [round(key) for key in current.keys],
        "e_value": math.exp(min(log_e, _MOST_LOG)),
        "threshold": 1 / RATIO_ALPHA,
        "mismatch": mismatch,
        "sentence": "the keys are not split as intended" if mismatch else "the keys are split as intended",
    }


def _mean(sample: Sample) -> float | None:
    return sample.total / sample.count if sample.count else None


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
