"""Everything that FastAPI serves: health, metrics, models and the OpenAPI document. Importing it costs what all else
together does, so a process imports it when its models are loaded (`deferred_parts`)."""

from __future__ import annotations

from collections.abc import Callable

from starlette.types import ASGIApp

from services.api.documented_api import DocumentedApi
from services.api.error_handlers import add_error_handlers
from services.api.gates import SmallBodies
from services.api.routes.health import health_routes
from services.api.routes.models import model_routes
from services.shared.version import VERSION
from services.shared.wiring import Serving


def documented_app(serving: Serving, metrics: Callable[[], bytes]) -> ASGIApp:
    """`metrics` gives Prometheus' text format."""
    api = DocumentedApi(title="Grayscale inference API", version=VERSION)
    add_error_handlers(api)
    api.include_router(health_routes(serving.readiness, metrics))
    api.include_router(model_routes(serving.client, serving.control, serving.follower))
    return SmallBodies(api)
