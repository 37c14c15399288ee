"""The running server as the commands see it."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from services.cli.terminal import Exit, fail
from services.shared.keys.admin import ADMIN_KEY_FILE
from services.shared.settings import is_loopback


class ServerClient:
    """HTTP to a Grayscale API; every failure ends the command with its exit code and the server's own words."""

    def __init__(self, url: str, *, key: str | None = None, timeout_s: float = 330.0) -> None:
        self._url = url.rstrip("/")
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.Client(base_url=self._url, headers=headers, timeout=httpx.Timeout(timeout_s, connect=5.0))

    def __enter__(self) -> ServerClient:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._http.close()

    def request(self, method: str, path: str, **options: Any) -> Any:
        """The answer's JSON document (None when it is empty)."""
        response = self.send(method, path, **options)
        if response.is_error:
            fail(reason_of(response), Exit.REFUSED)
        try:
            return response.json() if response.content else None
        except ValueError:
            fail(f"{self._url} answered with something else than JSON: is it a Grayscale server?", Exit.REFUSED)

    def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        """The answer as it is, whatever its status."""
        try:
            return self._http.request(method, path, **options)
        except httpx.TimeoutException:
            fail(f"{self._url} did not answer in time", Exit.UNREACHABLE)
        except httpx.TransportError as error:
            fail(f"{self._url} cannot be reached ({error}): is `grayscale up` running?", Exit.UNREACHABLE)


def reason_of(response: httpx.Response) -> str:
    """The server's own words, or its status where it has none."""
    try:
        document = response.json()
    except ValueError:
        document = None
    said = document if isinstance(document, dict) else {}
    return str(said.get("detail") or said.get("error") or f"the server answered {response.status_code}")


def local_admin_key(url: str) -> str | None:
    """The administrator's key of the data directory on this machine, for a server on this machine; else None."""
    if not is_loopback(httpx.URL(url).host):
        return None
    path = Path(os.environ.get("GRAYSCALE_DATA_DIR") or ".grayscale") / ADMIN_KEY_FILE
    try:
        return path.read_text().strip()
    except OSError:
        return None
