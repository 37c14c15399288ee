"""Evidence, valid at every look, that one share is further above another than a limit allows. Pure.

A look brings a block: of `n_c` new answers of the candidate `x_c` were bad, of `n_s` of stable `x_s`. The null is
p_c <= slope * p_s + offset, where p_c and p_s may be different in every block. The factor of a block for an alternative
(s, c) that was chosen before the block came,

    (c/c0)^x_c ((1-c)/(1-c0))^(n_c-x_c) (s/s0)^x_s ((1-s)/(1-s0))^(n_s-x_s),

has an expectation of at most 1 under every member of the null, where (s0, c0) is the member nearest to (s, c): the one
that minimises n_c KL(c|c0) + n_s KL(s|s0) (Turner, Ly & Grünwald, arXiv 2106.02693; Turner & Grünwald, arXiv
2203.09785, for convex nulls). A product of such factors is a test supermartingale whatever happens between blocks, so
it exceeds 1/alpha at any time with probability alpha at most (Ville 1939). What is asked of the answers of one block
is that those of an arm are independent, given its shares: a stall that both arms share is harmless, one that makes all
answers of one arm bad for a second counts as so many bad answers of that arm.

Which alternative is right nobody knows: the stakes are spread over EFFECTS, and a part is kept in hand. After each
block a little is spread anew, as in Herbster & Warmuth's fixed share (Machine Learning 32, 1998): the sum of the stakes
stays a supermartingale, and a candidate that turns bad late is found without the debt of its good hours.

All functions take arrays of any shape, one element for each release; stakes have BETS as an additional last axis.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Numbers: TypeAlias = npt.NDArray[Any]

# How far beyond the limit an alternative lies, as a share of the room that is left above the limit.
EFFECTS: Floats = 0.95 * 1.7 ** -np.arange(12.0)
# What each begins with. Most lies in the middle: large effects need few answers to pay back a small stake, and small
# ones are rarely what a limit is there for.
_IN_HAND = 0.07
_SHAPE: Floats = np.exp(-((np.arange(12.0) - 5.7) ** 2) / (2 * 2.1**2))
_PRIOR: Floats = np.concatenate(([_IN_HAND], (1 - _IN_HAND) * _SHAPE / _SHAPE.sum()))
_LOG_PRIOR: Floats = np.log(_PRIOR)
BETS = len(_PRIOR)  # the first is the part in hand
_SPREAD_ANEW = 0.002  # of the whole, at each block
_MOST_STEPS, _NEAR = 60, 1e-9
_LEAST = 1e-6  # no share is believed to be nearer to 0 or 1


@dataclass(frozen=True, slots=True)
class Line:
    """The limit: p_c <= slope * p_s + offset. Slope 0 is an absolute limit, to which stable says nothing."""

    slope: float
    offset: float


@dataclass(frozen=True, slots=True)
class Block:
    """What came between two looks: answers and bad ones of both arms."""

    n_c: Numbers
    x_c: Numbers
    n_s: Numbers
    x_s: Numbers


def first_stakes(shape: tuple[int, ...] = ()) -> Floats:
    """The logarithms of the stakes before the first block; they sum to 1."""
    return np.broadcast_to(_LOG_PRIOR, (*shape, BETS)).copy()


def log_evidence(stakes: Floats) -> Floats:
    """The logarithm of the e-value: of the sum of the stakes."""
    most = stakes.max(axis=-1)
    total: Floats = most + np.log(np.exp(stakes - most[..., None]).sum(axis=-1))
    return total


def after_block(stakes: Floats, block: Block, expected_s: Floats, line: Line) -> Floats:
    """The stakes after a block. `expected_s` is stable's share of bad answers as the blocks before let expect it."""
    spread = np.logaddexp(
        stakes + math.log1p(-_SPREAD_ANEW), _LOG_PRIOR + math.log(_SPREAD_ANEW) + log_evidence(stakes)[..., None]
    )
    spread[..., 1:] += log_factor(block, expected_s, line)
    return spread


def log_factor(block: Block, expected_s: Floats, line: Line, effects: Floats = EFFECTS) -> Floats:
    """The logarithm of what each of the alternatives gains in a block; 0 where there is nothing to compare with."""
    s = np.clip(np.asarray(expected_s, float)[..., None], _LEAST, 1 - _LEAST)
    at_limit = np.minimum(line.slope * s + line.offset, 1 - _LEAST)
    c = at_limit + effects * (1 - at_limit)
    n_c, x_c, n_s, x_s = (np.asarray(a, float)[..., None] for a in (block.n_c, block.x_c, block.n_s, block.x_s))
    s0 = nearest_null(n_c, c, n_s, s, line)
    c0 = np.minimum(line.slope * s0 + line.offset, 1 - _LEAST / 10)  # where there is no room, nothing is bet below
    gain = x_c * np.log(c / c0) + (n_c - x_c) * np.log((1 - c) / (1 - c0))
    if line.slope:
        gain += x_s * np.log(s / s0) + (n_s - x_s) * np.log((1 - s) / (1 - s0))
    comparable = (n_c > 0) & ((n_s > 0) | (line.slope == 0)) & (line.slope * s + line.offset < 1 - _LEAST)
    return np.where(comparable, gain, 0.0)


def nearest_null(n_c: Floats, c: Floats, n_s: Floats, s: Floats, line: Line) -> Floats:
    """The s0 on the limit that minimises n_c KL(c | slope s0 + offset) + n_s KL(s | s0), for an alternative beyond it.

    The sum is convex in s0. Its derivative, multiplied by both variances, is a cubic that changes sign once between s
    and (c - offset) / slope: Newton's steps, halved where they would leave the interval, find the root.
    """
    if not line.slope:
        return np.broadcast_to(s, np.broadcast_shapes(s.shape, c.shape))
    high = np.maximum(np.minimum((c - line.offset) / line.slope, 1 - _LEAST / 10), s)
    low, pull = s, line.slope * n_c
    s0 = (n_s * s + pull * high) / np.maximum(n_s + pull, 1)
    for _ in range(_MOST_STEPS):
        c0 = line.slope * s0 + line.offset
        v_s, v_c, d_s, d_c = s0 * (1 - s0), c0 * (1 - c0), s0 - s, c0 - c
        value = n_s * d_s * v_c + pull * d_c * v_s
        rise = n_s * (v_c + d_s * line.slope * (1 - 2 * c0)) + pull * (line.slope * v_s + d_c * (1 - 2 * s0))
        low, high = np.where(value < 0, s0, low), np.where(value < 0, high, s0)
        step = s0 - value / np.where(rise > 0, rise, np.inf)
        better = np.where((step >= low) & (step <= high) & (rise > 0), step, (low + high) / 2)
        moved = np.abs(better - s0).max(initial=0.0)
        s0 = better
        if moved < _NEAR:
            break
    return s0
