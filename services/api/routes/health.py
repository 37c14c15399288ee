"""Live, ready, metrics."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from services.shared.inference.readiness import Readiness
from services.shared.telemetry.prometheus import CONTENT_TYPE


def health_routes(readiness: Readiness, render_metrics: Callable[[], bytes]) -> APIRouter:
    """`render_metrics` gives Prometheus' text format."""
    router = APIRouter(tags=["operation"])

    @router.get("/healthz/live")
    async def live() -> dict[str, str]:
        """The process runs its event loop."""
        return {"status": "live"}

    @router.get("/healthz/ready")
    async def ready() -> JSONResponse:
        """A real inference through every default model succeeded; until then, and while draining, 503 with reasons."""
        reasons = await readiness.reasons()
        if reasons:
            return JSONResponse(
                {"status": "not ready", "reasons": list(reasons)}, status_code=503, headers={"Retry-After": "1"}
            )
        return JSONResponse({"status": "ready"})

    @router.get("/metrics")
    async def metrics() -> Response:
        """Prometheus text format."""
        return Response(render_metrics(), media_type=CONTENT_TYPE)

    return router
