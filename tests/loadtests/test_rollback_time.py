"""What the benchmark of rollbacks tells, from figures that are known."""

from __future__ import annotations

import pytest

from loadtests.rollback_time import Rollback, is_met, table_of


@pytest.mark.parametrize(
    ("tenth_s", "verdict_s", "met"),
    [
        ([0.4, 0.5], [0.0, 0.3], True),
        ([0.4, 2.6], [0.0, 0.3], False),  # each must be within its bound
        ([0.4, 0.5], [0.0, 1.6], False),
    ],
)
def test_a_target_that_is_missed_once_is_told(tenth_s: list[float], verdict_s: list[float], met: bool) -> None:
    found = [Rollback(20, tenth, verdict) for tenth, verdict in zip(tenth_s, verdict_s, strict=True)]
    assert is_met(found) is met


def test_one_late_process_in_two_hundred_rollbacks_is_within_the_share_that_may_be_late() -> None:
    found = [Rollback(20, 0.4, 0.2)] * 199 + [Rollback(20, 0.4, 1.9)]
    assert is_met(found)
    assert list(table_of(found).columns[3].cells) == ["20", "0.40", "1.90"]
