"""Evidence, valid at every look, that two arms' predictions are further apart than a limit in total variation. Pure.

TV(P, Q) is the largest P(A) - Q(A) over sets A of cells. A set that is chosen before a block comes turns the block
into two shares of answers in A, of which the null TV <= max says: the candidate's is at most stable's + max. That is a
test of `rate_evidence.py`, whose e-process therefore covers every set that was ever chosen, without a price for their
number; the estimate's bias (identical arms show 0.05 after 500 answers) never enters, because the answers that chose A
are not the ones that judge it.

Counts are of cells along the last axis.
"""

from __future__ import annotations

import math

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


def total_variation(c: Numbers, s: Numbers) -> Floats:
    """The distance of the observed shares, 0 to 1; 0 without answers of either."""
    distance: Floats = 0.5 * np.abs(_shares(c) - _shares(s)).sum(axis=-1)
    return np.where((c.sum(axis=-1) > 0) & (s.sum(axis=-1) > 0), distance, 0.0)


def distance_by_chance(c: Numbers, s: Numbers) -> Floats:
    """What identical arms with so many answers show on average: half the sum of the mean absolute differences of the
    cells, each sqrt(2/pi) standard deviations of a normal distribution."""
    n_c, n_s = np.maximum(c.sum(axis=-1, keepdims=True), 1), np.maximum(s.sum(axis=-1, keepdims=True), 1)
    pooled = (c + s) / (n_c + n_s)
    spread: Floats = np.sqrt(pooled * (1 - pooled) * (1 / n_c + 1 / n_s))
    mean: Floats = 0.5 * math.sqrt(2 / math.pi) * spread.sum(axis=-1)
    return mean


def _shares(counts: Numbers) -> Floats:
    shares: Floats = counts / np.maximum(counts.sum(axis=-1, keepdims=True), 1)
    return shares
