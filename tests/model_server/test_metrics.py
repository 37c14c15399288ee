"""The metrics port."""

from __future__ import annotations

import httpx
import pytest

from services.shared.telemetry.exposition import CONTENT_TYPE
from tests.support.oip_server import RunningServer


async def test_the_metrics_port_serves_prometheus_text(server: RunningServer) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"http://{server.metrics}/metrics")

    assert answer.status_code == 200
    assert answer.headers["content-type"] == CONTENT_TYPE
    assert "# TYPE nv_inference_count counter\n" in answer.text


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/", 404), ("POST", "/metrics", 405)])
async def test_the_metrics_port_serves_nothing_else(server: RunningServer, method: str, path: str, status: int) -> None:
    async with httpx.AsyncClient() as client:
        assert (await client.request(method, f"http://{server.metrics}{path}")).status_code == status
