"""What `python -m loadtests.release_sim` shows with thousands of releases, with as many as take seconds."""

from __future__ import annotations

import numpy as np
import pytest

from loadtests.release_bounds import absolute_bound, bernoulli_kl, quantile_bound, rate_bound
from loadtests.release_scenarios import (
    ALPHA_K,
    Detection,
    ab_declared,
    also_guarded,
    bursty,
    clustered,
    detect,
    detections,
    guarded,
    rewards_failed,
)
from loadtests.release_sim import share_row
from loadtests.release_world import STEPS, Phase, simulate

RELEASES = 200
SHORT = (Phase(60, 10, 190), Phase(40, 50, 150))
GUARDED = {guard.name: guard for guard in (*guarded(), *also_guarded())}
DETECTIONS = {detection.name: detection for detection in detections()}


def most_by_chance(share: float, releases: int) -> float:
    """Four standard deviations above what is promised: a right test is beyond it once in 30,000 runs."""
    return share + 4 * float(np.sqrt(share * (1 - share) / releases))


@pytest.mark.parametrize("name", sorted(GUARDED))
def test_a_candidate_at_the_limit_is_rarely_thrown_out(name: str) -> None:
    guard = GUARDED[name]
    outcomes = simulate(guard.at_limit, guard.test, ALPHA_K, releases=RELEASES, seed=11, steps=SHORT)
    assert (outcomes.look > 0).mean() <= most_by_chance(ALPHA_K, RELEASES)


@pytest.mark.parametrize("name", sorted(GUARDED))
def test_a_candidate_like_stable_is_not_thrown_out(name: str) -> None:
    guard = GUARDED[name]
    outcomes = simulate(guard.same, guard.test, ALPHA_K, releases=RELEASES, seed=12, steps=SHORT)
    assert (outcomes.look > 0).mean() <= most_by_chance(0.005, RELEASES)


def test_a_peeking_z_test_does_not_pass() -> None:
    guard = GUARDED["error_rate"]
    outcomes = simulate(
        guard.at_limit, guard.test, ALPHA_K, releases=RELEASES, seed=13, steps=STEPS[:2], margin=guard.margin
    )
    assert (outcomes.z_look > 0).mean() > most_by_chance(ALPHA_K, RELEASES)
    assert share_row("at the limit", guard.name, float((outcomes.z_look > 0).mean()), ALPHA_K).kept is False
    assert (outcomes.look > 0).mean() <= most_by_chance(ALPHA_K, RELEASES)


def test_rewards_at_the_limit_are_rarely_thrown_out_and_worse_ones_are() -> None:
    assert rewards_failed(0.1, 60, 22) <= most_by_chance(ALPHA_K, 60)
    assert rewards_failed(0.3, 10, 23) == 1


def test_keys_of_one_error_rate_may_ask_by_zipfs_law_and_bursts_may_come_to_both_arms() -> None:
    arms = clustered(True, RELEASES, 14, by_key=False)
    errors = simulate(arms, GUARDED["error_rate"].test, ALPHA_K, releases=RELEASES, seed=14, steps=SHORT)
    slow = simulate(bursty(False), GUARDED["latency_p95"].test, ALPHA_K, releases=RELEASES, seed=15, steps=SHORT)
    for outcomes in (errors, slow):
        assert (outcomes.look > 0).mean() <= most_by_chance(ALPHA_K, RELEASES)


@pytest.mark.parametrize("detection", [d for d in DETECTIONS.values() if d.allowed], ids=lambda d: d.name)
def test_what_is_worse_is_found_within_its_bound(detection: Detection) -> None:
    outcomes = detect(detection, releases=RELEASES, seed=16)
    assert np.median(np.where(outcomes.look > 0, outcomes.requests, np.inf)) <= detection.allowed * detection.bound


def test_every_answer_an_error_is_found_in_the_first_blocks() -> None:
    outcomes = detect(DETECTIONS["every answer an error"], releases=RELEASES, seed=17)
    assert 0 < outcomes.look.min() <= outcomes.look.max() <= 2


def test_an_ab_test_has_its_power_and_declares_no_winner_without_one() -> None:
    power, per_arm = ab_declared(0.03, 150, 18, looks=40)
    assert power >= 0.8
    assert per_arm == pytest.approx(2.2 * 3554, rel=0.01)
    false, _ = ab_declared(0.0, 150, 19, looks=40)
    assert false <= most_by_chance(0.05, 150)


def test_the_worked_example_of_the_bound() -> None:
    assert rate_bound(0.05, 0.005, 0.005, 0.05 / 4, 19) == pytest.approx(112, abs=0.5)


def test_bounds_of_one_arm_and_of_quantiles_meet_the_bound_of_rates_where_stable_is_known() -> None:
    assert absolute_bound(0.05, 0.01, 0.01) == pytest.approx(rate_bound(0.05, 0.005, 0.005, 0.01, 1e7), rel=1e-3)
    known = quantile_bound(1.5, 0.5, 0.95, 1.2, 0.01, 1e9)
    assert known == pytest.approx(absolute_bound(0.1155, 0.05, 0.01), rel=0.01)
    assert bernoulli_kl(0.0, 0.5) == bernoulli_kl(1.0, 0.5) == pytest.approx(np.log(2))


@pytest.mark.parametrize(("share", "kept"), [(0.012, True), (0.013, False)])
def test_a_row_says_whether_a_promise_was_kept(share: float, kept: bool) -> None:
    assert share_row("", "", share, 0.0125).kept is kept
    assert share_row("", "", share, 0.0125, promised=False).kept is None
