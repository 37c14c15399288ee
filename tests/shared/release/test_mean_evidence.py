from __future__ import annotations

import math

import numpy as np
import pytest

from services.shared.release.mean_evidence import Difference, Sample, mixing_rate


@pytest.mark.parametrize("alpha", [0.05, 0.001])
@pytest.mark.parametrize("variance", [0.3, 1000.0])
def test_the_mixing_rate_makes_the_interval_narrowest_where_it_is_tuned_to(alpha: float, variance: float) -> None:
    at = Difference(0.0, variance, 1.0)
    best = mixing_rate(variance, alpha)
    assert at.radius(alpha, best) <= min(at.radius(alpha, best * factor) for factor in (0.5, 0.9, 1.1, 2.0))


@pytest.mark.parametrize("u", [0.0, 5.0, 20.0, 60.0, -60.0])
def test_the_evidence_is_enough_exactly_where_the_interval_leaves_the_limit_out(u: float) -> None:
    difference, alpha, rate = Difference(u, 100.0, 400.0), 0.05, 0.02
    outside = abs(difference.estimate - 0.01) > difference.radius(alpha, rate)
    assert (difference.log_evidence(rate, 0.01) >= math.log(1 / alpha)) == outside


def test_the_evidence_is_one_on_average_for_a_normal_sum() -> None:
    u = np.linspace(-90, 90, 400_001)
    variance = 50.0
    density = np.exp(-u * u / (2 * variance)) / math.sqrt(2 * math.pi * variance)
    e = [math.exp(Difference(float(x), variance, 1.0).log_evidence(0.01)) for x in u[::100]]
    assert float((density[::100] * e).sum() * (u[100] - u[0])) == pytest.approx(1, abs=1e-6)


def test_a_difference_between_steps_is_none_between_arms() -> None:
    weights = ((100, 1900, 0.1), (1000, 1000, 0.6))
    difference = Difference.over(
        (Sample.of_share(n_c, n_c * share), Sample.of_share(n_s, n_s * share)) for n_c, n_s, share in weights
    )
    assert difference.estimate == pytest.approx(0)


def test_too_few_values_are_nothing() -> None:
    nothing = Difference.over([(Sample(1, 1.0, 1.0), Sample(50, 9.0, 9.0))])
    assert nothing == Difference()
    assert math.isnan(nothing.estimate)
    assert nothing.radius(0.05, 1.0) == math.inf
