"""What one worker process counts, and how `/metrics` shows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from services.shared.jobs.job import ItemResult
from services.shared.telemetry.histogram import Histogram, HistogramSnapshot

_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class WorkCounters:
    """`chunks` by what became of them: `completed`, `retry`, `split`, `buried`, `lost`. Belongs to one event loop."""

    def __init__(self) -> None:
        self.running = 0
        self.chunks: Counter[str] = Counter()
        self.items: Counter[str] = Counter()
        self._seconds = Histogram(_BOUNDS_S)

    def completed(self, results: list[ItemResult], seconds: float) -> None:
        failed = sum(result.error is not None for result in results)
        self.items.update({"done": len(results) - failed, "failed": failed})
        self._seconds.observe(seconds)

    @property
    def seconds(self) -> HistogramSnapshot:
        return self._seconds.snapshot()


def render_work(counters: WorkCounters) -> bytes:
    """Prometheus' text format."""
    return "\n".join([*_counted(counters), *_latency(counters.seconds), ""]).encode()


def _counted(counters: WorkCounters) -> Iterator[str]:
    yield from _head("grayscale_jobs_worker_running_chunks", "gauge", "Chunks now in work here")
    yield f"grayscale_jobs_worker_running_chunks {counters.running}"
    yield from _head("grayscale_jobs_worker_chunks_total", "counter", "Chunks that ended here, by what became of them")
    for outcome in ("completed", "retry", "split", "buried", "lost"):
        yield f'grayscale_jobs_worker_chunks_total{{outcome="{outcome}"}} {counters.chunks[outcome]}'
    yield from _head("grayscale_jobs_worker_items_total", "counter", "Images of completed chunks")
    for outcome in ("done", "failed"):
        yield f'grayscale_jobs_worker_items_total{{outcome="{outcome}"}} {counters.items[outcome]}'


def _latency(seconds: HistogramSnapshot) -> Iterator[str]:
    name = "grayscale_jobs_chunk_duration_seconds"
    yield from _head(name, "histogram", "From a chunk's claim to its results in the store")
    bounds = [*(repr(bound) for bound in seconds.bounds), "+Inf"]
    for bound, count in zip(bounds, seconds.cumulative(), strict=True):
        yield f'{name}_bucket{{le="{bound}"}} {count}'
    yield f"{name}_sum {seconds.sum!r}"
    yield f"{name}_count {seconds.count}"


def _head(name: str, kind: str, text: str) -> tuple[str, str]:
    return f"# HELP {name} {text}", f"# TYPE {name} {kind}"
