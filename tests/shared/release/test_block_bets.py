"""What one release bets is what thousands of simulated ones bet: the simulation shows something about real ones."""

from __future__ import annotations

import numpy as np
import pytest

from services.shared.release.block_bets import Bet, bets_of
from services.shared.release.latency_histogram import BUCKETS
from services.shared.release.plan import Guardrail
from services.shared.release.quantile_evidence import LEAST_PAST, after_latencies, prior_of, random_half
from services.shared.release.rate_evidence import Block, Floats, Line, after_block, first_stakes
from services.shared.release.shift_evidence import after_predictions

ERRORS = Guardrail("error_rate", max_increase=0.005)
ACCURACY = Guardrail("accuracy", max_decrease=0.01)
DIFFERS = Guardrail("disagreement", max=0.02)
SHIFT = Guardrail("prediction_shift", max=0.1)
P95 = Guardrail("latency_p95", max_ratio=1.2)


def paid(bets: list[Bet], stakes: Floats, prior: Floats) -> Floats:
    n_c, x_c, n_s, x_s, expected_s, slope, offset = np.array(bets, float).T
    return after_block(stakes, Block(n_c, x_c, n_s, x_s), expected_s, Line(slope, offset), prior)


def latencies(rng: np.random.Generator, middle: float, count: int) -> tuple[int, ...]:
    buckets = np.clip(rng.normal(middle, 25, count).astype(int), 0, BUCKETS - 1)
    counts: list[int] = np.bincount(buckets, minlength=BUCKETS).tolist()
    return tuple(counts)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(("metric", "ratio"), [("latency_p50", 1.1), ("latency_p95", 1.2), ("latency_p99", 1.0)])
def test_bets_on_latencies_are_those_of_many(seed: int, metric: str, ratio: float) -> None:
    rng = np.random.default_rng(seed)
    middle = float(rng.uniform(-20, BUCKETS + 20))
    past = latencies(rng, middle, int(rng.integers(LEAST_PAST, 2000)))
    c, s = latencies(rng, middle + float(rng.uniform(-10, 30)), 40), latencies(rng, middle, 400)
    bets = bets_of(Guardrail(metric, max_ratio=ratio), (), past, c, s)
    q = int(metric[-2:]) / 100
    stakes = first_stakes((2,), prior_of(q))
    many = after_latencies(stakes, np.array(past), np.array(c), np.array(s), q, ratio)
    assert paid(bets, stakes, prior_of(q)) == pytest.approx(many)


@pytest.mark.parametrize("seed", range(20))
def test_bets_on_predictions_are_those_of_many(seed: int) -> None:
    rng = np.random.default_rng(seed)
    past_c, past_s, c, s = (rng.multinomial(n, np.full(11, 1 / 11)) for n in (int(rng.integers(0, 50)), 300, 30, 400))
    (bet,) = bets_of(SHIFT, *(tuple(cells.tolist()) for cells in (past_c, past_s, c, s)))
    many = after_predictions(first_stakes(), past_c, past_s, c, s, 0.1)
    assert after_block_of(bet) == pytest.approx(many)


def after_block_of(bet: Bet) -> Floats:
    n_c, x_c, n_s, x_s, expected_s, slope, offset = map(np.array, bet)
    return after_block(first_stakes(), Block(n_c, x_c, n_s, x_s), expected_s, Line(slope, offset))


@pytest.mark.parametrize(
    ("guardrail", "past_s", "bets"),
    [
        (ERRORS, (0, 0), [Bet(10, 3, 50, 2, 0.005, 1.0, 0.005)]),
        (ERRORS, (190, 10), [Bet(10, 3, 50, 2, 10.25 / 250, 1.0, 0.005)]),
        (ACCURACY, (10, 9), []),
        (ACCURACY, (18, 2), [Bet(10, 3, 50, 2, 2.25 / 70, 1.0, 0.01)]),
        (DIFFERS, (0, 0), [Bet(10, 3, 50, 2, 0.005, 0.0, 0.02)]),
        (SHIFT, (10, 9), []),
    ],
)
def test_what_is_not_known_of_stable_is_waited_for_but_not_of_errors(
    guardrail: Guardrail, past_s: tuple[int, int], bets: list[Bet]
) -> None:
    assert bets_of(guardrail, (0, 0), past_s, (7, 3), (48, 2)) == bets


def test_the_first_latencies_are_bet_on_with_half_of_stables() -> None:
    rng = np.random.default_rng(2)
    nothing, c, s = (0,) * BUCKETS, latencies(rng, 170, 10), latencies(rng, 150, 190)
    half = random_half(s)
    rest = tuple(one - other for one, other in zip(s, half, strict=True))
    bets = bets_of(P95, (), nothing, c, s)
    assert bets == bets_of(P95, (), half, c, rest)
    assert [bet.n_s for bet in bets] == [95, 95]


def test_too_few_latencies_of_stable_are_learned_from_and_not_bet_on() -> None:
    rng = np.random.default_rng(2)
    nothing, c = (0,) * BUCKETS, latencies(rng, 170, 10)
    assert bets_of(P95, (), nothing, c, latencies(rng, 150, 2 * LEAST_PAST - 1)) == []
    assert len(bets_of(P95, (), nothing, c, latencies(rng, 150, 2 * LEAST_PAST))) == 2
