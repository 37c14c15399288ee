"""The releases of a running server as the commands see them."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import httpx

from services.cli.jobs.server import Final, Passing
from services.cli.server_client import reason_of
from services.cli.terminal import Exit

Document = dict[str, Any]

PAGE = 1000
ENDED = {"promoted": Exit.DONE, "rolled_back": Exit.FAILED, "aborted": Exit.FAILED}  # phases in which nothing follows
_PASSING = frozenset({429, 502, 503, 504})  # the last ones are a proxy's while its server starts again
_NOT_FOUND = 404
_ANSWER_S = 30.0


class ReleaseServer:
    """Every method raises Passing for what may work when asked again, and Final for what will not."""

    def __init__(self, url: str, *, key: str | None = None) -> None:
        self._url = url.rstrip("/")
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.Client(base_url=self._url, headers=headers, timeout=httpx.Timeout(_ANSWER_S, connect=5.0))

    def __enter__(self) -> ReleaseServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def begin(self, model: str, plan: str) -> Document:
        """The release that a plan's text begins."""
        content, headers = plan.encode(), {"content-type": "application/yaml"}
        return self._document("PUT", release_path(model), content=content, headers=headers)

    def state(self, model: str) -> Document:
        return self._document("GET", release_path(model))

    def releases(self) -> list[Document]:
        found: list[Document] = self._document("GET", "/v1/releases")["releases"]
        return found

    def tell(self, model: str, command: str, arm: str = "") -> Document:
        """The release after a command: promote, pause, resume or rollback."""
        options: Document = {"json": {"arm": arm}} if arm else {}
        return self._document("POST", release_path(model, command), **options)

    def end(self, model: str) -> Document:
        return self._document("DELETE", release_path(model))

    def report(self, model: str) -> Document | None:
        """None before the controller's first look."""
        try:
            return self._document("GET", release_path(model, "report"))
        except Final as failure:
            if failure.is_unknown:
                return None
            raise

    def timeline(self, model: str) -> list[Document]:
        points: list[Document] = self._document("GET", release_path(model, "timeline"))["points"]
        return points

    def events(self, model: str, start: int = 0) -> list[Document]:
        """All from index `start` on, the oldest first."""
        found: list[Document] = []
        while True:
            query = {"start": start + len(found), "limit": PAGE}
            page = self._document("GET", release_path(model, "events"), params=query)["events"]
            found += page
            if len(page) < PAGE:
                return found

    def _document(self, method: str, path: str, **options: Any) -> Document:
        try:
            response = self._http.request(method, path, **options)
        except httpx.TimeoutException:
            raise Passing(f"{self._url} did not answer in time", Exit.UNREACHABLE) from None
        except httpx.TransportError as error:
            said = f"{self._url} cannot be reached ({error}): is `grayscale up` running?"
            raise Passing(said, Exit.UNREACHABLE) from error
        _check(response)
        try:
            document = response.json()
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise Final(f"{self._url} answered with something else than JSON: is it a Grayscale server?")
        return document


def release_path(model: str, *rest: str) -> str:
    """The path of a name's release, or of something of it."""
    return "/".join(("/v1/models", quote(model, safe=""), "release", *rest))


def _check(response: httpx.Response) -> None:
    if response.is_success:
        return
    after = response.headers.get("retry-after", "")
    retry_after_s = float(after) if after.isascii() and after.isdigit() else None
    if response.status_code in _PASSING or retry_after_s is not None:
        raise Passing(reason_of(response), Exit.REFUSED, retry_after_s=retry_after_s)
    raise Final(reason_of(response), status=response.status_code)
