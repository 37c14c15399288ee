"""Point estimates and always-valid intervals of a guardrail's metric: what people are shown beside the evidence. Pure.

Those of differences and quantiles are asymptotic (`mean_evidence.py`). A verdict rests on none of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from services.shared.release.finding import Numbers, limit_of
from services.shared.release.latency_histogram import LatencySnapshot
from services.shared.release.mean_evidence import Difference, Sample, mixing_rate
from services.shared.release.metric_cells import ACCURACY, PREDICTION_SHIFT, REWARD, cells_of, quantile_of
from services.shared.release.observation import StepTotals
from services.shared.release.plan import Guardrail
from services.shared.release.share_interval import difference_of_shares, share_interval
from services.shared.release.shift_evidence import distance_by_chance, total_variation

UNBOUNDED = (-math.inf, math.inf)
TUNED_TO = 1000.0  # answers of the candidate for which intervals are narrowest


def numbers_of(
    guardrail: Guardrail,
    steps: Sequence[StepTotals],
    classes: tuple[int, ...],
    alpha: float,
    *,
    interval: bool = True,
) -> Numbers:
    """`steps` are those that say something about the metric, the current one last; none: nothing is known. `alpha` is
    the chance that the true value is ever outside the interval, which costs most of the time this takes."""
    if not steps:
        return Numbers()
    metric, current = guardrail.metric, steps[-1]
    q = quantile_of(metric)
    if q is not None:
        latencies = current.candidate.snapshot.latency, current.stable.snapshot.latency
        return _of_quantile(*latencies, q, alpha) if interval else _quantiles_alone(*latencies, q)
    if metric == PREDICTION_SHIFT:
        if not classes:  # nothing is counted apart: no answer says anything
            return Numbers()
        c_cells, s_cells = cells_of(metric, current.candidate, classes), cells_of(metric, current.stable, classes)
        return _of_shift(c_cells, s_cells, alpha if interval else None)
    strata = [samples_of(metric, step) for step in (steps if interval else steps[-1:])]
    c, s = strata[-1]
    candidate, stable = _mean(c), _mean(s)
    counts = int(c.count), int(s.count)
    if limit_of(guardrail)[0] == "max":
        bounds = _alone([c for c, _ in strata], alpha) if interval else UNBOUNDED
        return Numbers(candidate, stable, *counts, candidate, bounds)
    bounds = UNBOUNDED
    if interval:
        difference = Difference.over(strata) if metric == REWARD else difference_of_shares(strata)
        bounds = _around(difference, alpha)
    return Numbers(candidate, stable, *counts, candidate - stable, bounds)


def difference_of(metric: str, steps: Sequence[StepTotals]) -> Difference:
    """Candidate less stable over all steps."""
    return Difference.over(samples_of(metric, step) for step in steps)


def log_evidence_below(difference: Difference, limit: float, alpha: float) -> float:
    """The logarithm of the e-value that a difference is below `limit`; 0 where it does not look so."""
    if not difference.w or difference.estimate >= limit:
        return 0.0
    return difference.log_evidence(rate_for(difference, alpha), limit)


def rate_for(difference: Difference, alpha: float) -> float:
    """The mixing rate for TUNED_TO answers of the variance that was observed."""
    return mixing_rate(max(difference.v / difference.w, 1e-12) * TUNED_TO, alpha) if difference.w else 1.0


def samples_of(metric: str, step: StepTotals) -> tuple[Sample, Sample]:
    """What candidate and stable showed in a step: the bad answers of a rate, the right ones of accuracy, or rewards."""
    if metric == REWARD:
        return step.candidate.reward, step.stable.reward
    hit = 0 if metric == ACCURACY else 1
    c, s = cells_of(metric, step.candidate, ()), cells_of(metric, step.stable, ())
    return Sample.of_share(sum(c), c[hit]), Sample.of_share(sum(s), s[hit])


def _mean(sample: Sample) -> float:
    return sample.total / sample.count if sample.count else math.nan


def _around(difference: Difference, alpha: float) -> tuple[float, float]:
    radius = difference.radius(alpha, rate_for(difference, alpha))
    return (difference.estimate - radius, difference.estimate + radius) if difference.w else (-math.inf, math.inf)


def _alone(samples: Sequence[Sample], alpha: float) -> tuple[float, float]:
    return share_interval(sum(sample.count for sample in samples), sum(sample.total for sample in samples), alpha)


def _of_quantile(c: LatencySnapshot, s: LatencySnapshot, q: float, alpha: float) -> Numbers:
    count_c, count_s = c.count, s.count
    candidate, low_c, high_c = _quantile_and_interval(c, count_c, q, alpha / 2)
    stable, low_s, high_s = _quantile_and_interval(s, count_s, q, alpha / 2)
    ratio = candidate / stable if count_c and count_s else math.nan
    return Numbers(candidate, stable, count_c, count_s, ratio, (low_c / high_s, high_c / low_s if low_s else math.inf))


def _quantiles_alone(c: LatencySnapshot, s: LatencySnapshot, q: float) -> Numbers:
    count_c, (candidate,) = c.count_and_quantiles_s((q,))
    count_s, (stable,) = s.count_and_quantiles_s((q,))
    return Numbers(candidate, stable, count_c, count_s, candidate / stable)


def _quantile_and_interval(latency: LatencySnapshot, count: int, q: float, alpha: float) -> tuple[float, float, float]:
    """The quantile, and those at q less and plus the radius of the share below (Howard & Ramdas, arXiv 1906.09712)."""
    if not count:
        return math.nan, 0.0, math.inf
    below = Difference(q * count, count * q * (1 - q), count)
    radius = below.radius(alpha, rate_for(below, alpha))
    at_q, low, high = latency.quantiles_s((q, max(q - radius, 0.0), min(q + radius, 1.0)))
    return at_q, low if q > radius else 0.0, high if q + radius < 1 else math.inf


def _of_shift(c: Sequence[int], s: Sequence[int], alpha: float | None) -> Numbers:
    """The estimate is what is left when the distance that identical arms show by chance is taken away. None: without
    the interval."""
    count_c, count_s = sum(c), sum(s)
    if not min(count_c, count_s):
        return Numbers(count_c=count_c, count_s=count_s)
    distance, chance = total_variation(c, s), distance_by_chance(c, s)
    bounds = UNBOUNDED
    if alpha is not None:
        radius = sum(_shares_radius(count, len(c), alpha / 2) for count in (count_c, count_s))
        bounds = max(distance - radius, 0.0), min(distance + radius, 1.0)
    return Numbers(distance, 0.0, count_c, count_s, max(distance - chance, 0.0), bounds)


def _shares_radius(count: int, cells: int, alpha: float) -> float:
    """How far, in total variation, observed shares are from the true ones at all times: Weissman et al. (HP Labs
    HPL-2003-97), theorem 2.1, with alpha / (count (count + 1)) spent on each count."""
    return math.sqrt(math.log((2.0**cells - 2) * count * (count + 1) / alpha) / (2 * count))
