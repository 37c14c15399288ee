"""What one block of a guardrail's answers is bet on: a row for each of the guardrail's e-processes. Pure.

For one release, in whole numbers; `quantile_evidence.py` and `shift_evidence.py` say why, and do the same for many
simulated releases at once.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate, compress
from operator import add, sub
from typing import NamedTuple

from services.shared.release.metric_cells import ERROR_RATE, PREDICTION_SHIFT, quantile_of
from services.shared.release.plan import Guardrail
from services.shared.release.quantile_evidence import (
    LEAST_PAST,
    NO_MORE_THAN_STABLE,
    bucket_at_ratio,
    can_be_split,
    random_half,
)
from services.shared.release.rate_evidence import Line

Cells = tuple[int, ...]
# Before stable has answered anything, an error in 200 is expected; nothing of the kind is known of other metrics.
PRIOR_ERRORS, PRIOR_REQUESTS = 0.25, 50.0
ALONE_ERRORS = 4.0  # standard errors of stable's past share
ALONE_MOST = 0.5  # and no more than half of all answers, but where stable itself was worse


class Bet(NamedTuple):
    """A row of `rate_evidence.after_block`: the block's answers and bad ones of both arms, stable's expected share of
    bad ones, and the limit's slope and offset."""

    n_c: int
    x_c: int
    n_s: int
    x_s: int
    expected_s: float
    slope: float
    offset: float


def line_of(guardrail: Guardrail) -> Line:
    """The limit of a share: accuracy is judged by its wrong answers."""
    if guardrail.max is not None and guardrail.metric != PREDICTION_SHIFT:
        return Line(0.0, guardrail.max)
    return Line(1.0, guardrail.max or guardrail.max_increase or guardrail.max_decrease or 0.0)


def bets_of(guardrail: Guardrail, past_c: Cells, past_s: Cells, c: Cells, s: Cells) -> list[Bet]:
    """The bets on a block (c, s), with the cells that came before it; none while too little is known of stable."""
    q, known = quantile_of(guardrail.metric), sum(past_s)
    if q is not None:
        return _latency_bets(past_s, known, c, s, q, guardrail.max_ratio or 1.0)
    line = line_of(guardrail)
    slope, offset = float(line.slope), float(line.offset)
    if guardrail.metric != ERROR_RATE and slope and known < LEAST_PAST:
        return []
    n_c, n_s = sum(c), sum(s)
    if guardrail.metric == PREDICTION_SHIFT:
        return [_shift_bet(past_c, past_s, c, s, offset)]
    if slope and not n_s:
        slope, offset = 0.0, limit_alone(past_s, offset)
    return [Bet(n_c, c[1], n_s, s[1], (past_s[1] + PRIOR_ERRORS) / (known + PRIOR_REQUESTS), slope, offset)]


def limit_alone(past_s: Cells, offset: float) -> float:
    """The share of errors that a candidate may have which answers everything: stable's past share to ALONE_ERRORS
    standard errors (Wilson's upper bound, J. Am. Stat. Assoc. 22, 1927), and the guardrail's distance to it. That
    stable would be as it was is taken for granted here, and nowhere else.
    """
    known, squared = max(sum(past_s), 1e-9), ALONE_ERRORS**2
    share = past_s[1] / known
    spread = ALONE_ERRORS * math.sqrt(share * (1 - share) / known + squared / (4 * known * known))
    upper = (share + squared / (2 * known) + spread) / (1 + squared / known)
    return min(upper, max(share, ALONE_MOST)) + offset


def _latency_bets(past_s: Cells, known: int, c: Cells, s: Cells, q: float, max_ratio: float) -> list[Bet]:
    """`quantile_evidence.after_latencies`; where nothing is known of stable yet, half of its block is what is known."""
    if known < LEAST_PAST:
        if not can_be_split(sum(s)):
            return []
        learned = random_half(s)
        past_s = tuple(map(add, past_s, learned))
        s = tuple(map(sub, s, learned))
    below = list(accumulate(past_s))
    known = below[-1]
    bucket = bisect_left(below, max(math.ceil(q * known), 1))
    cut = bucket_at_ratio(bucket, max_ratio)
    n_c, x_c = sum(c), sum(c[cut + 1 :])
    expected = (known - below[bucket] + 0.5) / (known + 1.0)
    paired = Bet(
        n_c,
        x_c,
        sum(s),
        sum(s[bucket + 1 :]),
        expected,
        float(NO_MORE_THAN_STABLE.slope),
        float(NO_MORE_THAN_STABLE.offset),
    )
    return [paired, Bet(n_c, x_c, paired.n_s, paired.x_s, expected, 0.0, 1.0 - q)]


def _shift_bet(past_c: Cells, past_s: Cells, c: Cells, s: Cells, most: float) -> Bet:
    """`shift_evidence.after_predictions`."""
    known_c, known_s = max(sum(past_c), 1), max(sum(past_s), 1)
    telling = [one / known_c > other / known_s for one, other in zip(past_c, past_s, strict=True)]
    expected = (_of(past_s, telling) + 0.5) / (sum(past_s) + 1.0)
    return Bet(sum(c), _of(c, telling), sum(s), _of(s, telling), expected, 1.0, most)


def _of(cells: Cells, telling: Sequence[bool]) -> int:
    return sum(compress(cells, telling))
