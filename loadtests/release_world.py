"""Simulated releases, thousands at once: what both arms answer in each second, and the guardrails that look at it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

import numpy as np

from services.shared.release.guardrail_evidence import LEAST_IN_BLOCK, WINDOW
from services.shared.release.latency_histogram import BUCKETS, upper_bound_s
from services.shared.release.quantile_evidence import (
    LEAST_PAST,
    after_latencies,
    can_be_split,
    log_quantile_evidence,
    prior_of,
    random_half,
)
from services.shared.release.rate_evidence import RATES, Block, Line, after_block, first_stakes
from services.shared.release.shift_evidence import after_predictions

Array = np.ndarray[Any, Any]
Bet = Callable[[Array, Array, Array, Array, Array], Array]  # stakes, past_c, past_s, new_c, new_s -> stakes
MEDIAN_S = 0.02


@dataclass(frozen=True, slots=True)
class Test:
    """A guardrail's e-process over many releases: the same mathematics that judges a real one. `splits`: where nothing
    is known of stable, half of its first block is what is known."""

    bet: Bet
    processes: int = 1
    learns_first: bool = True
    paired: bool = True
    splits: bool = False
    prior: Array = field(default_factory=lambda: RATES)


def rate_test(line: Line, *, prior: bool = False) -> Test:
    def bet(stakes: Array, _past_c: Array, past_s: Array, c: Array, s: Array) -> Array:
        expected = (past_s[..., 1] + 0.25) / (past_s.sum(axis=-1) + 50.0)
        block = Block(c.sum(axis=-1), c[..., 1], s.sum(axis=-1), s[..., 1])
        return after_block(stakes[..., 0, :], block, expected, line)[..., None, :]

    return Test(bet, learns_first=line.slope > 0 and not prior, paired=line.slope > 0)


def latency_test(q: float, max_ratio: float) -> Test:
    def bet(stakes: Array, _past_c: Array, past_s: Array, c: Array, s: Array) -> Array:
        return after_latencies(stakes, past_s, c, s, q, max_ratio)

    return Test(bet, processes=2, splits=True, prior=prior_of(q))


def shift_test(most: float) -> Test:
    return Test(lambda stakes, pc, ps, c, s: after_predictions(stakes[..., 0, :], pc, ps, c, s, most)[..., None, :])


def log_normal_buckets(factor: float, sigma: float) -> Array:
    """The share of each latency bucket for log-normal latencies with a median of `factor` times MEDIAN_S."""
    normal = NormalDist(math.log(MEDIAN_S * factor), sigma)
    below = [normal.cdf(math.log(upper_bound_s(bucket))) for bucket in range(BUCKETS - 1)] + [1.0]
    shares: Array = np.diff(np.array(below), prepend=0.0)
    shares /= shares.sum()
    return shares


@dataclass(frozen=True, slots=True)
class Phase:
    """Some seconds of one weight: mean requests a second of either arm."""

    seconds: int
    candidate_per_s: float
    stable_per_s: float


STEPS = (Phase(60, 10, 190), Phase(120, 50, 150), Phase(300, 100, 100))


@dataclass(frozen=True, slots=True)
class Arms:
    """The cells' shares of both arms: of shape (cells,), or (releases, cells), or with a leading axis of 2 for the
    seconds of a burst. `burst` is the chance that a second begins one, of `burst_s` seconds on average; `own` bursts
    come to each arm at its own times."""

    c: Array
    s: Array
    burst: float = 0.0
    burst_s: float = 3.0
    own: bool = False


@dataclass(frozen=True, slots=True)
class Outcomes:
    """When each release failed, in looks (0: never), after how many requests of the candidate; and the requests, bad
    answers (last cell) of a test that only counts: what the peeking z-test would have said."""

    look: Array
    requests: Array
    z_look: Array


def simulate(
    arms: Arms,
    test: Test,
    alpha: float,
    *,
    releases: int,
    seed: int,
    steps: tuple[Phase, ...] = STEPS,
    margin: float = 0,
) -> Outcomes:
    """Looks at every second. `margin` is the limit of the z-test, which takes the last cell for bad answers."""
    rng = np.random.default_rng(seed)
    cells = arms.c.shape[-1]
    stakes = first_stakes((releases, test.processes), test.prior)
    past_c, past_s, new_c, new_s, all_c, all_s = (np.zeros((releases, cells), int) for _ in range(6))
    look, z_look, requests = (np.zeros(releases, int) for _ in range(3))
    bursting = np.zeros((2, releases), bool)
    second = 0
    for phase in steps:
        for _ in range(phase.seconds):
            second += 1
            bursting = _next_bursts(rng, arms, bursting)
            c = _draw(rng, arms.c, phase.candidate_per_s, releases, bursting[0])
            s = _draw(rng, arms.s, phase.stable_per_s, releases, bursting[1])
            new_c, new_s, all_c, all_s = new_c + c, new_s + s, all_c + c, all_s + s
            least_s = new_s.sum(axis=-1) if test.paired else LEAST_IN_BLOCK
            whole = np.minimum(new_c.sum(axis=-1), least_s) >= (LEAST_IN_BLOCK if test.paired else 1)
            learned = _first_halves(test, past_s, new_s, whole)
            known = (past_s + learned).sum(axis=-1)
            ready = whole & ((known >= LEAST_PAST) if test.learns_first else True)
            bet = test.bet(stakes, past_c, past_s + learned, new_c, new_s - learned).reshape(stakes.shape)
            stakes = np.where(ready[:, None, None], bet, stakes)
            past_c, past_s = past_c + whole[:, None] * new_c, past_s + whole[:, None] * new_s
            full = past_s.sum(axis=-1, keepdims=True) > WINDOW
            past_c, past_s = np.where(full, past_c // 2, past_c), np.where(full, past_s // 2, past_s)
            new_c, new_s = np.where(whole[:, None], 0, new_c), np.where(whole[:, None], 0, new_s)
            failed = (log_quantile_evidence(stakes) >= math.log(1 / alpha)) & (look == 0)
            look, requests = np.where(failed, second, look), np.where(failed, all_c.sum(axis=-1), requests)
            z_look = np.where((z_look == 0) & _z_fails(all_c, all_s, margin, alpha), second, z_look)
        if look.all():
            break
    return Outcomes(look, requests, z_look)


def _draw(rng: np.random.Generator, shares: Array, per_s: float, releases: int, bursting: Array) -> Array:
    """(releases, cells) counts of one second."""
    counts = rng.poisson(per_s, releases)
    if shares.ndim == 3:
        shares = shares[bursting.astype(int), 0]
    drawn: Array = rng.multinomial(counts, shares)
    return drawn


def _first_halves(test: Test, past_s: Array, new_s: Array, whole: Array) -> Array:
    """What of stable's block is known beforehand: half of it where nothing was known and it is enough."""
    halves = np.zeros_like(new_s)
    if test.splits:
        for row in np.flatnonzero(whole & (past_s.sum(axis=-1) < LEAST_PAST)):
            if can_be_split(int(new_s[row].sum())):
                halves[row] = random_half(new_s[row])
    return halves


def _next_bursts(rng: np.random.Generator, arms: Arms, bursting: Array) -> Array:
    if not arms.burst:
        return bursting
    draws = rng.random(bursting.shape)
    after = np.where(bursting, draws > 1 / arms.burst_s, draws < arms.burst)
    return after if arms.own else np.stack((after[0], after[0]))


def _z_fails(c: Array, s: Array, margin: float, alpha: float) -> Array:
    """The usual test of two shares with a margin, at its fixed-sample boundary."""
    n_c, n_s = np.maximum(c.sum(axis=-1), 1), np.maximum(s.sum(axis=-1), 1)
    p_c, p_s = c[..., -1] / n_c, s[..., -1] / n_s
    error = np.sqrt(p_c * (1 - p_c) / n_c + p_s * (1 - p_s) / n_s)
    fails: Array = (p_c - p_s - margin > NormalDist().inv_cdf(1 - alpha) * error) & (error > 0) & (n_c >= 30)
    return fails
