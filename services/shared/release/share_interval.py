"""Always-valid intervals of a share, and of the difference of two, that hold for rare events too. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace

from services.shared.release.mean_evidence import Difference, Sample

_HALVINGS = 60


def share_interval(count: float, hits: float, alpha: float) -> tuple[float, float]:
    """Holds the true share at all times with probability 1 - alpha: every p whose likelihood is more than alpha times
    that of the mixture of all shares under Jeffreys' prior Beta(1/2, 1/2), a martingale under p (Robbins, Annals of
    Mathematical Statistics 41, 1970). All of [0, 1] of nothing."""
    misses = count - hits
    least = math.lgamma(hits + 0.5) + math.lgamma(misses + 0.5) - math.lgamma(count + 1) - math.log(math.pi)
    least += math.log(alpha)

    def is_inside(share: float) -> bool:
        said = (hits * math.log(share) if hits else 0.0) + (misses * math.log1p(-share) if misses else 0.0)
        return said > least

    if not count:
        return 0.0, 1.0
    likeliest = hits / count
    return _edge(is_inside, likeliest, 0.0) if hits else 0.0, _edge(is_inside, likeliest, 1.0) if misses else 1.0


def _edge(is_inside: Callable[[float], bool], inside: float, outside: float) -> float:
    """Where the one begins and the other ends: outside, but by less than can be shown."""
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2
        if 0 < middle < 1 and is_inside(middle):
            inside = middle
        else:
            outside = middle
    return outside


def difference_of_shares(strata: Iterable[tuple[Sample, Sample]]) -> Difference:
    """`Difference.over`, with a variance that is not 0 where neither arm has shown an event, or both nothing else: that
    of one more answer of either kind (Laplace's rule of succession)."""
    known = list(strata)
    plain, least = Difference.over(known), 0.0
    for c, s in known:
        if c.count >= 2 and s.count >= 2:
            both = c.count + s.count
            share = (c.total + s.total + 1) / (both + 2)
            least += c.count * s.count / both * share * (1 - share)
    return replace(plain, v=max(plain.v, least))
