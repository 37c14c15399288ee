"""What a worker process shows of its work."""

from __future__ import annotations

from services.shared.jobs.job import ItemError, ItemResult
from services.shared.telemetry.exposition import merge
from services.worker.work_counters import WorkCounters, render_work


def samples(text: str) -> dict[str, float]:
    lines = [line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#")]
    return {series: float(value) for series, _, value in lines}


def test_everything_is_there_from_the_start_and_counts() -> None:
    counters = WorkCounters()
    fresh = samples(render_work(counters).decode())
    assert set(fresh.values()) == {0.0}
    counters.running = 1
    counters.chunks.update(["completed", "completed", "lost"])
    counters.completed([ItemResult(0, result={}), ItemResult(1, error=ItemError("not_found", "gone"))], 0.3)
    shown = samples(render_work(counters).decode())
    assert {series: value for series, value in shown.items() if value and "_bucket" not in series} == {
        "grayscale_jobs_worker_running_chunks": 1.0,
        'grayscale_jobs_worker_chunks_total{outcome="completed"}': 2.0,
        'grayscale_jobs_worker_chunks_total{outcome="lost"}': 1.0,
        'grayscale_jobs_worker_items_total{outcome="done"}': 1.0,
        'grayscale_jobs_worker_items_total{outcome="failed"}': 1.0,
        "grayscale_jobs_chunk_duration_seconds_sum": 0.3,
        "grayscale_jobs_chunk_duration_seconds_count": 1.0,
    }
    assert shown['grayscale_jobs_chunk_duration_seconds_bucket{le="0.25"}'] == 0.0
    assert shown['grayscale_jobs_chunk_duration_seconds_bucket{le="0.5"}'] == 1.0
    assert shown['grayscale_jobs_chunk_duration_seconds_bucket{le="+Inf"}'] == 1.0


def test_the_numbers_of_several_processes_add_up() -> None:
    counters = WorkCounters()
    counters.chunks.update(["retry"])
    text = render_work(counters).decode()
    assert samples(merge([text, text]))['grayscale_jobs_worker_chunks_total{outcome="retry"}'] == 2.0
    assert "running_chunks" not in merge([text], gauges=False)
