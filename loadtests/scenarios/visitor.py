"""Somebody who sends pictures and reads what comes back: an answer that is not right counts as a failure."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from locust import FastHttpUser

from loadtests.scenarios.limits import REFUSED
from loadtests.scenarios.pictures import pictures

_LATER = frozenset({429, 503})
_BOUNDARY = "grayscale-load-scenario"


class Visitor(FastHttpUser):
    """What visitors of all scenarios can do. Redirects are not followed: there are none."""

    abstract = True
    network_timeout = connection_timeout = 30.0
    max_retries, max_redirects = 0, 0

    def on_start(self) -> None:
        self.options: Any = self.environment.parsed_options
        shown = list(pictures(self.options.pictures))
        random.Random(id(self)).shuffle(shown)
        self._pictures = itertools.cycle(shown)

    @property
    def model_path(self) -> str:
        return f"/v1/models/{quote(self.options.model)}"

    def predict(self, name: str = "predict", count: int = 1, headers: Mapping[str, str] | None = None) -> Any:
        """The answer's document and headers; None when there was none, or a wrong one."""
        chosen = list(itertools.islice(self._pictures, count))
        body, kind = chosen[0] if count == 1 else form(chosen)
        more = {"content-type": kind, **(headers or {})}
        answer = self.ask("POST", f"{self.model_path}/predict", name, data=body, headers=more)
        if answer is not None and len(answer["results"]) != count:
            self.wrong(name, f"{len(answer['results'])} results for {count} pictures")
            return None
        return answer

    def ask(self, method: str, path: str, name: str, *, expected: int = 200, **request: Any) -> Any:
        """The document of an answer with the status that is expected, `headers` among its fields as `_headers`."""
        headers = {**self.authorization, **request.pop("headers", {})}
        with self.client.request(method, path, name=name, headers=headers, catch_response=True, **request) as response:
            status = response.status_code
            if status in _LATER and response.headers and "retry-after" in response.headers:
                response.request_meta["name"] = name + REFUSED
                response.success()
                return None
            if status != expected:
                response.failure(f"{status}: {(response.text or str(response.error))[:200]}")
                return None
            try:
                document = response.json() if response.content else {}
            except ValueError:
                response.failure("the answer is no JSON")
                return None
            response.success()
            return {**document, "_headers": response.headers} if isinstance(document, dict) else document

    def wrong(self, name: str, why: str) -> None:
        """Counts a failure of its own: an answer came, and it is not the right one."""
        self.environment.events.request.fire(
            request_type="CHECK", name=name, response_time=0, response_length=0, exception=AssertionError(why)
        )

    @property
    def authorization(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.options.key}"} if self.options.key else {}


def form(shown: list[tuple[bytes, str]]) -> tuple[bytes, str]:
    """Several pictures as one multipart form, and its media type."""
    parts = [
        f'--{_BOUNDARY}\r\ncontent-disposition: form-data; name="image"; filename="{i}"\r\ncontent-type: {kind}'
        "\r\n\r\n".encode()
        + data
        + b"\r\n"
        for i, (data, kind) in enumerate(shown)
    ]
    return b"".join([*parts, f"--{_BOUNDARY}--\r\n".encode()]), f"multipart/form-data; boundary={_BOUNDARY}"
