"""The numbers of jobs as Prometheus reads them."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from services.shared.jobs.job import TOTALS, QueueDepth, StoreStats
from services.shared.priority import Priority
from services.shared.telemetry.job_metrics import render_jobs


def test_every_number_of_the_store_has_its_series() -> None:
    depths = tuple(QueueDepth(priority, 10 * priority, 100 * priority, priority + 0.5) for priority in Priority)
    totals = {name: 1000 + at for at, name in enumerate(TOTALS)}
    text = render_jobs(StoreStats(depths, active_jobs=4, running=5, delayed=6, dead=7, totals=totals)).decode()
    series = {
        (sample.name.removeprefix("grayscale_jobs_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    expected: dict[tuple[str, ...], float] = {
        ("waiting_chunks", "high"): 10,
        ("waiting_chunks", "normal"): 20,
        ("waiting_chunks", "low"): 30,
        ("waiting_images", "high"): 100,
        ("waiting_images", "normal"): 200,
        ("waiting_images", "low"): 300,
        ("oldest_waiting_seconds", "high"): 1.5,
        ("oldest_waiting_seconds", "normal"): 2.5,
        ("oldest_waiting_seconds", "low"): 3.5,
        ("active",): 4,
        ("running_chunks",): 5,
        ("delayed_chunks",): 6,
        ("dead_letters",): 7,
        ("created_total",): totals["created"],
        **{("ended_total", end): totals[end] for end in ("succeeded", "failed", "cancelled", "expired")},
        **{("images_total", outcome): totals[outcome] for outcome in ("done", "failed", "buried")},
        **{
            ("webhooks_total", outcome): totals[f"webhooks_{outcome}"]
            for outcome in ("delivered", "failed", "given_up")
        },
        **{("chunks_total", event): totals[event] for event in ("retried", "lapsed", "split")},
    }
    assert series == expected
