"""How many requests of a candidate any test needs at least: the two-sample bounds that the simulation is held against.

A test that errs with probability alpha against every member of a null needs, on average, ln(1/alpha) over the least
information that one request of the candidate and the stable requests beside it give against a member (Wald 1945;
Garivier & Kaufmann, COLT 2016, arXiv 1602.04589).
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np


def bernoulli_kl(p: np.ndarray | float, q: np.ndarray | float) -> np.ndarray:
    """The information of one answer, in nats, in favour of share p against share q (0 < q < 1)."""
    p, q = np.asarray(p, float), np.asarray(q, float)
    yes = np.where(p > 0, p * np.log(np.maximum(p, 1e-300) / q), 0.0)
    no = np.where(p < 1, (1 - p) * np.log(np.maximum(1 - p, 1e-300) / (1 - q)), 0.0)
    information: np.ndarray = yes + no
    return information


def rate_bound(p_c: float, p_s: float, margin: float, alpha: float, stable_per_candidate: float) -> float:
    """ln(1/alpha) / min over q_c = q_s + margin of KL(p_c|q_c) + r KL(p_s|q_s)."""
    q = np.linspace(max(p_s * 0.5, 1e-6), p_c, 200_001)[:-1]
    q = q[(q > 0) & (q + margin < 1)]
    information = bernoulli_kl(p_c, q + margin) + stable_per_candidate * bernoulli_kl(p_s, q)
    return math.log(1 / alpha) / float(information.min())


def absolute_bound(p_c: float, most: float, alpha: float) -> float:
    """ln(1/alpha) / KL(p_c|most)."""
    return math.log(1 / alpha) / float(bernoulli_kl(p_c, most))


def quantile_bound(
    slower: float, sigma: float, q: float, max_ratio: float, alpha: float, stable_per_candidate: float
) -> float:
    """For log-normal latencies, the candidate's `slower` times stable's: the nearest null has its quantile at
    max_ratio * t and stable's at t, and the least over all t is taken."""
    normal, tail = NormalDist(), 1 - q
    least = math.inf
    for z in np.linspace(normal.inv_cdf(q) - 1.5, normal.inv_cdf(q) + 2, 2001):
        a, b = 1 - normal.cdf(z), 1 - normal.cdf(z - math.log(slower / max_ratio) / sigma)
        information = float(bernoulli_kl(b, tail)) if b > tail else 0.0
        information += stable_per_candidate * float(bernoulli_kl(a, tail)) if a < tail else 0.0
        least = min(least, information)
    return math.log(1 / alpha) / least
