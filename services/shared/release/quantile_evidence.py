"""Evidence, valid at every look, that a latency quantile is more than `max_ratio` times stable's. Pure.

From the blocks before, a threshold t is chosen: the upper bound of the bucket in which stable's quantile q lies. Two
e-processes of `rate_evidence.py` then bet on the answers of the next block, each with its null:

- the candidate's share above max_ratio * t is at most stable's share above t;
- the candidate's share above max_ratio * t is at most 1 - q.

The evidence is the smaller of the two, so it is valid where either null holds. The first holds for a candidate that is
slower by the factor max_ratio at most, answer for answer (in the stochastic order), whatever the load does to both arms
over time: that is what alpha covers. The second holds for a distribution of any shape with its quantile in the limit
while t is not below stable's quantile; t is estimated, so a candidate that crowds just under the limit, where stable
spreads, is covered only to within the error of that estimate (Howard & Ramdas, arXiv 1906.09712, and Lindon et al.,
arXiv 2205.14762, test quantiles by such shares). max_ratio * t is rounded up to the bound of a bucket, by 5 % at most
and in the candidate's favour.

Before the first block nothing is known of stable. A random half of stable's answers in it chooses the threshold, and
the other half is bet on: what chose the threshold still does not judge it, and none of the candidate's first answers is
lost, which are most of what it takes to find one that is twice as slow.

Counts are of latency buckets (`latency_histogram.py`) along the last axis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from services.shared.release.latency_histogram import BUCKETS, GROWTH
from services.shared.release.rate_evidence import Block, Floats, Line, Numbers, after_block, log_evidence, log_prior

NO_MORE_THAN_STABLE = Line(1.0, 0.0)
LEAST_PAST = 20  # answers of stable that choose a threshold
# A candidate that is slower by half and more has several times its share of answers above the threshold: the bets lie
# higher than those on rates, and highest for the median, which half of stable's answers exceed.
_TAIL, _MIDDLE = log_prior(4.0, 2.0), log_prior(3.0, 2.0)


def prior_of(q: float) -> Floats:
    """What the bets on a quantile begin with."""
    return _MIDDLE if q < 0.75 else _TAIL


def quantile_bucket(counts: Numbers, q: float) -> Numbers:
    """The bucket of the smallest value that the share q of all values do not exceed; 0 of no values."""
    below = np.cumsum(counts, axis=-1)
    bucket: Numbers = np.argmax(below >= np.maximum(np.ceil(q * below[..., -1:]), 1), axis=-1)
    return np.where(below[..., -1] > 0, bucket, 0)


def bucket_at_ratio(bucket: int, max_ratio: float) -> int:
    """The first bucket whose upper bound is at least `max_ratio` times that of `bucket`; at most the last."""
    by = math.ceil(math.log(max_ratio) / math.log(GROWTH) - 1e-9)
    return min(max(bucket + by, 0), BUCKETS - 1)


def shifted(bucket: Numbers, max_ratio: float) -> Numbers:
    """`bucket_at_ratio` of many."""
    cut: Numbers = np.clip(bucket + bucket_at_ratio(0, max_ratio), 0, BUCKETS - 1)
    return cut


def can_be_split(count: int) -> bool:
    """Whether half of stable's first answers are enough to choose a threshold."""
    return count >= 2 * LEAST_PAST


def random_half(counts: Sequence[int]) -> tuple[int, ...]:
    """Half of the values, drawn without putting back. The draw is another for other counts and always the same for the
    same, so that whoever looks again sees the same evidence."""
    chance = np.random.default_rng([int(count) for count in counts])
    half: list[int] = chance.multivariate_hypergeometric(counts, sum(counts) // 2).tolist()
    return tuple(half)


def above(counts: Numbers, bucket: Numbers) -> Numbers:
    """How many values lie above a bucket."""
    below = np.cumsum(counts, axis=-1)
    count: Numbers = below[..., -1] - np.take_along_axis(below, np.asarray(bucket)[..., None], axis=-1)[..., 0]
    return count


def after_latencies(
    stakes: Floats, past_s: Numbers, new_c: Numbers, new_s: Numbers, q: float, max_ratio: float
) -> Floats:
    """The stakes (shape (..., 2, BETS): against stable, against 1 - q) after a block of new latencies. `past_s` are
    stable's latencies that choose the threshold: at least one."""
    bucket = quantile_bucket(past_s, q)
    cut = shifted(bucket, max_ratio)
    block = Block(new_c.sum(axis=-1), above(new_c, cut), new_s.sum(axis=-1), above(new_s, bucket))
    expected_s = (above(past_s, bucket) + 0.5) / (past_s.sum(axis=-1) + 1.0)
    paired = after_block(stakes[..., 0, :], block, expected_s, NO_MORE_THAN_STABLE, prior_of(q))
    alone = after_block(stakes[..., 1, :], block, expected_s, Line(0.0, 1.0 - q), prior_of(q))
    return np.stack((paired, alone), axis=-2)


def log_quantile_evidence(stakes: Floats) -> Floats:
    """The logarithm of the e-value: the smaller of both."""
    least: Floats = log_evidence(stakes).min(axis=-1)
    return least
