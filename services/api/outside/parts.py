"""What an API process reaches outside itself, wired in one place. What is imported here no first prediction needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.api.settings import ApiSettings
from services.shared.clock import SystemClock
from services.shared.errors import Unavailable
from services.shared.outbound.base import OutboundClient
from services.shared.quotas.base import QuotaLimiter
from services.shared.router import Router
from services.shared.wiring import blob_store

if TYPE_CHECKING:
    from services.api.job_parts import JobParts
    from services.shared.release_wiring import ReleaseFollowing

_JOB_STORE_S = 2.0  # for one answer; each is asked for twice


def job_parts(settings: ApiSettings) -> JobParts:
    """Raises Unavailable without a server that keeps them."""
    if not settings.redis_url:
        raise Unavailable(
            "jobs are kept in Redis or Valkey, and no server is set: set GRAYSCALE_REDIS_URL, and start a worker"
        )
    from services.api.job_body import JobIntake
    from services.api.job_parts import JobParts
    from services.api.job_queue_watch import QueueWatch
    from services.api.job_uploads import JobUploads
    from services.shared.jobs.celery import CeleryJobQueue
    from services.shared.jobs.redis import RedisJobStore
    from services.shared.outbound.hosts import AllowList
    from services.shared.outbound.policy import UrlPolicy

    rules = settings.jobs.store
    store = RedisJobStore(
        settings.redis_url,
        results_s=rules.results_s,
        max_waiting_items=rules.max_waiting_items,
        timeout_s=_JOB_STORE_S,
    )
    policy = UrlPolicy(AllowList.parse(settings.outbound.allowed_hosts), settings.outbound.allow_http)
    spool_dir = settings.data_dir / "spool"
    intake = JobIntake(blob_store(settings.jobs.blobs), settings.jobs.limits, policy.check_url, spool_dir)
    watch = QueueWatch(store, SystemClock(), max_waiting_items=rules.max_waiting_items)
    return JobParts(store, CeleryJobQueue(settings.redis_url), watch, intake, JobUploads())


def quota_limiter(settings: ApiSettings) -> QuotaLimiter:
    if settings.redis_url:
        from services.shared.quotas.redis import RedisQuotaLimiter

        return RedisQuotaLimiter(settings.redis_url)
    from services.shared.quotas.memory import MemoryQuotaLimiter

    return MemoryQuotaLimiter()


def outbound_client(settings: ApiSettings) -> OutboundClient:
    from services.shared.outbound.client import HttpcoreOutboundClient

    return HttpcoreOutboundClient(settings.outbound)


def release_following(settings: ApiSettings, router: Router, process_id: str) -> ReleaseFollowing:
    """Raises Unavailable without a server that keeps releases."""
    if not settings.redis_url:
        raise Unavailable("releases are kept in Redis or Valkey, and no server is set: set GRAYSCALE_REDIS_URL")
    from services.shared.release_wiring import ReleaseFollowing

    return ReleaseFollowing(settings.redis_url, settings.data_dir, router, incarnation=process_id)
