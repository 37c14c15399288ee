"""The whole table of access rights."""

from __future__ import annotations

import httpx
import pytest

from services.api.required_scope import required_scope
from services.shared.keys.base import Scope

PREDICT, JOBS, ADMIN = Scope.PREDICT, Scope.JOBS, Scope.ADMIN

TABLE: list[tuple[str, str, Scope | None]] = [
    ("POST", "/v1/models/m/predict", PREDICT),
    ("GET", "/v1/models/m/predict", None),
    ("POST", "/v1/models/m/explain", PREDICT),
    ("GET", "/v1/models/m/explain", None),
    ("POST", "/v1/models/m/jobs", JOBS),
    ("GET", "/v1/jobs/j", JOBS),
    ("DELETE", "/v1/jobs/j", JOBS),
    ("GET", "/v1/jobs/j/results", JOBS),
    ("GET", "/v1/jobs/j/events", JOBS),
    ("GET", "/v1/jobs", JOBS),
    ("GET", "/v1/jobs/limits", JOBS),
    ("GET", "/v1/jobs/dead", ADMIN),
    ("GET", "/v1/jobs/dead/", ADMIN),
    ("POST", "/v1/jobs/dead/j:1/requeue", ADMIN),
    ("OPTIONS", "/v1/jobs/dead", None),
    ("POST", "/v1/feedback", PREDICT),
    ("PUT", "/v1/models/m/default", ADMIN),
    ("PUT", "/v1/models/m/default/", ADMIN),
    ("PUT", "/v1/models/m/release", ADMIN),
    ("DELETE", "/v1/models/m/release", ADMIN),
    ("POST", "/v1/models/m/release/promote", ADMIN),
    ("POST", "/v1/models/m/release/pause", ADMIN),
    ("POST", "/v1/models/m/release/resume", ADMIN),
    ("POST", "/v1/models/m/release/rollback", ADMIN),
    ("GET", "/v1/models/m/release", None),
    ("GET", "/v1/models/m/release/report", None),
    ("GET", "/v1/models/m/release/events", None),
    ("GET", "/v1/models", None),
    ("GET", "/v1/models/m", None),
    ("HEAD", "/v1/models/m", None),
    ("OPTIONS", "/v1/models/m/default", None),
    ("OPTIONS", "/v1/jobs/j", None),
    ("GET", "/healthz/live", None),
    ("GET", "/healthz/ready", None),
    ("GET", "/metrics", None),
    ("GET", "/docs", None),
    ("GET", "/openapi.json", None),
    ("GET", "/v2", None),
    ("GET", "/v2/health/live", None),
    ("GET", "/v2/health/ready", None),
    ("GET", "/v2/models/m", None),
    ("GET", "/v2/models/m/versions/2/ready", None),
    ("GET", "/v2/models/m/config", None),
    ("GET", "/v2/models/stats", None),
    ("POST", "/v2/models/m/infer", PREDICT),
    ("POST", "/v2/models/m/versions/2/infer", PREDICT),
    ("POST", "/v2/models/m/infer/", PREDICT),
    ("POST", "/v2/models/m/generate", PREDICT),
    ("POST", "/v2/repository/index", Scope.ADMIN),
    ("POST", "/v2/repository/models/m/load", ADMIN),
    ("POST", "/v2/repository/models/m/unload", ADMIN),
    ("POST", "/v2/repository/models/m/load/", ADMIN),
    ("POST", "/v2/repository/r/models/m/load", ADMIN),
    ("GET", "/v2/trace/setting", None),
    ("POST", "/v2/trace/setting", ADMIN),
    ("POST", "/v2/models/m/trace/setting", ADMIN),
    ("GET", "/v2/models/m/trace/setting", None),
    ("GET", "/v2/logging", None),
    ("POST", "/v2/logging", ADMIN),
    ("POST", "/v2/systemsharedmemory/region/r/register", ADMIN),
    ("POST", "/v2/cudasharedmemory/unregister", ADMIN),
    ("POST", "/v2/models/m/versions/x/infer", None),  # the protocol's router refuses the version
    ("POST", "/nothing", None),
    ("POST", "/v1/nothing", None),
    ("POST", "/v2/nothing", None),
    ("POST", "/predict", None),
    ("GET", "/", None),
]


@pytest.mark.parametrize(("method", "path", "scope"), TABLE)
def test_what_a_call_needs(method: str, path: str, scope: Scope | None) -> None:
    assert required_scope(method, path) == scope


async def test_every_documented_call_that_writes_needs_a_scope(http: httpx.AsyncClient) -> None:
    paths = (await http.get("/openapi.json")).json()["paths"]
    writes = [(m.upper(), path) for path, calls in paths.items() for m in calls if m not in ("get", "head")]
    assert ("PUT", "/v1/models/{model}/default") in writes
    assert [call for call in writes if required_scope(*call) is None] == []
