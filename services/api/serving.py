"""Where the models of an API process run: in itself, or behind a model server."""

from __future__ import annotations

from services.api.settings import ApiSettings
from services.shared.tracing.base import TraceContext
from services.shared.wiring import LocalServing, RemoteServing, RemoteSettings, Serving, ServingSettings


def serving_of(settings: ApiSettings, own_id: str, untraced: TraceContext | None) -> Serving:
    """Nothing runs yet. `own_id` names the process; `untraced` is what calls say that belong to no trace."""
    shared = ServingSettings(
        settings.models_dir, settings.data_dir, settings.cores, own_id, trial_timeout_s=settings.trial_timeout_s
    )
    if not settings.model_server:
        return LocalServing(shared)
    key, ca = settings.model_server_key, settings.model_server_ca
    return RemoteServing(shared, RemoteSettings(settings.model_server, key, ca, untraced))
