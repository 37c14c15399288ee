"""Everything of one API process, wired in one place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from services.api.context import RequestContext
from services.api.predict import PredictRoute
from services.api.problems import problem
from services.api.routes.health import health_routes
from services.api.routes.models import model_routes
from services.api.settings import ApiSettings
from services.shared import errors
from services.shared.imaging.preprocess import ImagePreprocessor
from services.shared.imaging.settings import parse_image_settings
from services.shared.oip.handler import ProtocolHandler
from services.shared.oip.http_app import build_oip_app
from services.shared.predictor import Predictor
from services.shared.telemetry.http_requests import HttpRequests
from services.shared.telemetry.prometheus import render, render_http
from services.shared.telemetry.sum_over_processes import SharedMetrics
from services.shared.version import VERSION
from services.shared.wiring import LocalServing, RemoteServing, Serving, ServingSettings, new_process_id


@dataclass(frozen=True, slots=True)
class ApiParts:
    """One process of the API: `app` answers, `serving` runs the models, `predictor` is the path between them."""

    serving: Serving
    predictor: Predictor
    app: ASGIApp
    shared_metrics: SharedMetrics | None

    async def close(self, drain_s: float) -> None:
        self.predictor.close()
        await self.serving.close(drain_s)


def build_parts(settings: ApiSettings, *, draining: Callable[[], bool] = lambda: False) -> ApiParts:
    """Nothing runs yet: `serving.start()` begins to load."""
    shared = ServingSettings(settings.models_dir, settings.data_dir, settings.cores, new_process_id("api"))
    serving = RemoteServing(shared, settings.model_server) if settings.model_server else LocalServing(shared)
    predictor = Predictor(
        serving.client,
        serving.follower.resolve,
        lambda config: ImagePreprocessor(parse_image_settings(config)),
        decode_threads=settings.cores,
        generation=lambda ref: serving.follower.current.loaded.get(ref, 0),
    )
    requests = HttpRequests()

    def own_metrics() -> bytes:
        return render(serving.metrics()) + render_http(requests)

    shared_metrics = SharedMetrics(settings.metrics_dir, own_metrics) if settings.metrics_dir else None
    metrics = shared_metrics.total if shared_metrics else own_metrics
    app = build_app(serving, predictor, settings, metrics, requests, draining)
    return ApiParts(serving, predictor, app, shared_metrics)


def build_app(
    serving: Serving,
    predictor: Predictor,
    settings: ApiSettings,
    metrics: Callable[[], bytes],
    requests: HttpRequests,
    draining: Callable[[], bool],
) -> ASGIApp:
    """The ASGI application, outermost middleware first: request context, the hot route, FastAPI."""
    api = FastAPI(
        title="Grayscale inference API",
        version=VERSION,
        description="Any picture in, the right answer or a clear error out.",
    )
    api.add_exception_handler(errors.ServingError, _serving_error)
    api.add_exception_handler(RequestValidationError, _invalid_request)
    api.add_exception_handler(HTTPException, _http_error)
    api.include_router(health_routes(serving.readiness, metrics))
    api.include_router(model_routes(serving.client, serving.control, serving.follower))

    async def is_ready() -> bool:
        return not await serving.readiness.reasons()

    handler = ProtocolHandler(serving.client, resolve=serving.resolve, server_version=VERSION, is_ready=is_ready)
    app = PredictRoute(ProtocolRoute(api, build_oip_app(handler)), predictor, settings.upload)
    return RequestContext(app, requests, draining=draining)


class ProtocolRoute:
    """`/v2` and what is under it goes to the protocol's app, everything else to `app`: a mount would answer a bare
    `/v2`, which is the protocol's server metadata, with a redirect."""

    def __init__(self, app: ASGIApp, protocol: ASGIApp) -> None:
        self._app = app
        self._protocol = protocol

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        chosen = self._protocol if path == "/v2" or path.startswith("/v2/") else self._app
        await chosen(scope, receive, send)


def _serving_error(request: Request, error: Exception) -> Response:
    return _as_response(error if isinstance(error, errors.ServingError) else errors.ServingError(str(error)), request)


def _invalid_request(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    return _as_response(errors.InvalidInput(f"{field}: {first['msg']}", field=field), request)


def _http_error(request: Request, error: Exception) -> Response:
    """What the router itself refuses: an unknown path, a wrong method."""
    if not isinstance(error, HTTPException):
        raise error
    if error.status_code == 404:
        return _as_response(errors.NotFound(f"there is nothing at {request.url.path}"), request)
    response = _as_response(errors.InvalidInput(str(error.detail)), request, status=error.status_code)
    response.headers.update(error.headers or {})
    return response


def _as_response(error: errors.ServingError, request: Request, *, status: int | None = None) -> Response:
    answer = problem(error, request.state.request_id, status=status)
    headers = {key.decode(): value.decode() for key, value in answer.headers}
    return Response(answer.body, answer.status, headers)
