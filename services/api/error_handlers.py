"""Errors inside FastAPI's routes, answered like all others."""

from __future__ import annotations

import re

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from services.api.problems import problem
from services.shared import errors


def add_error_handlers(api: FastAPI) -> None:
    """Every error of a route, of its parameters' validation, and of the router itself becomes a problem."""
    api.add_exception_handler(errors.ServingError, _serving_error)
    api.add_exception_handler(RequestValidationError, _invalid_request)
    api.add_exception_handler(HTTPException, _http_error)


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
        return _as_response(errors.NotFound(f"there is nothing at {request.url.path[:128]}"), request)
    response = _as_response(errors.InvalidInput(str(error.detail)), request, status=error.status_code)
    response.headers.update(error.headers or {})
    if error.status_code == 405 and (methods := _documented_methods(request)):
        response.headers["allow"] = ", ".join(methods)
    return response


def _documented_methods(request: Request) -> list[str]:
    """Of every route of a path: the router itself tells those of the first one that it found."""
    for template, item in request.app.openapi()["paths"].items():
        if re.fullmatch(re.sub(r"\{[^}]*\}", "[^/]+", template), request.scope["path"]):
            return sorted(method.upper() for method in item)
    return []


def _as_response(error: errors.ServingError, request: Request, *, status: int | None = None) -> Response:
    answer = problem(error, request.state.request_id, status=status)
    headers = {key.decode(): value.decode() for key, value in answer.headers}
    return Response(answer.body, answer.status, headers)
