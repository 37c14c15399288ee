"""What the job store counts, in Prometheus' text format.

The numbers are the whole deployment's, whichever process is asked: over several instances they are to be looked at with
`max`, never added up.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.shared.jobs.job import JobState, StoreStats


def render_jobs(stats: StoreStats) -> bytes:
    """The text, of type CONTENT_TYPE."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(JobCollector(stats))
    return generate_latest(registry)


class JobCollector(Collector):
    """Labels are priorities and words of the contract, so their number is bounded."""

    def __init__(self, stats: StoreStats) -> None:
        self._stats = stats

    def collect(self) -> Iterator[Metric]:
        yield from self._depths()
        stats = self._stats
        yield _gauge("active", "Jobs that have not ended", stats.active_jobs)
        yield _gauge("running_chunks", "Chunks that a worker has", stats.running)
        yield _gauge("delayed_chunks", "Chunks that wait for another attempt", stats.delayed)
        yield _gauge("dead_letters", "Images that were given up and can be requeued", stats.dead)
        yield _counter("created", "Jobs that were accepted", {"": stats.totals.get("created", 0)}, "")
        ends = [state.value for state in JobState if state.ended]
        yield _counter("ended", "Jobs that ended, by how", {end: stats.totals.get(end, 0) for end in ends}, "state")
        images = {name: stats.totals.get(name, 0) for name in ("done", "failed", "buried")}
        yield _counter("images", "Images of jobs, by what came of them; buried ones are failed, too", images, "outcome")
        chunks = {name: stats.totals.get(name, 0) for name in ("retried", "lapsed", "split")}
        yield _counter("chunks", "Chunks that came back without results, by what happened", chunks, "event")
        sent = {name: stats.totals.get(f"webhooks_{name}", 0) for name in ("delivered", "failed", "given_up")}
        yield _counter("webhooks", "Attempts to send a webhook, and webhooks that were given up", sent, "outcome")

    def _depths(self) -> Iterator[Metric]:
        chunks = _by_priority("waiting_chunks", "Chunks that can be worked on now")
        images = _by_priority("waiting_images", "Images of jobs that have no result yet")
        oldest = _by_priority("oldest_waiting_seconds", "Age of the job that has waited longest; 0 without one")
        for depth in self._stats.depths:
            priority = [depth.priority.name.lower()]
            chunks.add_metric(priority, depth.chunks)
            images.add_metric(priority, depth.items)
            oldest.add_metric(priority, depth.oldest_s)
        yield from (chunks, images, oldest)


def _by_priority(name: str, text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"grayscale_jobs_{name}", text, labels=("priority",))


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"grayscale_jobs_{name}", text, value)


def _counter(name: str, text: str, values: dict[str, int], label: str) -> CounterMetricFamily:
    family = CounterMetricFamily(f"grayscale_jobs_{name}", text, labels=(label,) if label else ())
    for word, value in values.items():
        family.add_metric([word] if label else [], value)
    return family
