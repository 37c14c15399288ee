"""What is told from the times and statuses of an open loop."""

from __future__ import annotations

import math

import numpy as np
import pytest

from services.cli.measure.open_load import OpenLoad

LOAD = OpenLoad(
    due_s=np.array([0.0, 1.0, 2.0, 3.0, 4.0]),
    sent_s=np.array([0.0, 1.5, 2.0, 3.0, math.nan]),
    done_s=np.array([0.5, 3.0, 2.001, 3.2, math.nan]),
    status=np.array([200, 200, 503, 500, 0], np.int32),
    connections=2,
    cpu_s=0.01,
)


def test_statuses_and_what_counts_as_an_error() -> None:
    assert LOAD.statuses() == {0: 1, 200: 2, 500: 1, 503: 1}
    assert (LOAD.errors, LOAD.broken) == (2, 1)


def test_latencies_count_from_when_a_request_was_due() -> None:
    assert LOAD.latencies_ms(200) == pytest.approx([500.0, 2000.0])
    assert LOAD.latencies_ms(429, 503) == pytest.approx([1.0])
    assert LOAD.latencies_ms(404) == []


@pytest.mark.parametrize(
    ("begin_s", "end_s", "answers_per_s"), [(0.0, 4.0, 0.5), (0.0, 1.0, 1.0), (0.5, 3.0, 0.4), (3.5, 4.0, 0.0)]
)
def test_goodput_counts_answers_by_when_they_came(begin_s: float, end_s: float, answers_per_s: float) -> None:
    assert LOAD.goodput(begin_s, end_s) == pytest.approx(answers_per_s)


def test_a_part_has_the_requests_that_were_due_in_it() -> None:
    part = LOAD.between(1.0, 3.0)
    assert part.statuses() == {200: 1, 503: 1}
    assert part.due_s.tolist() == [1.0, 2.0]


def test_what_the_generator_itself_adds_and_costs() -> None:
    assert LOAD.late_p99_ms == pytest.approx(500.0)
    assert LOAD.cpu_ms_per_request == pytest.approx(2.0)
    nothing = np.array([])
    empty = OpenLoad(nothing, nothing, nothing, np.array([], np.int32), 0, 0.0)
    assert (empty.cpu_ms_per_request, empty.late_p99_ms, empty.errors) == (0.0, 0.0, 0)
