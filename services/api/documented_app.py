"""Everything that FastAPI serves: health, metrics, models, jobs, releases, feedback, the OpenAPI document. Importing it
costs what all else together does, so a process imports it when its models are loaded (`deferred_parts`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

from starlette.types import ASGIApp

from services.api.auth import Authenticator
from services.api.documented_api import DocumentedApi
from services.api.error_handlers import add_error_handlers
from services.api.gates import SmallBodies
from services.api.job_parts import JobParts
from services.api.job_results import Pace
from services.api.releases.stores import ReleaseStores
from services.api.routes.drift import drift_routes
from services.api.routes.feedback import feedback_routes
from services.api.routes.health import health_routes
from services.api.routes.jobs import job_routes
from services.api.routes.models import model_routes
from services.api.routes.provenance import provenance_routes
from services.api.routes.releases import release_routes
from services.shared.clock import Clock, SystemClock
from services.shared.deferred import Deferred
from services.shared.drift.reader import DriftReader
from services.shared.feedback import FeedbackSigner
from services.shared.release.routing import ReleaseRouting
from services.shared.repository.provenance_file import ProvenanceFiles
from services.shared.router import Router
from services.shared.version import VERSION
from services.shared.wiring import Serving


@dataclass(frozen=True, slots=True)
class ReleaseDoors:
    """What the routes of releases, models and feedback ask: where releases are kept, by what this process routes, and
    whose word a `feedback_id` is."""

    stores: Deferred[ReleaseStores]
    router: Router
    signer: FeedbackSigner
    authenticator: Authenticator
    clock: Clock = field(default_factory=SystemClock)


def documented_app(
    serving: Serving,
    metrics: Callable[[], Awaitable[bytes]],
    jobs: Deferred[JobParts],
    releases: ReleaseDoors,
    *,
    ending: Callable[[], bool] = lambda: False,
    pace: Pace | None = None,
    drift: DriftReader | None = None,
    provenance: ProvenanceFiles | None = None,
) -> ASGIApp:
    """`metrics` gives Prometheus' text format. `ending()` tells that this process is about to end."""
    api = DocumentedApi(title="Grayscale inference API", version=VERSION)
    add_error_handlers(api)
    api.include_router(health_routes(serving.readiness, metrics))
    routing = partial(_routing, releases.router)
    api.include_router(model_routes(serving.client, serving.control, serving.follower, routing))
    if provenance is not None:
        api.include_router(provenance_routes(provenance))
    if drift is not None:
        api.include_router(drift_routes(serving.client, serving.follower, drift))
    api.include_router(job_routes(jobs, pace or Pace(), ending))
    api.include_router(release_routes(releases.stores, releases.authenticator, releases.clock))
    api.include_router(feedback_routes(releases.stores, releases.signer, releases.clock))
    return SmallBodies(api)


def _routing(router: Router, model: str) -> ReleaseRouting | None:
    return router.routings.get(model)  # another mapping with every change
