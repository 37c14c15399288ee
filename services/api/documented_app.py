"""Everything that FastAPI serves: health, metrics, models, jobs, the OpenAPI document. Importing it costs what all else
together does, so a process imports it when its models are loaded (`deferred_parts`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.types import ASGIApp

from services.api.documented_api import DocumentedApi
from services.api.error_handlers import add_error_handlers
from services.api.gates import SmallBodies
from services.api.job_parts import JobParts
from services.api.job_results import Pace
from services.api.routes.health import health_routes
from services.api.routes.jobs import job_routes
from services.api.routes.models import model_routes
from services.shared.deferred import Deferred
from services.shared.version import VERSION
from services.shared.wiring import Serving


def documented_app(
    serving: Serving,
    metrics: Callable[[], Awaitable[bytes]],
    jobs: Deferred[JobParts],
    *,
    ending: Callable[[], bool] = lambda: False,
    pace: Pace | None = None,
) -> ASGIApp:
    """`metrics` gives Prometheus' text format. `ending()` tells that this process is about to end."""
    api = DocumentedApi(title="Grayscale inference API", version=VERSION)
    add_error_handlers(api)
    api.include_router(health_routes(serving.readiness, metrics))
    api.include_router(model_routes(serving.client, serving.control, serving.follower))
    api.include_router(job_routes(jobs, pace or Pace(), ending))
    return SmallBodies(api)
