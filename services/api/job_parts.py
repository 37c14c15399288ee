"""What the routes of jobs work with."""

from __future__ import annotations

from dataclasses import dataclass

from services.api.auth import Caller
from services.api.job_body import JobIntake
from services.api.job_queue_watch import QueueWatch
from services.api.job_uploads import JobUploads
from services.shared.asgi import Scope
from services.shared.jobs.base import JobStore
from services.shared.jobs.queue import JobQueue
from services.shared.keys.base import Scope as KeyScope


@dataclass(frozen=True, slots=True)
class JobParts:
    """Of one process. `watch` asks `store`, and `intake` has the blobs of its jobs."""

    store: JobStore
    queue: JobQueue
    watch: QueueWatch
    intake: JobIntake
    uploads: JobUploads

    async def close(self) -> None:
        await self.queue.close()
        await self.store.close()


def owner_seen(scope: Scope) -> str | None:
    """Whose jobs a request may see, for `JobStore`: an administrator's sees all, others those of their key."""
    caller = _caller(scope)
    return None if KeyScope.ADMIN in caller.scopes else owner_made(scope)


def owner_made(scope: Scope) -> str:
    """To whom a job belongs that a request makes."""
    key = _caller(scope).key
    return "" if key is None else key.key_id


def _caller(scope: Scope) -> Caller:
    caller: Caller = scope["state"]["caller"]
    return caller
