"""Everything of a model server, wired in one place."""

from __future__ import annotations

from dataclasses import dataclass

from services.model_server.admin_guard import AdminGuard
from services.model_server.grpc_service import Guard
from services.model_server.listeners import Listeners, TlsFiles
from services.model_server.settings import ModelServerSettings
from services.shared.oip.handler import ProtocolHandler
from services.shared.version import VERSION
from services.shared.wiring import LocalServing, Serving, ServingSettings, new_process_id


@dataclass(frozen=True, slots=True)
class ModelServerParts:
    """`serving` runs the models, `handler` speaks for them, `listeners` carry what it says."""

    serving: Serving
    handler: ProtocolHandler
    listeners: Listeners


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
    return assemble(serving, settings)


def assemble(serving: Serving, settings: ModelServerSettings) -> ModelServerParts:
    """A server around any serving."""

    async def is_ready() -> bool:
        return not await serving.readiness.reasons()

    handler = ProtocolHandler(serving.client, resolve=serving.resolve, server_version=VERSION, is_ready=is_ready)
    guard: Guard | None = AdminGuard(settings.admin_key) if settings.admin_key else None
    tls = None
    if settings.tls_certificate is not None and settings.tls_key is not None:
        tls = TlsFiles(settings.tls_certificate, settings.tls_key)
    listeners = Listeners(
        handler,
        serving.metrics,
        max_message_bytes=settings.max_message_bytes,
        max_connection_age_s=settings.max_connection_age_s,
        guard=guard,
        tls=tls,
    )
    return ModelServerParts(serving, handler, listeners)
