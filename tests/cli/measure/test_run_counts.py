"""What a server's statistics say of its runs."""

from __future__ import annotations

import orjson
import pytest

from services.cli.measure.run_counts import RunCount, counts_in, mean_batch, runs_between


def test_a_document_is_read() -> None:
    def part(ns: int) -> dict[str, int]:
        return {"count": 4, "ns": ns}

    batch = {"batch_size": 2, "compute_input": part(1), "compute_infer": part(10**9), "compute_output": part(2)}
    document = orjson.dumps({"model_stats": [{"name": "digits", "batch_stats": [batch]}]})
    assert counts_in(document) == {2: RunCount(4, 1.000000003)}


def test_a_mean_run_is_told_of_sizes_that_ran_often_enough_since() -> None:
    before = {1: RunCount(10, 1.0), 4: RunCount(2, 9.0)}
    after = {1: RunCount(14, 1.2), 2: RunCount(3, 0.3), 4: RunCount(4, 9.9)}
    assert runs_between(before, after) == pytest.approx({1: 0.05, 2: 0.1})
    assert mean_batch(before, after) == pytest.approx((4 + 2 * 3 + 4 * 2) / 9)


def test_where_nothing_ran_one_is_alone() -> None:
    assert mean_batch({1: RunCount(5, 0.5)}, {1: RunCount(5, 0.5)}) == 1
