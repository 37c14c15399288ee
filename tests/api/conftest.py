"""The API over an in-memory model, called without a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from services.api.context import RequestContext
from services.api.documented_app import ReleaseDoors, documented_app
from services.api.explain_branch import ExplainBranch
from services.api.explain_parts import explain_route
from services.api.job_branch import JobBranch
from services.api.job_models import JobModels
from services.api.job_parts import JobParts
from services.api.job_results import Pace
from services.api.job_submit import JobSubmit
from services.api.metrics import Metrics
from services.api.parts import Doors, bounds_of, build_app
from services.api.settings import ApiSettings
from services.api.uploads import UploadLimits
from services.shared.asgi import BodyLimits
from services.shared.audit import AuditLog
from services.shared.clock import SystemClock
from services.shared.deferred import Deferred
from services.shared.feedback import FeedbackSigner
from services.shared.imaging.budget import PixelBudget
from services.shared.imaging.preprocess import ImagePreprocessor
from services.shared.imaging.settings import parse_image_settings
from services.shared.keys.base import Scope
from services.shared.keys.issue import NewKey, issue
from services.shared.keys.memory import MemoryKeyStore
from services.shared.outbound.fake import FakeOutboundClient
from services.shared.predictor import Predictor
from services.shared.quotas.memory import MemoryQuotaLimiter
from services.shared.router import Router
from services.shared.telemetry.explanation_counts import ExplanationCounts
from services.shared.telemetry.explanation_metrics import render_explanations
from services.shared.telemetry.http_requests import HttpRequests
from services.shared.telemetry.prometheus import render_http
from tests.support.api_jobs import MemoryJobs
from tests.support.api_releases import MemoryReleases
from tests.support.fake_models import classifier
from tests.support.fake_serving import FakeServing

LIMITS = UploadLimits(BodyLimits(max_bytes=100_000, timeout_s=5.0), max_images=4)


@pytest.fixture
async def serving() -> FakeServing:
    serving = FakeServing(classifier("pets"))
    await serving.start()
    return serving


@pytest.fixture
def outbound() -> FakeOutboundClient:
    return FakeOutboundClient()


@pytest.fixture
def keys() -> MemoryKeyStore:
    return MemoryKeyStore()


@pytest.fixture
def jobs(tmp_path: Path) -> MemoryJobs:
    return MemoryJobs(tmp_path / "spool")


@pytest.fixture
def router(serving: FakeServing) -> Router:
    return Router(serving.follower.resolve)


@pytest.fixture
def releases(serving: FakeServing, tmp_path: Path) -> MemoryReleases:
    return MemoryReleases(serving, tmp_path / "models")


@pytest.fixture
async def admin(keys: MemoryKeyStore) -> dict[str, str]:
    """The headers of an administrator."""
    issued = issue(NewKey("admin", frozenset({Scope.ADMIN})), now=0.0)
    await keys.add(issued.key)
    return {"authorization": f"Bearer {issued.secret}"}


@pytest.fixture
async def http(
    serving: FakeServing,
    router: Router,
    outbound: FakeOutboundClient,
    keys: MemoryKeyStore,
    jobs: MemoryJobs,
    releases: MemoryReleases,
    tmp_path: Path,
) -> AsyncIterator[httpx.AsyncClient]:
    predictor = Predictor(
        serving.client,
        router,
        lambda config: ImagePreprocessor(parse_image_settings(config)),
        decode_threads=2,
    )
    requests, explanations = HttpRequests(), ExplanationCounts()
    settings = ApiSettings(models_dir=Path("models"), upload=LIMITS)
    doors = Doors(keys, MemoryQuotaLimiter(), AuditLog(tmp_path), outbound, FeedbackSigner(bytes(32)))
    made: Deferred[JobParts] = Deferred(jobs.parts)
    metrics = Metrics(lambda: render_http(requests) + render_explanations(explanations), made, data_dir=tmp_path)
    bounds = bounds_of(settings, doors, requests)
    asked = ReleaseDoors(Deferred(releases.stores), router, doors.signer, bounds.authenticator, releases.clock)
    pace = Pace(poll_s=0.01, idle_poll_s=0.02)
    documented = documented_app(serving, metrics, made, asked, ending=jobs.is_ending, pace=pace)
    jobs_too = JobBranch(documented, JobSubmit(made, JobModels(serving.client, router), SystemClock()))
    budget = PixelBudget(settings.decode_memory_bytes)
    inner = ExplainBranch(jobs_too, explain_route(settings, serving, router, budget, outbound, explanations))
    app = RequestContext(build_app(serving, predictor, doors, bounds, settings, inner), bounds.records)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        yield client
    predictor.close()
