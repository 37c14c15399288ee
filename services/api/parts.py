"""Everything of one API process, wired in one place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from starlette.types import ASGIApp

from services.api.admission import Admission
from services.api.auth import Authenticator
from services.api.context import RequestContext
from services.api.documented_api import DocumentedApi
from services.api.error_handlers import add_error_handlers
from services.api.gates import AdmissionGate, SmallBodies
from services.api.key_guard import KeyGuard
from services.api.predict import PredictRoute
from services.api.predict_answer import AnswerWriter
from services.api.protocol_route import ProtocolRoute
from services.api.routes.health import health_routes
from services.api.routes.models import model_routes
from services.api.settings import ApiSettings
from services.shared.audit import AuditLog
from services.shared.clock import SystemClock
from services.shared.feedback import FeedbackSigner, feedback_key
from services.shared.imaging.budget import PixelBudget
from services.shared.imaging.preprocess import ImagePreprocessor
from services.shared.imaging.settings import parse_image_settings
from services.shared.keys.base import KeyStore
from services.shared.keys.file import FileKeyStore
from services.shared.oip.handler import ProtocolHandler
from services.shared.oip.http_app import build_oip_app
from services.shared.outbound.base import OutboundClient
from services.shared.outbound.client import HttpcoreOutboundClient
from services.shared.predictor import Predictor
from services.shared.quotas.base import QuotaLimiter
from services.shared.quotas.memory import MemoryQuotaLimiter
from services.shared.quotas.redis import RedisQuotaLimiter
from services.shared.telemetry.http_requests import HttpRequests
from services.shared.telemetry.prometheus import render, render_http
from services.shared.telemetry.sum_over_processes import SharedMetrics
from services.shared.version import VERSION
from services.shared.wiring import (
    LocalServing,
    RemoteServing,
    RemoteSettings,
    Serving,
    ServingSettings,
    new_process_id,
)


@dataclass(frozen=True, slots=True)
class Doors:
    """What a request passes or uses beside the models."""

    keys: KeyStore
    limiter: QuotaLimiter
    audit: AuditLog
    outbound: OutboundClient
    signer: FeedbackSigner


@dataclass(frozen=True, slots=True)
class ApiParts:
    """One process of the API: `app` answers, `serving` runs the models, `predictor` is the path between them."""

    serving: Serving
    predictor: Predictor
    app: ASGIApp
    shared_metrics: SharedMetrics | None
    doors: Doors

    async def close(self, drain_s: float) -> None:
        self.predictor.close()
        await self.serving.close(drain_s)
        await self.doors.outbound.aclose()
        if isinstance(self.doors.limiter, RedisQuotaLimiter):
            await self.doors.limiter.close()


def build_parts(settings: ApiSettings, *, draining: Callable[[], bool] = lambda: False) -> ApiParts:
    """Nothing runs yet: `serving.start()` begins to load. To be called in the loop that will serve."""
    shared = ServingSettings(settings.models_dir, settings.data_dir, settings.cores, new_process_id("api"))
    remote = RemoteSettings(settings.model_server, settings.model_server_key, settings.model_server_ca)
    serving = RemoteServing(shared, remote) if settings.model_server else LocalServing(shared)
    budget = PixelBudget(settings.decode_memory_bytes)
    predictor = Predictor(
        serving.client,
        serving.follower.resolve,
        lambda config: ImagePreprocessor(parse_image_settings(config), settings.max_pixels, budget),
        decode_threads=settings.cores,
        generation=lambda ref: serving.follower.current.loaded.get(ref, 0),
    )
    doors = Doors(
        keys=FileKeyStore(settings.data_dir),
        limiter=RedisQuotaLimiter(settings.redis_url) if settings.redis_url else MemoryQuotaLimiter(),
        audit=AuditLog(settings.data_dir),
        outbound=HttpcoreOutboundClient(settings.outbound),
        signer=FeedbackSigner(feedback_key(settings.data_dir / "feedback.key")),
    )
    requests = HttpRequests()

    def own_metrics() -> bytes:
        return render(serving.metrics()) + render_http(requests)

    shared_metrics = SharedMetrics(settings.metrics_dir, own_metrics) if settings.metrics_dir else None
    metrics = shared_metrics.total if shared_metrics else own_metrics
    app = build_app(serving, predictor, doors, settings, metrics, requests, draining)
    return ApiParts(serving, predictor, app, shared_metrics, doors)


def build_app(
    serving: Serving,
    predictor: Predictor,
    doors: Doors,
    settings: ApiSettings,
    metrics: Callable[[], bytes],
    requests: HttpRequests,
    draining: Callable[[], bool],
) -> ASGIApp:
    """The ASGI application, read from the inside out: FastAPI, the protocol, the hot route, places, keys, context."""
    clock = SystemClock()
    api = DocumentedApi(title="Grayscale inference API", version=VERSION)
    add_error_handlers(api)
    api.include_router(health_routes(serving.readiness, metrics))
    api.include_router(model_routes(serving.client, serving.control, serving.follower))

    async def is_ready() -> bool:
        return not await serving.readiness.reasons()

    handler = ProtocolHandler(serving.client, resolve=serving.resolve, server_version=VERSION, is_ready=is_ready)
    app: ASGIApp = ProtocolRoute(SmallBodies(api), build_oip_app(handler, limits=settings.upload.body))
    app = PredictRoute(
        app,
        predictor,
        doors.outbound,
        AnswerWriter(doors.signer, clock),
        limits=settings.upload,
        default_timeout_s=settings.default_timeout_s,
    )
    app = AdmissionGate(app, Admission(settings.admission), max_body_bytes=settings.upload.body.max_bytes)
    authenticator = Authenticator(doors.keys, require_key=settings.require_key)
    app = KeyGuard(app, authenticator, limiter=doors.limiter, audit=doors.audit, clock=clock)
    return RequestContext(app, requests, draining=draining)
