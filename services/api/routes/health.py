"""Live, ready, metrics."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse, PlainTextResponse

from services.api.schemas import Live, NotReadyYet, Ready
from services.shared.inference.readiness import Readiness
from services.shared.telemetry.exposition import CONTENT_TYPE


def health_routes(readiness: Readiness, render_metrics: Callable[[], Awaitable[bytes]]) -> APIRouter:
    """`render_metrics` gives Prometheus' text format."""
    router = APIRouter(tags=["operation"])

    @router.get("/healthz/live")
    async def live() -> Live:
        """The process runs its event loop."""
        return Live(status="live")

    @router.get(
        "/healthz/ready",
        response_model=Ready,
        responses={503: {"model": NotReadyYet, "description": "not ready, or draining; ask again"}},
    )
    async def ready() -> JSONResponse:
        """A real inference through every default model succeeded; until then, and while draining, 503 with reasons."""
        reasons = await readiness.reasons()
        if reasons:
            return JSONResponse(
                {"status": "not ready", "reasons": list(reasons)}, status_code=503, headers={"Retry-After": "1"}
            )
        return JSONResponse({"status": "ready"})

    @router.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Prometheus text format."""
        return Response(await render_metrics(), media_type=CONTENT_TYPE)

    return router
