"""The jobs of a running server as the commands see them: what may pass is told from what will not.

Failure
├── Passing   may work when tried again
│   └── Silence   an answer that began and then said nothing for a while, as a job does that waits for its turn
└── Final     it will not: the command ends with its code
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any
from urllib.parse import quote

import httpx

from services.cli.server_client import reason_of
from services.cli.terminal import Exit

Document = dict[str, Any]

SILENCE_S = 30.0  # of a stream; progress has a heartbeat every 10 s
_ANSWER_S = 330.0  # an upload is on the server's disk before it is answered
_NOT_FOUND = 404
_PASSING = frozenset({429, 502, 503, 504})  # the last ones are a proxy's while its server starts again


class Failure(Exception):
    """`detail` is a sentence for a person, `code` how a command ends that has no more patience."""

    def __init__(self, detail: str, code: Exit) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code


class Passing(Failure):
    """Whatever was asked may have been done: only what may be asked twice is asked again."""

    def __init__(self, detail: str, code: Exit, *, retry_after_s: float | None = None) -> None:
        super().__init__(detail, code)
        self.retry_after_s = retry_after_s


class Silence(Passing):
    """Nothing came for SILENCE_S on a connection that is open."""


class Final(Failure):
    """`status` is the server's, 0 where it was not its answer."""

    def __init__(self, detail: str, code: Exit = Exit.REFUSED, *, status: int = 0) -> None:
        super().__init__(detail, code)
        self.status = status

    @property
    def is_unknown(self) -> bool:
        """Whether there is nothing by that name."""
        return self.status == _NOT_FOUND


class JobServer:
    """Every method raises Passing or Final."""

    def __init__(self, url: str, *, key: str | None = None, silence_s: float = SILENCE_S) -> None:
        self._url = url.rstrip("/")
        self._silence_s = silence_s
        headers = {"authorization": f"Bearer {key}"} if key else {}
        timeout = httpx.Timeout(_ANSWER_S, connect=5.0, write=60.0)
        self._http = httpx.Client(base_url=self._url, headers=headers, timeout=timeout)

    def __enter__(self) -> JobServer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._http.close()

    def job(self, job_id: str) -> Document:
        """The job's document as it is now."""
        return self._document(self._send("GET", job_path(job_id)))

    def create(
        self, model: str, *, query: dict[str, str], headers: dict[str, str], content: Iterable[bytes]
    ) -> tuple[Document, bool]:
        """The document of the accepted job, and whether its idempotency key had made it before."""
        path = f"/v1/models/{quote(model, safe='')}/jobs"
        response = self._send("POST", path, params=query, headers=headers, content=content)
        return self._document(response), response.headers.get("idempotency-replayed", "").lower() == "true"

    @contextmanager
    def stream(self, path: str, **query: str | int) -> Iterator[httpx.Response]:
        """An answer that is read while it comes; it is no error when this is entered."""
        timeout = httpx.Timeout(self._silence_s, connect=5.0)
        is_open = False
        try:
            with self._http.stream("GET", path, params=query, timeout=timeout) as response:
                if response.is_error:
                    response.read()
                _check(response)
                is_open = True
                yield response
        except httpx.ReadTimeout:
            if is_open:
                raise Silence("nothing came for a while", Exit.UNREACHABLE) from None
            raise self._too_late() from None
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, **options)
        except httpx.TimeoutException:
            raise self._too_late() from None
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        _check(response)
        return response

    def _document(self, response: httpx.Response) -> Document:
        try:
            document = response.json()
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise Final(f"{self._url} answered with something else than a job: is it a Grayscale server?")
        return document

    def _too_late(self) -> Passing:
        return Passing(f"{self._url} did not answer in time", Exit.UNREACHABLE)

    def _unreachable(self, error: httpx.TransportError) -> Passing:
        return Passing(f"{self._url} cannot be reached ({error})", Exit.UNREACHABLE)


def job_path(job_id: str, *rest: str) -> str:
    """The path of a job, or of something of it."""
    return "/".join(("/v1/jobs", quote(job_id, safe=""), *rest))


def _check(response: httpx.Response) -> None:
    if response.status_code in _PASSING:
        after = response.headers.get("retry-after", "")  # the other form, a date, is no server's of ours
        retry_after_s = float(after) if after.isascii() and after.isdigit() else None
        raise Passing(reason_of(response), Exit.REFUSED, retry_after_s=retry_after_s)
    if not response.is_success:
        raise Final(reason_of(response), status=response.status_code)
