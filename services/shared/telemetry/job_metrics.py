"""What the job store counts, as metrics.

The numbers are the whole deployment's, whichever process is asked: over several instances they are to be looked at with
`max`, never added up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from services.shared.jobs.job import JobState, StoreStats
from services.shared.priority import Priority
from services.shared.telemetry.exposition import Told, exposed, told, told_alone
from services.shared.telemetry.family import Family, Label, counter, gauge

_NAME = "grayscale_jobs_"
_PRIORITY = Label("priority", tuple(priority.name.lower() for priority in Priority))
_WAITING_CHUNKS = gauge(f"{_NAME}waiting_chunks", "Chunks that can be worked on now", "chunks", _PRIORITY)
_WAITING_IMAGES = gauge(f"{_NAME}waiting_images", "Images of jobs that have no result yet", "images", _PRIORITY)
_OLDEST = gauge(
    f"{_NAME}oldest_waiting_seconds", "Age of the job that has waited longest; 0 without one", "seconds", _PRIORITY
)
_ACTIVE = gauge(f"{_NAME}active", "Jobs that have not ended", "jobs")
_RUNNING = gauge(f"{_NAME}running_chunks", "Chunks that a worker has", "chunks")
_DELAYED = gauge(f"{_NAME}delayed_chunks", "Chunks that wait for another attempt", "chunks")
_DEAD = gauge(f"{_NAME}dead_letters", "Images that were given up and can be requeued", "images")
_CREATED = counter(f"{_NAME}created_total", "Jobs that were accepted", "jobs")
_ENDED = counter(
    f"{_NAME}ended_total", "Jobs that ended, by how", "jobs",
    Label("state", tuple(state.value for state in JobState if state.ended)),
)  # fmt: skip
_IMAGES = counter(
    f"{_NAME}images_total", "Images of jobs, by what came of them; buried ones are failed, too", "images",
    Label("outcome", ("done", "failed", "buried")),
)  # fmt: skip
_CHUNKS = counter(
    f"{_NAME}chunks_total", "Chunks that came back without results, by what happened", "chunks",
    Label("event", ("retried", "lapsed", "split")),
)  # fmt: skip
_WEBHOOKS = counter(
    f"{_NAME}webhooks_total", "Attempts to send a webhook, and webhooks that were given up", "webhooks",
    Label("outcome", ("delivered", "failed", "given_up")),
)  # fmt: skip
FAMILIES = (
    *(_WAITING_CHUNKS, _WAITING_IMAGES, _OLDEST, _ACTIVE, _RUNNING, _DELAYED, _DEAD),
    *(_CREATED, _ENDED, _IMAGES, _CHUNKS, _WEBHOOKS),
)


def render_jobs(stats: StoreStats) -> bytes:
    """The text; labels are priorities and words of the contract."""
    depths = [((depth.priority.name.lower(),), depth) for depth in stats.depths]
    return exposed(
        told(_WAITING_CHUNKS, [(label, depth.chunks) for label, depth in depths]),
        told(_WAITING_IMAGES, [(label, depth.items) for label, depth in depths]),
        told(_OLDEST, [(label, depth.oldest_s) for label, depth in depths]),
        told_alone(_ACTIVE, stats.active_jobs),
        told_alone(_RUNNING, stats.running),
        told_alone(_DELAYED, stats.delayed),
        told_alone(_DEAD, stats.dead),
        told_alone(_CREATED, stats.totals.get("created", 0)),
        *(_by_word(family, stats, prefix) for family, prefix in _TOTALS),
    )


_TOTALS = ((_ENDED, ""), (_IMAGES, ""), (_CHUNKS, ""), (_WEBHOOKS, "webhooks_"))


def _by_word(family: Family, stats: StoreStats, prefix: str) -> Iterator[Told]:
    [label] = family.labels
    words: Iterable[str] = label.values
    return told(family, [((word,), stats.totals.get(prefix + word, 0)) for word in words])
