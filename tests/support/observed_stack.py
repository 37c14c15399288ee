"""A stack with everything that `up` runs, a model server too, used in every way that leaves traces of pictures and
secrets: what it logs, and what its services expose."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.server
import json
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from services.shared.keys.base import Scope
from services.shared.keys.file import FileKeyStore
from services.shared.keys.issue import IssuedKey, NewKey, issue
from tests.support import bad_candidates
from tests.support.images import digit_png
from tests.support.polling import BOUND_S
from tests.support.stack import Stack, running_stack

MARK = "MARKEDforTHElogs"
ODD_PICTURE = f"{MARK}-picture".encode() * 8
REQUEST_ID = f"{MARK}-request"
ANOTHER_KEY = f"gs_0123456789ab_{MARK}AAAAAAAAAAAAAAAA"
PASSWORD = f"{MARK}Password0"
PLAN: Mapping[str, Any] = {
    "model": "digits",
    "candidate": {"model": "digits", "version": 2},
    "strategy": "canary",
    "steps": [{"weight": 50, "for": "60s", "min_requests": 5}],
    "hold": "60s",
}
_PREDICT, _JOBS = "/v1/models/digits/predict", "/v1/models/digits/jobs"


def marked_png() -> bytes:
    """A digit with a text chunk behind its header: it decodes, and is found wherever it is written."""
    picture = digit_png(7)
    text = b"tEXtComment\0" + ODD_PICTURE
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    return picture[:33] + chunk + picture[33:]


@dataclass
class Observed:
    """`secrets` are texts that must be nowhere."""

    stack: Stack
    key: IssuedKey
    secrets: list[str] = field(default_factory=list)
    webhooks: list[Mapping[str, str]] = field(default_factory=list)

    def lines(self) -> list[dict[str, Any]]:
        """What was logged until now; other programs' lines are no JSON."""
        found = []
        for line in self.stack.log.read_text().splitlines():
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
        return [line for line in found if isinstance(line, dict) and "service" in line]

    def line(self, service: str, message: str, **fields: object) -> dict[str, Any] | None:
        """The last line of a service that has these fields."""
        wanted = {"service": service, "message": message, **fields}
        return next((each for each in reversed(self.lines()) if wanted.items() <= each.items()), None)

    def until_line(self, service: str, message: str, **fields: object) -> dict[str, Any]:
        until(lambda: self.line(service, message, **fields) is not None)
        found = self.line(service, message, **fields)
        assert found is not None
        return found

    def metrics(self) -> dict[str, str]:
        """Of each service."""
        ports = {
            "api": self.stack.ports["api"],
            "model_server": self.stack.ports["metrics"],
            "worker": self.until_line("worker", "the worker starts")["port"],
            "controller": self.until_line("controller", "the controller starts")["port"],
            "web": self.until_line("web", "the pages are served")["port"],
        }
        return {name: httpx.get(f"http://127.0.0.1:{port}/metrics").text for name, port in ports.items()}


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + BOUND_S
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.02)


@contextlib.contextmanager
def observed_stack(directory: Path) -> Iterator[Observed]:
    model = bad_candidates.repository_with_one_version(directory / "models")
    bad_candidates.add_equal(model, 2)
    wanted = NewKey("observed", frozenset({Scope.PREDICT, Scope.JOBS}))
    issued = issue(wanted, now=time.time())
    with _receiver() as (port, webhooks):
        environment = {
            **{"GRAYSCALE_WITH_WEB": "1", "GRAYSCALE_WORKER_PROCESSES": "1", "GRAYSCALE_WORKER_COURTEOUS": "0"},
            **{"GRAYSCALE_ALLOWED_URL_HOSTS": f"127.0.0.1:{port}", "GRAYSCALE_ALLOW_HTTP_URLS": "1"},
            "GRAYSCALE_ALLOWED_PRIVATE_NETWORKS": "127.0.0.0/8",
        }
        arguments = ("--model-server", "--processes", "1")
        with running_stack(directory, *arguments, models=model.parent, environment=environment) as stack:
            asyncio.run(FileKeyStore(stack.data_dir).add(issued.key))
            admin = stack.admin["authorization"].removeprefix("Bearer ")
            secrets = [issued.secret, issued.key.webhook_secret, admin, ANOTHER_KEY, PASSWORD]
            observed = Observed(stack, issued, secrets, webhooks)
            _use(observed, f"http://127.0.0.1:{port}/hook")
            yield observed


def _use(observed: Observed, hook: str) -> None:
    stack, own = observed.stack, {"authorization": f"Bearer {observed.key.secret}"}
    picture = marked_png()
    observed.secrets += [base64.b64encode(picture).decode()[40:80], ODD_PICTURE.decode(), "IHDR"]
    with httpx.Client(base_url=stack.url, timeout=30, trust_env=False) as http:
        until(lambda: http.post(_PREDICT, files={"image": digit_png(3)}).status_code == 401)
        assert http.put("/v1/models/digits/release", json=PLAN, headers=stack.admin).status_code in (200, 201)
        _predict(http, own, picture)
        _refused(http, own)
        job = http.post(_JOBS, params={"callback_url": hook}, json=_images(picture, ODD_PICTURE), headers=own)
        assert job.status_code == 202, job.text
        web = observed.until_line("web", "the pages are served")["port"]
        told = httpx.post(
            f"http://127.0.0.1:{web}/api{_PREDICT}", content=picture, headers={**own, "content-type": "image/png"}
        )
        assert told.status_code == 200, told.text
        assert httpx.get(f"http://127.0.0.1:{web}/{MARK}").status_code == 404
        _through_the_protocol(http, stack, own)
        observed.until_line("worker", "a webhook is delivered")
        until(lambda: _predicts(http, own) and _is_judged(observed))


def _predicts(http: httpx.Client, own: Mapping[str, str]) -> bool:
    return http.post(_PREDICT, files={"image": digit_png(5)}, headers=own).status_code == 200


def _is_judged(observed: Observed) -> bool:
    return observed.line("controller", "a verdict") is not None


def _predict(http: httpx.Client, own: Mapping[str, str], picture: bytes) -> None:
    headers = {**own, "x-request-id": REQUEST_ID, "traceparent": f"00-{'ab' * 16}-{'cd' * 8}-00"}
    assert http.post(_PREDICT, files={"image": picture}, headers=headers).status_code == 200
    assert http.post(_PREDICT, files={"image": digit_png(3)}, headers=own).status_code == 200
    assert http.post(_PREDICT, json=_images(picture), headers=own).status_code == 200


def _refused(http: httpx.Client, own: Mapping[str, str]) -> None:
    """Each in another way; what is sent must not come back in a line of the log, or as a label."""
    png = {**own, "content-type": "image/png"}
    basic = base64.b64encode(f"user:{PASSWORD}".encode()).decode()
    for expected, answer in (
        (422, http.post(_PREDICT, content=ODD_PICTURE, headers=png)),
        (422, http.post(_PREDICT, json=_images(ODD_PICTURE), headers=own)),
        (400, http.post(_PREDICT, content=ODD_PICTURE, headers={**own, "content-type": "application/json"})),
        (400, http.post(_PREDICT, json={"images": [{"b64": PASSWORD + "*"}]}, headers=own)),
        (400, http.post(_PREDICT, json={"images": [{"url": f"http://user:{PASSWORD}@127.0.0.1/x"}]}, headers=own)),
        (404, http.post(f"/v1/models/{MARK}/predict", content=digit_png(3), headers=png)),
        (404, http.get(f"/{MARK}/{MARK}", headers=own)),
        (401, http.post(_PREDICT, content=digit_png(3), headers={"authorization": f"Bearer {ANOTHER_KEY}"})),
        (401, http.post(_PREDICT, content=digit_png(3), headers={"x-api-key": ANOTHER_KEY})),
        (401, http.post(_PREDICT, content=digit_png(3), headers={"authorization": f"Basic {basic}"})),
        (403, http.put("/v1/models/digits/default", json={"version": 1}, headers=own)),
    ):
        assert answer.status_code == expected, (answer.request.url, answer.text)


def _through_the_protocol(http: httpx.Client, stack: Stack, own: Mapping[str, str]) -> None:
    pixels = [list(ODD_PICTURE.ljust(28 * 28)[row * 28 : (row + 1) * 28]) for row in range(28)]
    tensor = {"name": "image", "shape": [1, 28, 28, 1], "datatype": "UINT8", "data": pixels}
    document = {"id": "mine", "inputs": [tensor]}
    assert http.post("/v2/models/digits/infer", json=document, headers=own).status_code in (200, 400)
    assert http.post("/v2/models/digits/infer", content=ODD_PICTURE, headers=own).status_code == 400
    assert http.post(f"/v2/models/{MARK}/infer", json=document, headers=own).status_code == 400
    server = f"http://127.0.0.1:{stack.ports['http']}/v2/models"
    for model in ("digits", MARK):
        headers = {**own, "x-request-id": REQUEST_ID}
        assert httpx.post(f"{server}/{model}/infer", json=document, headers=headers).status_code in (200, 400)


def _images(*pictures: bytes) -> dict[str, Any]:
    return {"images": [{"b64": base64.b64encode(picture).decode()} for picture in pictures]}


@contextlib.contextmanager
def _receiver() -> Iterator[tuple[int, list[Mapping[str, str]]]]:
    """Takes webhooks: its port, and the headers of each."""
    seen: list[Mapping[str, str]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"] or 0))
            seen.append(dict(self.headers))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_port, seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
