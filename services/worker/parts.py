"""Everything of one worker process, wired in one place."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

from services.shared.bulk_predictor import BulkPredictor
from services.shared.clock import SystemClock
from services.shared.feedback import FeedbackSigner, feedback_key
from services.shared.imaging.budget import PixelBudget
from services.shared.imaging.preprocess import ImagePreprocessor
from services.shared.imaging.settings import parse_image_settings
from services.shared.jobs.base import JobStore
from services.shared.jobs.celery import CeleryJobQueue
from services.shared.jobs.keeper import JobKeeper
from services.shared.jobs.queue import JobQueue
from services.shared.jobs.redis import RedisJobStore
from services.shared.jobs.webhook_sender import WebhookSender
from services.shared.keys.file import FileKeyStore
from services.shared.outbound.base import OutboundClient
from services.shared.outbound.client import HttpcoreOutboundClient
from services.shared.release_store.last_known import LastKnownRouting
from services.shared.release_wiring import ReleaseFollowing
from services.shared.router import Router
from services.shared.telemetry.prometheus import render
from services.shared.telemetry.release_metrics import render_releases
from services.shared.telemetry.span_metrics import render_spans
from services.shared.telemetry.sum_over_processes import SharedMetrics
from services.shared.tracing.base import FLUSH_S, SpanSink, TraceContext
from services.shared.tracing.traceparent import untraced_context
from services.shared.wiring import (
    LocalServing,
    RemoteServing,
    RemoteSettings,
    Serving,
    ServingSettings,
    blob_store,
    new_process_id,
    tracer_of,
)
from services.worker.bell import Bell
from services.worker.chunk_runner import ChunkRunner
from services.worker.chunk_work import ChunkWork
from services.worker.item_document import ItemWriter
from services.worker.item_loader import ItemLoader, LoadLimits
from services.worker.settings import WorkerSettings
from services.worker.wake_listener import WakeListener
from services.worker.work_counters import WorkCounters, render_work

SOURCE = "job"  # how evidence about a release is labelled that comes from here
_STORE_TIMEOUT_S = 2.0  # well below a lease: a store that hangs is asked again before the lease is lost


@dataclass(frozen=True, slots=True)
class WorkerParts:
    """One process: `runners` do the work, `keeper` and `sender` look after all jobs, `listener` wakes the runners,
    `following` keeps to the releases."""

    serving: Serving
    predictor: BulkPredictor
    store: JobStore
    queue: JobQueue
    outbound: OutboundClient
    runners: tuple[ChunkRunner, ...]
    keeper: JobKeeper
    sender: WebhookSender
    listener: WakeListener
    following: ReleaseFollowing
    shared_metrics: SharedMetrics | None
    spans: SpanSink | None = None

    async def close(self) -> None:
        self.predictor.close()
        await self.serving.close(1.0)
        await self.outbound.aclose()
        await self.following.close()
        await self.queue.close()
        await self.store.close()
        if self.spans is not None:
            await asyncio.to_thread(self.spans.close, FLUSH_S)


def build_parts(settings: WorkerSettings) -> WorkerParts:
    """Nothing runs yet: `serving.start()` begins to load. To be called in the loop that will work."""
    clock, source = SystemClock(), random.Random()  # noqa: S311 - it spreads retries
    worker_id = new_process_id("worker")
    tracer = tracer_of(settings.tracing, service="worker", instance=worker_id)
    spans = None if tracer is None else tracer.sink
    serving = _serving(settings, worker_id, None if tracer is None else untraced_context())
    router = Router(serving.follower.resolve, LastKnownRouting(settings.data_dir).read())
    budget = PixelBudget(settings.decode_memory_bytes)
    predictor = BulkPredictor(
        serving.client,
        router,
        lambda config: ImagePreprocessor(parse_image_settings(config), settings.max_pixels, budget),
        decode_threads=settings.cores,
        generation=lambda ref: serving.follower.current.loaded.get(ref, 0),
        clock=clock,
    )
    rules = settings.store
    store = RedisJobStore(
        settings.redis_url,
        results_s=rules.results_s,
        max_waiting_items=rules.max_waiting_items,
        timeout_s=_STORE_TIMEOUT_S,
    )
    queue = CeleryJobQueue(settings.redis_url)
    blobs, outbound = blob_store(settings.blobs), HttpcoreOutboundClient(settings.outbound)
    writer = ItemWriter(FeedbackSigner(feedback_key(settings.data_dir / "feedback.key")), clock)
    limits = LoadLimits(max_image_bytes=settings.max_image_bytes, url_timeout_s=settings.outbound.timeout_s)
    work = ChunkWork(ItemLoader(blobs, outbound, limits), predictor, writer, clock)
    bell, counters = Bell(), WorkCounters()
    following = ReleaseFollowing(settings.redis_url, settings.data_dir, router)
    serving.routing_revision = lambda: following.revision

    def metrics() -> bytes:
        releases = render_releases(router.counters.snapshot(), SOURCE)
        return (
            render(serving.metrics(), serving.version_states()) + render_work(counters) + releases + render_spans(spans)
        )

    return WorkerParts(
        serving,
        predictor,
        store,
        queue,
        outbound,
        runners=tuple(
            ChunkRunner(store, work, bell, counters, clock, source, worker_id=f"{worker_id}-{number}", tracer=tracer)
            for number in range(settings.runners)
        ),
        keeper=JobKeeper(store, blobs, queue, clock, results_s=rules.results_s),
        sender=WebhookSender(store, outbound, FileKeyStore(settings.data_dir), clock, source),
        listener=WakeListener(settings.redis_url, bell.ring, name=worker_id),
        following=following,
        shared_metrics=SharedMetrics(settings.metrics_dir, metrics) if settings.metrics_dir else None,
        spans=spans,
    )


def _serving(settings: WorkerSettings, worker_id: str, untraced: TraceContext | None) -> Serving:
    shared = ServingSettings(
        settings.models_dir,
        settings.data_dir,
        settings.cores,
        worker_id,
        trial_timeout_s=settings.trial_timeout_s,
    )
    if not settings.model_server:
        return LocalServing(shared)
    key, ca = settings.model_server_key, settings.model_server_ca
    return RemoteServing(shared, RemoteSettings(settings.model_server, key, ca, untraced))
