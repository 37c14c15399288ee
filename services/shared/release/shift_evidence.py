"""Evidence, valid at every look, that two arms' predictions are further apart than a limit in total variation. Pure.

TV(P, Q) is the largest P(A) - Q(A) over sets A of cells. A set that is chosen before a block comes turns the block
into two shares of answers in A, of which the null TV <= max says: the candidate's is at most stable's + max. That is a
test of `rate_evidence.py`, whose e-process therefore covers every set that was ever chosen, without a price for their
number; the estimate's bias (identical arms show 0.05 after 500 answers) never enters, because the answers that chose A
are not the ones that judge it.

What moves stakes takes counts of many releases, of cells along the last axis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from services.shared.release.rate_evidence import Block, Floats, Line, Numbers, after_block


def telling_cells(past_c: Numbers, past_s: Numbers) -> Numbers:
    """Which cells the candidate gave more often than stable, as far as is known: the set A."""
    return _shares(past_c) > _shares(past_s)


def after_predictions(
    stakes: Floats, past_c: Numbers, past_s: Numbers, new_c: Numbers, new_s: Numbers, most: float
) -> Floats:
    """The stakes after a block of new answers; `past_c` and `past_s` are the ones before it, `most` the limit."""
    cells = telling_cells(past_c, past_s)
    block = Block(new_c.sum(axis=-1), (new_c * cells).sum(axis=-1), new_s.sum(axis=-1), (new_s * cells).sum(axis=-1))
    expected_s = ((past_s * cells).sum(axis=-1) + 0.5) / (past_s.sum(axis=-1) + 1.0)
    return after_block(stakes, block, expected_s, Line(1.0, most))


def _shares(counts: Numbers) -> Floats:
    shares: Floats = counts / np.maximum(counts.sum(axis=-1, keepdims=True), 1)
    return shares


def total_variation(c: Sequence[int], s: Sequence[int]) -> float:
    """The distance of the observed shares of one release, 0 to 1; 0 without answers of either."""
    n_c, n_s = sum(c), sum(s)
    if not n_c or not n_s:
        return 0.0
    return 0.5 * sum(abs(one / n_c - other / n_s) for one, other in zip(c, s, strict=True))


def distance_by_chance(c: Sequence[int], s: Sequence[int]) -> float:
    """What identical arms with so many answers show on average: half the sum of the mean absolute differences of the
    cells, each sqrt(2/pi) standard deviations of a normal distribution."""
    n_c, n_s = max(sum(c), 1), max(sum(s), 1)
    pooled = [(one + other) / (n_c + n_s) for one, other in zip(c, s, strict=True)]
    spread = sum(math.sqrt(share * (1 - share)) for share in pooled) * math.sqrt(1 / n_c + 1 / n_s)
    return 0.5 * math.sqrt(2 / math.pi) * spread
