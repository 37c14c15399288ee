"""What a rate and a burst come to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.shared.quotas.base import Window, day_of, rate_windows, until_next_day_s


@pytest.mark.parametrize(
    ("rate", "burst", "expected"),
    [
        (None, 0, ()),
        (10.0, 10, (Window(10, 1),)),
        (10.0, 20, (Window(20, 2),)),
        (10.0, 15, (Window(15, 1), Window(20, 2))),
        (0.5, 1, (Window(1, 2),)),
        (2.5, 3, (Window(3, 1), Window(5, 2))),
        (0.1, 1, (Window(1, 10),)),
        (1 / 3600, 1, (Window(1, 3600),)),
    ],
)
def test_windows_of_a_rate_and_a_burst(rate: float | None, burst: int, expected: tuple[Window, ...]) -> None:
    assert rate_windows(rate, burst) == expected


@given(rate=st.floats(1 / 3600, 1000), more=st.integers(0, 5000))
def test_neither_the_rate_nor_the_burst_is_ever_exceeded(rate: float, more: int) -> None:
    burst = max(1, -int(-rate // 1)) + more
    windows = rate_windows(rate, burst)
    assert min(w.amount for w in windows) <= burst
    assert min(w.amount / w.seconds for w in windows) <= rate * (1 + 1e-5)
    assert all(w.amount >= 1 and w.seconds >= 1 for w in windows)


def test_a_day_begins_at_midnight_utc() -> None:
    midnight = 1_700_006_400.0  # 2023-11-15T00:00:00Z
    assert day_of(midnight) == day_of(midnight + 86_399.9) == day_of(midnight - 0.1) + 1
    assert until_next_day_s(midnight) == 86_400
    assert until_next_day_s(midnight - 0.5) == 0.5
