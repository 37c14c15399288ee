"""The M/D/c queue, by hand and against its theory."""

from __future__ import annotations

import pytest

from services.cli.measure.load import percentile
from services.cli.measure.open_loop import poisson
from services.cli.measure.queue_model import latencies_s


@pytest.mark.parametrize(
    ("due_s", "servers", "latencies"),
    [
        ([], 1, []),
        ([0.0, 10.0, 20.0], 1, [3.0, 3.0, 3.0]),
        ([0.0, 0.0, 0.0], 1, [3.0, 6.0, 9.0]),
        ([0.0, 0.0, 0.0], 2, [3.0, 3.0, 6.0]),
        ([0.0, 1.0, 2.0, 9.0], 2, [3.0, 3.0, 4.0, 3.0]),
    ],
)
def test_each_waits_for_the_server_that_is_free_first(due_s: list[float], servers: int, latencies: list[float]) -> None:
    assert latencies_s(due_s, 3.0, servers) == latencies


@pytest.mark.parametrize("load", [0.3, 0.5, 0.8])
def test_the_mean_wait_of_one_server_is_that_of_pollaczek_and_khinchine(load: float) -> None:
    found = latencies_s(poisson(load, 200_000.0, seed=1).tolist(), 1.0, 1)
    assert sum(found) / len(found) == pytest.approx(1 + load / (2 * (1 - load)), rel=0.05)


def test_the_tail_at_80_percent_of_two_servers() -> None:
    ascending = sorted(latencies_s(poisson(1.6, 200_000.0, seed=1).tolist(), 1.0, 2))
    assert percentile(ascending, 0.99) / percentile(ascending, 0.5) == pytest.approx(4.0, abs=0.2)
