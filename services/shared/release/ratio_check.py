"""Whether keys were split between the arms as they should have been: the sample-ratio check. Pure.

The Bayes factor of a multinomial with a Dirichlet prior around the intended split against that split is a test
martingale (Lindon & Malek, arXiv 2011.03567, equation 5): above 1/alpha the split is wrong, whenever it is looked at.

Keys are counted by HyperLogLog, whose error does not average out; a count n is therefore taken for the fewer keys of
which chance alone would make the same error: 1/n' = 1/n + 2 ERROR^2 for the smallest arm, the others in proportion.
The keys of two steps are the same people, so that the factors of steps are averaged, never multiplied: the weights
1/(i (i+1)) of the i-th step add up to 1 at most.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

from services.shared.release.distinct_keys import ERROR

ALPHA = 0.001
CONCENTRATION = 200.0  # of the prior, in keys: a split that is wrong by a tenth is found soonest


@lru_cache(maxsize=4096)
def log_ratio_evidence(keys: tuple[float, ...], shares: tuple[float, ...], error: float = ERROR) -> float:
    """The logarithm of the Bayes factor against the split. `keys` are distinct keys of each arm, counted with the
    relative standard error `error`; `shares` add up to 1. Infinite where an arm without a share has a key."""
    if any(key > 0 and share == 0 for key, share in zip(keys, shares, strict=True)):
        return math.inf
    arms = [(key, share) for key, share in zip(keys, shares, strict=True) if share > 0]
    total = sum(key for key, _ in arms)
    fewest = total * min((share for _, share in arms), default=0.0)
    scale = 1 / (1 + 2 * fewest * error**2)
    result = math.lgamma(CONCENTRATION) - math.lgamma(CONCENTRATION + total * scale)
    for key, share in arms:
        prior, count = CONCENTRATION * share, key * scale
        result += math.lgamma(prior + count) - math.lgamma(prior) - count * math.log(share)
    return result


def log_average(by_step: Sequence[float]) -> float:
    """The logarithm of the average over the steps, in their order, of what `log_ratio_evidence` said of each."""
    parts = [value - math.log(i * (i + 1)) for i, value in enumerate(by_step, start=1)]
    most = max(parts, default=-math.inf)
    if math.isinf(most):
        return most
    return most + math.log(sum(math.exp(part - most) for part in parts))
