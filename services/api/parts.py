"""Everything of one API process, wired in one place."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp

from services.api.admission import Admission
from services.api.auth import Authenticator
from services.api.context import RequestContext
from services.api.deferred_parts import DeferredApp, DeferredLimiter, DeferredOutbound
from services.api.explain_branch import ExplainBranch
from services.api.gates import AdmissionGate
from services.api.job_branch import JobBranch
from services.api.key_guard import KeyGuard
from services.api.outside.parts import job_parts, outbound_client, quota_limiter, release_following
from services.api.own_metrics import own_metrics
from services.api.predict import PredictRoute
from services.api.predict_answer import AnswerWriter
from services.api.protocol_route import ProtocolRoute
from services.api.quick_answer import QuickAnswerWriter
from services.api.quick_predict import QuickPredict
from services.api.quick_protocol import QuickAnswers
from services.api.quick_refusal import QuickRefusal
from services.api.release_terms import release_terms
from services.api.request_cycle import Refuse
from services.api.request_records import RequestRecords
from services.api.serving import serving_of
from services.api.settings import ApiSettings
from services.shared.audit import AuditLog
from services.shared.clock import SystemClock
from services.shared.deferred import Deferred
from services.shared.drift.reader import DriftReader
from services.shared.drift.reference_files import ReferenceFiles
from services.shared.drift.sampler import DriftSampler
from services.shared.feedback import FeedbackSigner, feedback_key
from services.shared.imaging.budget import PixelBudget
from services.shared.imaging.preprocess import ImagePreprocessor
from services.shared.imaging.settings import parse_image_settings
from services.shared.keys.base import KeyStore
from services.shared.keys.file import FileKeyStore
from services.shared.observations.recorded import recorded_counters
from services.shared.oip.handler import ProtocolHandler
from services.shared.oip.http_app import build_oip_app
from services.shared.outbound.base import OutboundClient
from services.shared.predictor import Predictor
from services.shared.quotas.base import QuotaLimiter
from services.shared.release_store.last_known import LastKnownRouting
from services.shared.router import Router
from services.shared.shadow import shadow_bounds
from services.shared.telemetry.access_log import AccessLog
from services.shared.telemetry.explanation_counts import ExplanationCounts
from services.shared.telemetry.http_requests import HttpRequests
from services.shared.telemetry.sum_over_processes import SharedMetrics
from services.shared.tracing.base import FLUSH_S, SpanSink
from services.shared.tracing.request_tracing import RequestTracing
from services.shared.version import VERSION
from services.shared.wiring import Serving, new_process_id, tracer_of

if TYPE_CHECKING:  # no first prediction needs them
    from services.api.job_parts import JobParts
    from services.api.releases.stores import ReleaseStores
    from services.shared.release_wiring import ReleaseFollowing


@dataclass(frozen=True, slots=True)
class Doors:
    """What a request passes or uses beside the models."""

    keys: KeyStore
    limiter: QuotaLimiter
    audit: AuditLog
    outbound: OutboundClient
    signer: FeedbackSigner


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the application and its quick way share of every request."""

    records: RequestRecords
    authenticator: Authenticator
    admission: Admission
    answers: AnswerWriter


@dataclass(frozen=True, slots=True)
class ApiParts:
    """One process of the API: `app` answers, `quick` what is over at once, `refuse` what there is no place for;
    `serving` runs the models,
    `predictor` is the path between them; `deferred` is what `complete` makes ahead of its first use."""

    serving: Serving
    predictor: Predictor
    drift: DriftSampler
    app: ASGIApp
    quick: QuickAnswers
    refuse: Refuse
    shared_metrics: SharedMetrics | None
    doors: Doors
    access_log: AccessLog | None
    jobs: Deferred[JobParts]
    releases: Deferred[ReleaseStores]
    following: Deferred[ReleaseFollowing]
    deferred: tuple[Deferred[Any], ...]
    spans: SpanSink | None = None

    async def complete(self) -> None:
        """Makes everything that no first prediction needs, so that no later request waits for it."""
        for each in self.deferred:
            await each.get()

    async def close(self, drain_s: float) -> None:
        self.predictor.close()
        self.drift.close()
        await self.serving.close(drain_s)
        await self.doors.outbound.aclose()
        await self.doors.limiter.close()
        for each in (self.following.made, self.jobs.made, self.releases.made):
            if each is not None:
                await each.close()
        if self.access_log is not None:
            self.access_log.flush()
        if self.spans is not None:
            await asyncio.to_thread(self.spans.close, FLUSH_S)


def build_parts(settings: ApiSettings, *, draining: Callable[[], bool] = lambda: False) -> ApiParts:
    """Nothing runs yet: `serving.start()` begins to load. To be called in the loop that will serve."""
    own_id = new_process_id("api")
    tracing = RequestTracing(tracer_of(settings.tracing, service="api", instance=own_id), settings.tracing.share)
    serving = serving_of(settings, own_id, tracing.untraced)
    budget = PixelBudget(settings.decode_memory_bytes)
    counters = recorded_counters(settings.metrics_dir if settings.redis_url else None, own_id)
    router = Router(serving.follower.resolve, LastKnownRouting(settings.data_dir).read(), counters, serving.lacks)
    drift = DriftSampler(ReferenceFiles(settings.models_dir), settings.data_dir / "drift", own_id, SystemClock())
    predictor = Predictor(
        serving.client,
        router,
        lambda config: ImagePreprocessor(parse_image_settings(config), settings.max_pixels, budget),
        decode_threads=settings.cores,
        generation=lambda ref: serving.follower.current.loaded.get(ref, 0),
        shadow=shadow_bounds(settings.cores, is_local=not settings.model_server),
        draining=draining,
        drift=drift,
    )
    limiter, outbound = Deferred(lambda: quota_limiter(settings)), Deferred(lambda: outbound_client(settings))
    following = Deferred(lambda: release_following(settings, router, own_id))
    doors = Doors(
        keys=FileKeyStore(settings.data_dir),
        limiter=DeferredLimiter(limiter),
        audit=AuditLog(settings.data_dir),
        outbound=DeferredOutbound(outbound),
        signer=FeedbackSigner(feedback_key(settings.data_dir / "feedback.key")),
    )
    requests, explanations = HttpRequests(), ExplanationCounts()
    access_log = AccessLog("api") if settings.access_log and settings.log_level in ("debug", "info") else None
    bounds = bounds_of(settings, doors, requests, access_log)
    own = own_metrics(serving, requests, router, explanations, bounds.admission, tracing.sink)
    shared_metrics = SharedMetrics(settings.metrics_dir, own) if settings.metrics_dir else None
    metrics = shared_metrics.total if shared_metrics else own
    jobs, releases = Deferred(lambda: job_parts(settings)), Deferred(lambda: _releases(settings, serving))
    submit = Deferred(lambda: _submit(jobs, serving, router))
    asked = (releases, router, doors.signer, bounds.authenticator)
    documented = Deferred(lambda: _documented(settings, serving, metrics, jobs, asked, draining))
    explain = Deferred(lambda: _explain(settings, serving, router, budget, doors.outbound, explanations))
    inner = ExplainBranch(JobBranch(DeferredApp(documented), DeferredApp(submit)), DeferredApp(explain))
    app = build_app(serving, predictor, doors, bounds, settings, inner)
    app = RequestContext(app, bounds.records, draining=draining, tracing=tracing)
    clock = SystemClock()
    quick = QuickPredict(
        predictor.brief, bounds.records, bounds.authenticator, bounds.admission, QuickAnswerWriter(doors.signer, clock),
        clock=clock, draining=draining, tracing=tracing,
    )  # fmt: skip
    refuse = QuickRefusal(bounds.records, bounds.authenticator, bounds.admission, draining=draining)
    deferred: tuple[Deferred[Any], ...] = (documented, limiter, outbound, submit, explain)
    if settings.redis_url:
        deferred = (*deferred, jobs, releases, following)
    return ApiParts(
        serving, predictor, drift, app, quick, refuse, shared_metrics, doors, access_log, jobs, releases, following,
        deferred, tracing.sink,
    )  # fmt: skip


def bounds_of(
    settings: ApiSettings, doors: Doors, requests: HttpRequests, access_log: AccessLog | None = None
) -> Bounds:
    clock = SystemClock()
    return Bounds(
        RequestRecords(requests, access_log),
        Authenticator(doors.keys, require_key=settings.require_key),
        Admission(settings.admission, clock, cores=settings.cores),
        AnswerWriter(doors.signer, clock),
    )


def _documented(
    settings: ApiSettings,
    serving: Serving,
    metrics: Callable[[], bytes],
    jobs: Deferred[JobParts],
    releases: tuple[Deferred[ReleaseStores], Router, FeedbackSigner, Authenticator],
    draining: Callable[[], bool],
) -> ASGIApp:
    from services.api.documented_app import ReleaseDoors, documented_app
    from services.api.metrics import Metrics
    from services.shared.repository.provenance_file import ProvenanceFiles

    drift = DriftReader(ReferenceFiles(settings.models_dir), settings.data_dir / "drift", SystemClock())
    shown = Metrics(metrics, jobs, data_dir=settings.data_dir, certificate=settings.tls_certificate, drift=drift)
    provenance = ProvenanceFiles(settings.models_dir)
    doors = ReleaseDoors(*releases)
    return documented_app(serving, shown, jobs, doors, ending=draining, drift=drift, provenance=provenance)


def _releases(settings: ApiSettings, serving: Serving) -> ReleaseStores:
    from services.api.releases.parts import release_stores

    return release_stores(settings, serving.client)


def _explain(
    settings: ApiSettings,
    serving: Serving,
    router: Router,
    budget: PixelBudget,
    outbound: OutboundClient,
    counts: ExplanationCounts,
) -> ASGIApp:
    from services.api.explain_parts import explain_route

    return explain_route(settings, serving, router, budget, outbound, counts)


def _submit(jobs: Deferred[JobParts], serving: Serving, router: Router) -> ASGIApp:
    from services.api.job_models import JobModels
    from services.api.job_submit import JobSubmit

    return JobSubmit(jobs, JobModels(serving.client, router), SystemClock())


def build_app(
    serving: Serving,
    predictor: Predictor,
    doors: Doors,
    bounds: Bounds,
    settings: ApiSettings,
    documented: ASGIApp,
) -> ASGIApp:
    """What is inside the request context, read from the inside out: `documented` (FastAPI, and the submission of
    jobs), the protocol, the hot route, places, keys."""

    async def is_ready() -> bool:
        return not await serving.readiness.reasons()

    handler = ProtocolHandler(
        serving.client,
        resolve=serving.resolve,
        server_version=VERSION,
        is_ready=is_ready,
        releases=predictor.tensors,
        loads=serving.control,
    )
    app: ASGIApp = ProtocolRoute(documented, build_oip_app(handler, limits=settings.upload.body, terms=release_terms))
    app = PredictRoute(
        app,
        predictor,
        doors.outbound,
        bounds.answers,
        limits=settings.upload,
        default_timeout_s=settings.default_timeout_s,
    )
    app = AdmissionGate(
        app,
        bounds.admission,
        max_body_bytes=settings.upload.body.max_bytes,
        default_timeout_s=settings.default_timeout_s,
    )
    return KeyGuard(app, bounds.authenticator, limiter=doors.limiter, audit=doors.audit)
