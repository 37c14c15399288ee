"""How a job is cut."""

from __future__ import annotations

import pytest

from services.api.job_chunk_size import chunk_size, item_seconds
from services.shared.model_ref import ModelRef
from services.shared.telemetry.base import DurationTotal, ModelStatistics


@pytest.mark.parametrize(
    ("batch", "item_s", "size"),
    [
        (0, None, 4),
        (1, None, 4),
        (8, None, 32),
        (16, None, 64),
        (256, None, 64),
        (8, 0.001, 32),
        (8, 0.0125, 32),
        (8, 0.05, 10),
        (8, 0.3, 1),
        (8, 10.0, 1),
        (256, 0.0, 64),
    ],
)
def test_a_chunk_has_a_few_batches_and_is_done_soon(batch: int, item_s: float | None, size: int) -> None:
    assert chunk_size(batch, item_s) == size


def test_what_an_item_takes_is_told_by_the_runs_of_all_sizes() -> None:
    none = DurationTotal()
    runs = {1: (none, DurationTotal(2, 40_000_000), none), 8: (none, DurationTotal(1, 60_000_000), none)}
    assert item_seconds([ModelStatistics(ModelRef("m", 1), batch_executions=runs)]) == pytest.approx(0.01)


def test_nothing_is_told_before_the_first_run() -> None:
    assert item_seconds([]) is None
    assert item_seconds([ModelStatistics(ModelRef("m", 1))]) is None
