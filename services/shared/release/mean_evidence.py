"""A confidence sequence for the difference of two means over strata: rewards, lifts, and what people see. Pure.

Robbins' normal mixture: for a sum U of differences whose variance is V, exp(U^2 r / (2 (1 + V r))) / sqrt(1 + V r) is
an e-value against a difference of 0, and |U - truth| stays within sqrt((V + 1/r) (ln(1 + V r) + 2 ln(1/alpha))) at all
times with probability 1 - alpha: asymptotically, for any distribution with finite variance (Waudby-Smith et al., arXiv
2103.06476, theorem 2.2). Strata are put together by U = sum of w d and V = sum of w^2 Var(d), with weight
w = n_c n_s / (n_c + n_s): the Cochran-Mantel-Haenszel weights, for which a difference between strata is none between
the arms (Cochran, Biometrics 10, 1954).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Sample:
    """What one arm showed in one stratum: how many values, their sum, and the sum of their squares."""

    count: float
    total: float
    squares: float

    @classmethod
    def of_share(cls, count: float, hits: float) -> Sample:
        return cls(count, hits, hits)


@dataclass(frozen=True, slots=True)
class Difference:
    """Candidate less stable, over all strata until now: the sum U, its variance V and its weight W; U / W estimates the
    difference. A plain sum: strata may be added in any order."""

    u: float = 0.0
    v: float = 0.0
    w: float = 0.0

    @classmethod
    def over(cls, strata: Iterable[tuple[Sample, Sample]]) -> Difference:
        """Of all strata (candidate, stable), less those where one arm has fewer than two values."""
        u = v = w = 0.0
        for c, s in strata:
            if c.count < 2 or s.count < 2:
                continue
            both = c.count + s.count
            weight = c.count * s.count / both
            # Under the null both arms have one mean, and the variance about it is what the arms show together.
            mean = (c.total + s.total) / both
            u += weight * (c.total / c.count - s.total / s.count)
            v += weight * max((c.squares + s.squares) / both - mean * mean, 0.0)
            w += weight
        return cls(u, v, w)

    @property
    def estimate(self) -> float:
        """NaN of nothing."""
        return self.u / self.w if self.w else math.nan

    def radius(self, alpha: float, rate: float) -> float:
        """Half the width of the interval that holds the true difference at all times, with probability 1 - alpha."""
        if not self.w:
            return math.inf
        inner = (self.v + 1 / rate) * (math.log1p(self.v * rate) + 2 * math.log(1 / alpha))
        return math.sqrt(inner) / self.w

    def log_evidence(self, rate: float, limit: float = 0.0) -> float:
        """The logarithm of the e-value against a difference of exactly `limit`."""
        u = self.u - limit * self.w
        return u * u * rate / (2 * (1 + self.v * rate)) - 0.5 * math.log1p(self.v * rate)


def mixing_rate(variance: float, alpha: float) -> float:
    """The r that makes the interval narrowest when V is `variance`: the root of the derivative, x = V r with
    x = ln(1 + x) + 2 ln(1/alpha) (Howard et al., arXiv 1810.08240, proposition 3, in this parametrisation)."""
    return _best_rate(alpha) / variance


@lru_cache(maxsize=256)
def _best_rate(alpha: float) -> float:
    """`mixing_rate` for a variance of 1."""
    x = 2 * math.log(1 / alpha)
    for _ in range(50):
        x = math.log1p(x) + 2 * math.log(1 / alpha)
    return x
