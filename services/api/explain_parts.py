"""The explanations of one API process, wired in one place; no first prediction needs what this imports."""

from __future__ import annotations

from services.api.routes.explain import ExplainRoute
from services.api.settings import ApiSettings
from services.shared.clock import SystemClock
from services.shared.explanation.explainer import Explainer
from services.shared.imaging.base import Pixels
from services.shared.imaging.budget import PixelBudget
from services.shared.imaging.preprocess import ImagePreprocessor
from services.shared.imaging.settings import ImageSettings, parse_image_settings
from services.shared.model_config import ModelConfig
from services.shared.model_view import ModelViews
from services.shared.outbound.base import OutboundClient
from services.shared.router import Router
from services.shared.telemetry.explanation_counts import ExplanationCounts
from services.shared.wiring import Serving


def explain_route(
    settings: ApiSettings,
    serving: Serving,
    router: Router,
    budget: PixelBudget,
    outbound: OutboundClient,
    counts: ExplanationCounts,
) -> ExplainRoute:
    """To be called once: the bound on explanations is of what it returns."""
    clock = SystemClock()

    def preprocessor(config: ModelConfig) -> ImagePreprocessor:
        return ImagePreprocessor(parse_image_settings(config), settings.max_pixels, budget, located=True)

    def sketch(data: bytes, width: int, height: int) -> Pixels:
        whole = ImageSettings(height, width, 3, fit="stretch")
        return ImagePreprocessor(whole, settings.max_pixels, budget)(data).tensor

    views = ModelViews(serving.client, preprocessor, lambda ref: serving.follower.current.loaded.get(ref, 0), clock)
    return ExplainRoute(
        Explainer(serving.client, router, views, clock=clock),
        outbound,
        sketch,
        counts,
        clock,
        limits=settings.upload,
        default_timeout_s=settings.default_timeout_s,
    )
