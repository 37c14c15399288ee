"""What one worker process counts, and how `/metrics` shows it."""

from __future__ import annotations

from collections import Counter

from services.shared.jobs.job import ItemResult
from services.shared.telemetry.exposition import exposed, told, told_alone, told_histogram
from services.shared.telemetry.family import Label, counter, gauge, histogram
from services.shared.telemetry.histogram import Histogram, HistogramSnapshot

_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)

_ENDS = ("completed", "retry", "split", "buried", "lost")
_ITEMS = ("done", "failed")
_RUNNING = gauge("grayscale_jobs_worker_running_chunks", "Chunks now in work here", "chunks")
_CHUNKS = counter(
    "grayscale_jobs_worker_chunks_total", "Chunks that ended here, by what became of them", "chunks",
    Label("outcome", _ENDS),
)  # fmt: skip
_IMAGES = counter("grayscale_jobs_worker_items_total", "Images of completed chunks", "images", Label("outcome", _ITEMS))
_SECONDS = histogram(
    "grayscale_jobs_chunk_duration_seconds", "From a chunk's claim to its results in the store", "seconds"
)
FAMILIES = (_RUNNING, _CHUNKS, _IMAGES, _SECONDS)


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
    return exposed(
        told_alone(_RUNNING, counters.running),
        told(_CHUNKS, [((end,), counters.chunks[end]) for end in _ENDS]),
        told(_IMAGES, [((end,), counters.items[end]) for end in _ITEMS]),
        told_histogram(_SECONDS, [((), counters.seconds)]),
    )
