"""The same model behind every kind of InferenceClient."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.inference_servers import Served, serve_fake, serve_local, serve_model_server, serve_triton


@pytest.fixture
def socket(tmp_path: Path) -> str:
    return f"unix:{tmp_path}/oip.sock"


@pytest.fixture(params=[serve_fake, serve_local, serve_triton, serve_model_server])
async def served(request: pytest.FixtureRequest, socket: str) -> AsyncIterator[Served]:
    async with request.param(socket) as served:
        yield served
        served.release()
