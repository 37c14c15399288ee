"""Everything of a model server, wired in one place."""

from __future__ import annotations

import os
from dataclasses import dataclass

from services.model_server.admin_guard import AdminGuard
from services.model_server.calls import Calls
from services.model_server.grpc_service import Guard
from services.model_server.listeners import Listeners, TlsFiles
from services.model_server.settings import ModelServerSettings
from services.shared.oip.handler import ProtocolHandler
from services.shared.telemetry.access_log import AccessLog
from services.shared.telemetry.host_metrics import HostMetrics
from services.shared.telemetry.process_metrics import render_processes
from services.shared.telemetry.prometheus import render
from services.shared.telemetry.span_metrics import render_spans
from services.shared.tracing.request_tracing import RequestTracing
from services.shared.tracing.span import Tracer
from services.shared.version import VERSION
from services.shared.wiring import LocalServing, Serving, ServingSettings, new_process_id, tracer_of


@dataclass(frozen=True, slots=True)
class ModelServerParts:
    """`serving` runs the models, `handler` speaks for them, `listeners` carry what it says, `calls` keeps what is told
    of them."""

    serving: Serving
    handler: ProtocolHandler
    listeners: Listeners
    calls: Calls


def build_parts(settings: ModelServerSettings) -> ModelServerParts:
    """Nothing runs or listens yet. To be called in the loop that will serve."""
    process_id = new_process_id("model-server")
    serving = LocalServing(
        ServingSettings(
            settings.models_dir,
            settings.data_dir,
            settings.cores,
            process_id,
            routes=False,
            trial_timeout_s=settings.trial_timeout_s,
        )
    )
    return assemble(serving, settings, tracer_of(settings.tracing, service="model-server", instance=process_id))


def assemble(serving: Serving, settings: ModelServerSettings, tracer: Tracer | None = None) -> ModelServerParts:
    """A server around any serving."""

    async def is_ready() -> bool:
        return not await serving.readiness.reasons()

    handler = ProtocolHandler(serving.client, resolve=serving.resolve, server_version=VERSION, is_ready=is_ready)
    guard: Guard | None = AdminGuard(settings.admin_key) if settings.admin_key else None
    tls = None
    if settings.tls_certificate is not None and settings.tls_key is not None:
        tls = TlsFiles(settings.tls_certificate, settings.tls_key)
    access_log = AccessLog("model-server") if settings.access_log and settings.log_level in ("debug", "info") else None
    tracing = RequestTracing(tracer, settings.tracing.share)
    calls, host = Calls(access_log, tracing), HostMetrics(settings.data_dir, certificate=settings.tls_certificate)

    def metrics() -> bytes:
        models = render(serving.metrics(), serving.version_states())
        return models + calls.render() + render_spans(tracing.sink) + render_processes([os.getpid()]) + host()

    listeners = Listeners(
        handler,
        metrics,
        max_message_bytes=settings.max_message_bytes,
        max_connection_age_s=settings.max_connection_age_s,
        guard=guard,
        tls=tls,
        calls=calls,
    )
    return ModelServerParts(serving, handler, listeners, calls)
