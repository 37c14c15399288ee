"""What is found about one guardrail: a verdict, its numbers, and a sentence. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from services.shared.release.plan import LIMITS, Guardrail
from services.shared.release.verdict import Outcome

_POINTS = frozenset({"error_rate", "accuracy", "disagreement", "prediction_shift"})


@dataclass(frozen=True, slots=True)
class Numbers:
    """`candidate` and `stable` are the metric's values in the current step, from `count_c` and `count_s` answers;
    `estimate` is what the limit is about: a difference, a ratio, a distance or the candidate's own value, inside
    `interval` at all times. NaN where nothing is known; of the whole line where no interval was asked for."""

    candidate: float = math.nan
    stable: float = math.nan
    count_c: int = 0
    count_s: int = 0
    estimate: float = math.nan
    interval: tuple[float, float] = (-math.inf, math.inf)


@dataclass(frozen=True, slots=True)
class Finding:
    """`e_value` is the highest evidence until now that the limit is exceeded: a fail from `threshold` = 1 / alpha_k on.
    `guaranteed`: alpha covers it; a plain threshold on a query is outside, and says so."""

    metric: str
    limit: str
    outcome: Outcome
    sentence: str
    numbers: Numbers
    e_value: float = 1.0
    threshold: float = math.inf
    guaranteed: bool = True


def limit_of(guardrail: Guardrail) -> tuple[str, float]:
    """The name and the value of the limit that is set."""
    for name in LIMITS:
        limit: float | None = getattr(guardrail, name)
        if limit is not None:
            return name, float(limit)
    raise ValueError(f"{guardrail.metric} has no limit")


def excess(guardrail: Guardrail, candidate: float, stable: float) -> float:
    """How far a point estimate is beyond the limit (above 0) or within it; NaN where a value is NaN."""
    name, limit = limit_of(guardrail)
    if name == "max":
        return candidate - limit
    if name == "max_increase":
        return candidate - stable - limit
    if name == "max_decrease":
        return stable - candidate - limit
    return candidate - limit * stable


def value(metric: str, number: float) -> str:
    """A metric's value as people write it."""
    if math.isnan(number):
        return "unknown"
    if metric in _POINTS:
        return f"{100 * number:.3g} %"
    if metric.startswith("latency"):
        return f"{1000 * number:.3g} ms"
    return f"{number:.4g}"


def limit_in_words(guardrail: Guardrail) -> str:
    name, limit = limit_of(guardrail)
    if name == "max_ratio":
        return f"at most {limit:g} times stable's"
    points = guardrail.metric in _POINTS
    amount = f"{100 * limit:g}" if points else f"{limit:g}"
    if name == "max":
        return f"at most {amount} %" if points else f"at most {amount}"
    direction = "above" if name == "max_increase" else "below"
    return f"at most {amount} points {direction} stable" if points else f"at most {amount} {direction} stable"


def sentence(guardrail: Guardrail, outcome: Outcome, numbers: Numbers, why: str) -> str:
    """The verdict with both arms' numbers."""
    metric = guardrail.metric
    if metric == "prediction_shift":
        both = f"{value(metric, numbers.estimate)} of the predictions moved, beyond what chance shows"
        both += f" ({numbers.count_c:,} answers against {numbers.count_s:,})"
    else:
        both = f"the candidate has {value(metric, numbers.candidate)} of {numbers.count_c:,}"
        if limit_of(guardrail)[0] != "max":
            both += f", stable {value(metric, numbers.stable)} of {numbers.count_s:,}"
    verb = {Outcome.PASS: "holds", Outcome.FAIL: "is broken", Outcome.INCONCLUSIVE: "is open"}[outcome]
    return f"{metric}, {limit_in_words(guardrail)}, {verb}: {both}; {why}"
