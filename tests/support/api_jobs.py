"""What the API's jobs work with, in memory; and a worker for them that answers without a model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from services.api.job_body import JobIntake
from services.api.job_limits import JobLimits
from services.api.job_parts import JobParts
from services.api.job_queue_watch import QueueWatch
from services.api.job_uploads import JobUploads
from services.shared.asgi import BodyLimits
from services.shared.blobs.memory import MemoryBlobStore
from services.shared.clock import ManualClock
from services.shared.errors import Unavailable
from services.shared.jobs.job import Created, Lease, NewJob, StoreStats
from services.shared.jobs.memory import MemoryJobStore
from services.shared.jobs.memory_queue import MemoryJobQueue
from services.shared.outbound.base import UrlRefused
from tests.support.jobs import answers, claimed

LIMITS = JobLimits(
    body=BodyLimits(max_bytes=2_000_000, timeout_s=30.0, idle_s=30.0),
    max_items=100,
    max_image_bytes=1_000_000,
    max_total_bytes=2_000_000,
)
MAX_WAITING = 120
LISTED = "https://images.example.com/"


class FailingJobStore(MemoryJobStore):
    """`away` makes it fail; `lost` makes only the answer of `create` be lost."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock, max_waiting_items=MAX_WAITING)
        self.away = self.lost = False
        self.asked = 0

    async def create(self, new: NewJob) -> Created:
        self._check()
        created = await super().create(new)
        if self.lost:
            raise Unavailable("no answer came")
        return created

    async def stats(self) -> StoreStats:
        self.asked += 1
        self._check()
        return await super().stats()

    def _check(self) -> None:
        if self.away:
            raise Unavailable("the job store is away", retry_after_s=3.0)


class MemoryJobs:
    """Stores whose contents a test can look into. `clock` is theirs."""

    def __init__(self, spool_dir: Path) -> None:
        self.clock = ManualClock()
        self.store = FailingJobStore(self.clock)
        self.blobs = MemoryBlobStore()
        self.queue = MemoryJobQueue()
        self.uploads = JobUploads()
        self.ending = False
        self._spool_dir = spool_dir

    def is_ending(self) -> bool:
        return self.ending

    def parts(self) -> JobParts:
        watch = QueueWatch(self.store, self.clock, max_waiting_items=MAX_WAITING)
        intake = JobIntake(self.blobs, LIMITS, only_listed, self._spool_dir)
        return JobParts(self.store, self.queue, watch, intake, self.uploads)

    async def staged(self) -> list[str]:
        """The jobs of which there is anything in the blob store."""
        return [job.job_id for job in await self.blobs.jobs()]

    async def work(self, *, failed: tuple[int, ...] = ()) -> Lease:
        """Answers the next chunk."""
        lease = await claimed(self.store)
        results = answers(lease, set(failed) & set(lease.chunk.indices))
        shown = [replace(each, result={"predictions": [each.index]}) if each.result else each for each in results]
        await self.store.complete(lease, shown)
        return lease


def only_listed(url: str) -> None:
    """Rules for URLs that allow one host."""
    if not url.startswith(LISTED):
        raise UrlRefused("the host of the url is not listed")
