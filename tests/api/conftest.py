"""The API over an in-memory model, called without a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from services.api.parts import build_app
from services.api.settings import ApiSettings
from services.api.uploads import UploadLimits
from services.shared.imaging.preprocess import ImagePreprocessor
from services.shared.imaging.settings import parse_image_settings
from services.shared.predictor import Predictor
from services.shared.telemetry.http_requests import HttpRequests
from services.shared.telemetry.prometheus import render_http
from tests.support.fake_models import classifier
from tests.support.fake_serving import FakeServing

LIMITS = UploadLimits(max_body_bytes=100_000, max_images=4, body_timeout_s=5.0)


@pytest.fixture
async def serving() -> FakeServing:
    serving = FakeServing(classifier("pets"))
    await serving.start()
    return serving


@pytest.fixture
async def http(serving: FakeServing) -> AsyncIterator[httpx.AsyncClient]:
    predictor = Predictor(
        serving.client,
        serving.follower.resolve,
        lambda config: ImagePreprocessor(parse_image_settings(config)),
        decode_threads=2,
    )
    requests = HttpRequests()
    settings = ApiSettings(models_dir=Path("models"), upload=LIMITS)
    app = build_app(serving, predictor, settings, lambda: render_http(requests), requests, lambda: False)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        yield client
    predictor.close()
