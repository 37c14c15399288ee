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

All functions take arrays of any shape, one element for each test; stakes have BETS as an additional last axis. A
line's numbers are of the same shape, or one for all.
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
BETS = len(EFFECTS) + 1  # the first is the part in hand
_IN_HAND = 0.07
_SPREAD_ANEW = 0.002  # of the whole, at each block
_LEAST = 1e-6  # no share is believed to be nearer to 0 or 1
_POLISH = 2  # Newton's steps after the closed form, whose error is below 1e-8


def log_prior(middle: float, width: float) -> Floats:
    """The logarithms of what each bet begins with: a bell over the indices of EFFECTS, and the part in hand."""
    shape = np.exp(-((np.arange(len(EFFECTS)) - middle) ** 2) / (2 * width**2))
    prior: Floats = np.log(np.concatenate(([_IN_HAND], (1 - _IN_HAND) * shape / shape.sum())))
    return prior


# Most lies in the middle: large effects need few answers to pay back a small stake, and small ones are rarely what a
# limit is there for.
RATES: Floats = log_prior(5.7, 2.1)


@dataclass(frozen=True, slots=True)
class Line:
    """The limit: p_c <= slope * p_s + offset. Slope 0 is an absolute limit, to which stable says nothing."""

    slope: float | Floats
    offset: float | Floats


@dataclass(frozen=True, slots=True)
class Block:
    """What came between two looks: answers and bad ones of both arms."""

    n_c: Numbers
    x_c: Numbers
    n_s: Numbers
    x_s: Numbers


def first_stakes(shape: tuple[int, ...] = (), prior: Floats = RATES) -> Floats:
    """The logarithms of the stakes before the first block; they sum to 1."""
    return np.broadcast_to(prior, (*shape, BETS)).copy()


def log_evidence(stakes: Floats) -> Floats:
    """The logarithm of the e-value: of the sum of the stakes."""
    most = stakes.max(axis=-1)
    total: Floats = most + np.log(np.exp(stakes - most[..., None]).sum(axis=-1))
    return total


def after_block(stakes: Floats, block: Block, expected_s: Floats, line: Line, prior: Floats = RATES) -> Floats:
    """The stakes after a block. `expected_s` is stable's share of bad answers as the blocks before let expect it."""
    spread = np.logaddexp(
        stakes + math.log1p(-_SPREAD_ANEW), prior + math.log(_SPREAD_ANEW) + log_evidence(stakes)[..., None]
    )
    spread[..., 1:] += log_factor(block, expected_s, line)
    return spread


def log_factor(block: Block, expected_s: Floats, line: Line, effects: Floats = EFFECTS) -> Floats:
    """The logarithm of what each of the alternatives gains in a block; 0 where there is nothing to compare with."""
    s = _within(np.asarray(expected_s, float)[..., None], _LEAST, 1 - _LEAST)
    slope, offset = (np.asarray(number, float)[..., None] for number in (line.slope, line.offset))
    limit, paired = slope * s + offset, slope > 0
    at_limit = np.minimum(limit, 1 - _LEAST)
    c = at_limit + effects * (1 - at_limit)
    n_c, x_c, n_s, x_s = (np.asarray(a, float)[..., None] for a in (block.n_c, block.x_c, block.n_s, block.x_s))
    s0 = nearest_null(n_c, c, n_s, s, Line(slope, offset))
    c0 = _within(slope * s0 + offset, _LEAST / 10, 1 - _LEAST / 10)  # where there is no room, nothing is bet below
    gain = x_c * np.log(c / c0) + (n_c - x_c) * np.log((1 - c) / (1 - c0))
    gain += x_s * np.log(s / s0) + (n_s - x_s) * np.log((1 - s) / (1 - s0))
    comparable = (n_c > 0) & ((n_s > 0) | ~paired) & (limit < 1 - _LEAST)
    factor: Floats = gain * comparable
    return factor


def nearest_null(n_c: Floats, c: Floats, n_s: Floats, s: Floats, line: Line) -> Floats:
    """The s0 on the limit that minimises n_c KL(c | slope s0 + offset) + n_s KL(s | s0), for an alternative beyond it;
    s itself where the slope is 0.

    The sum is convex in s0. Its derivative, multiplied by both variances, is a cubic that falls at both ends and rises
    from below 0 at s to above 0 at (c - offset) / slope: it has three real roots, and the one between them is Viète's
    middle one, m + 2 r sin(arcsin(q / (2 r^3)) / 3), made exact by Newton's steps.
    """
    paired = np.asarray(line.slope) > 0
    slope, offset = line.slope + ~paired, line.offset  # of an absolute limit any will do: high is s there
    weight_s = n_s / np.maximum(n_c + n_s, 1)
    weight_c = (1 - weight_s) * slope
    rise, at_zero, square = slope * (1 - 2 * offset), offset * (1 - offset), slope * slope
    p2 = (weight_s * (rise + square * s) + weight_c * (slope - offset + c)) / -square
    p1 = (weight_s * (at_zero - rise * s) + weight_c * (offset - c)) / -square
    p0 = weight_s * (at_zero / square) * s
    middle = p2 / -3
    r = np.sqrt(np.maximum(middle * middle - p1 / 3, 1e-18))
    q = (p1 - 2 * middle * middle) * middle + p0
    low, high = s, np.maximum(np.minimum((c - offset) / slope, 1 - _LEAST / 10) * paired, s)
    s0 = _within(middle + 2 * r * np.sin(np.arcsin(_within(q / (2 * r * r * r), -1.0, 1.0)) / 3), low, high)
    for _ in range(_POLISH):
        value, falls = ((s0 + p2) * s0 + p1) * s0 + p0, np.minimum((3 * s0 + 2 * p2) * s0 + p1, -1e-12)
        s0 = _within(s0 - value / falls, low, high)
    return s0


def _within(numbers: Floats, low: Floats | float, high: Floats | float) -> Floats:
    """np.clip, which takes three times as long for a few numbers."""
    return np.minimum(np.maximum(numbers, low), high)
