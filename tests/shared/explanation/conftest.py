"""An explainer over the in-memory inference."""

from __future__ import annotations

import pytest

from services.shared.clock import SystemClock
from services.shared.explanation.explainer import Explainer
from services.shared.imaging.preprocess import ImagePreprocessor
from services.shared.imaging.settings import parse_image_settings
from services.shared.inference.fake import FakeInference
from services.shared.model_ref import ModelRef
from services.shared.model_view import ModelViews
from services.shared.router import Router
from tests.support.explained import corner_classifier
from tests.support.task_models import detector, embedder, segmenter


@pytest.fixture
def fake() -> FakeInference:
    single = corner_classifier("single", batch=0)
    return FakeInference([corner_classifier(), single, detector(), segmenter(), embedder()])


@pytest.fixture
def router() -> Router:
    return Router(lambda name, version: ModelRef(name, version or 1))


@pytest.fixture
def explainer(fake: FakeInference, router: Router) -> Explainer:
    views = ModelViews(
        fake, lambda config: ImagePreprocessor(parse_image_settings(config), located=True), lambda _: 0, SystemClock()
    )
    return Explainer(fake, router, views)
