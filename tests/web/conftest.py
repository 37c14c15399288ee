"""The pages' server before an API that echoes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from services.web.settings import WebSettings
from tests.support.web_server import Web, fake_api, running_web


@pytest.fixture
def settings() -> WebSettings:
    return WebSettings(max_bytes=4 * 2**20, idle_s=5.0, finish_s=2.0)


@pytest.fixture
async def web(settings: WebSettings) -> AsyncIterator[Web]:
    async with (
        fake_api() as (api, port),
        running_web(replace(settings, api_url=f"http://127.0.0.1:{port}"), api) as web,
    ):
        yield web
