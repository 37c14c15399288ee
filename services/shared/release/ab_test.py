"""Which of two arms has the higher mean, looked at all the time: two-sided and always valid. Pure.

The e-value of `mean_evidence.py` with the mixing rate that makes its boundary lowest when both arms have as many values
as was planned: it costs about 1.5 times the answers of a test that is looked at once, and may be looked at always.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist

from services.shared.release.mean_evidence import Difference, Sample, mixing_rate

LEAST_VALUES = 100  # of either arm: the guarantee is asymptotic


class Winner(enum.StrEnum):
    CANDIDATE = "candidate"
    STABLE = "stable"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class AbPlan:
    """`per_arm` values are planned for each arm, of about that `variance` (p (1 - p) of a share). `alpha` is the chance
    to declare any winner when there is none, shared by as many `comparisons` with stable as there are arms. What is
    better is the higher mean, or the lower one."""

    per_arm: int
    variance: float
    alpha: float = 0.05
    comparisons: int = 1
    lower_is_better: bool = False

    @property
    def each_alpha(self) -> float:
        return self.alpha / self.comparisons

    @property
    def rate(self) -> float:
        return mixing_rate(self.variance * self.per_arm / 2, self.each_alpha)


@dataclass(frozen=True, slots=True)
class AbResult:
    """`lift` is candidate less stable, within `interval` at all times with probability 1 - alpha."""

    winner: Winner
    lift: float
    interval: tuple[float, float]
    e_value: float
    sentence: str


def compare(
    plan: AbPlan, strata: Iterable[tuple[Sample, Sample]], names: tuple[str, str] = ("the candidate", "stable")
) -> AbResult:
    """What (candidate, stable) in all strata say together; `names` are what the sentence calls them."""
    strata = list(strata)
    difference = Difference.over(strata)
    least = [math.fsum(c.count for c, _ in strata), math.fsum(s.count for _, s in strata)]
    if not difference.w or min(least) < LEAST_VALUES:
        nothing = f"too early: each arm needs {LEAST_VALUES} values, and there are {least[0]:,.0f} and {least[1]:,.0f}"
        return AbResult(Winner.OPEN, difference.estimate, (-math.inf, math.inf), 1.0, nothing)
    lift, radius = difference.estimate, difference.radius(plan.each_alpha, plan.rate)
    evidence = difference.log_evidence(plan.rate)
    winner = Winner.OPEN
    if evidence >= math.log(1 / plan.each_alpha):
        winner = Winner.CANDIDATE if (lift > 0) is not plan.lower_is_better else Winner.STABLE
    interval = (lift - radius, lift + radius)
    said = {
        Winner.OPEN: "no winner yet",
        Winner.CANDIDATE: f"{names[0]} is better",
        Winner.STABLE: f"{names[1]} is better",
    }[winner]
    sentence = f"{said}: a difference of {lift:+.4g}, between {interval[0]:+.4g} and {interval[1]:+.4g}"
    return AbResult(winner, lift, interval, math.exp(min(evidence, 700.0)), sentence)


def fixed_sample_size(base: float, lift: float, alpha: float = 0.05, power: float = 0.8) -> int:
    """Values for each arm of the usual two-sided test of two shares that is looked at once (Fleiss, Levin & Paik,
    Statistical Methods for Rates and Proportions, 2003, equation 4.14 without continuity correction)."""
    other, normal = base + lift, NormalDist()
    z_alpha, z_power = normal.inv_cdf(1 - alpha / 2), normal.inv_cdf(power)
    mean = (base + other) / 2
    apart = z_alpha * math.sqrt(2 * mean * (1 - mean)) + z_power * math.sqrt(base * (1 - base) + other * (1 - other))
    return math.ceil((apart / lift) ** 2)
