"""One request on an open connection, waited for."""

from __future__ import annotations

import http.client
from collections.abc import Mapping

from services.cli.measure.load import MeasurementFailed


def connect(host: str | None, port: int | None) -> http.client.HTTPConnection:
    """Not opened yet; by default to this machine."""
    return http.client.HTTPConnection(host or "127.0.0.1", port or 80, timeout=60)


def one_answer(
    connection: http.client.HTTPConnection, method: str, target: str, url: str, body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> bytes:  # fmt: skip
    """The body of a 200. Raises MeasurementFailed, which names `url`, for anything else."""
    try:
        connection.request(method, target, body, headers or {})
        answer = connection.getresponse()
        said = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise MeasurementFailed(f"{url} did not answer: {error}") from error
    if answer.status != 200:
        raise MeasurementFailed(f"{url} answered {answer.status}: {said[:300]!r}")
    return said
