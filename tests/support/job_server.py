"""The API of jobs as commands see it, on a real socket, with faults on order.

Images are "classified" without a model: whatever begins with `bad` fails. A job moves on by `step` images each time
that anybody looks at it, so that no test depends on time.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import io
import re
import socket
import threading
import zipfile
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import orjson

from tests.support.fake_jobs import END_EARLY, HANG_UP, SILENT, FakeJob, Fault, images_in
from tests.support.polling import BOUND_S


class JobApi:
    """`seen` has the requests as (method, path with query, headers). `events_type` is the type of the event stream."""

    def __init__(self) -> None:
        self.url = ""
        self.jobs: dict[str, FakeJob] = {}
        self.keys: dict[str, str] = {}
        self.dead: list[dict[str, Any]] = []
        self.faults: list[Fault] = []
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.max_images = 1000
        self.max_image_bytes = 2**20
        self.step = 1
        self.events_type = "text/event-stream"
        self.stopping = threading.Event()
        self._server: _Listening | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listens; again on the same port when it did before."""
        self.stopping.clear()
        port = urlsplit(self.url).port or 0
        handler = type("Handler", (_Handler,), {"api": self})
        self._server = _Listening(("127.0.0.1", port), handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.005,))
        self._thread.start()

    def stop(self) -> None:
        """Ends every connection too, as a process does that is killed."""
        if self._server is not None and self._thread is not None:
            self.stopping.set()
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            for connection in self._server.connections:
                with contextlib.suppress(OSError):  # it is closed already
                    connection.shutdown(socket.SHUT_RDWR)
            self._server = None

    def add(self, *contents: bytes, model: str = "m", query: dict[str, str] | None = None) -> FakeJob:
        """A job of images with these contents, called 0.png and so on."""
        named = [(f"{index}.png", content) for index, content in enumerate(contents)]
        return self.add_named(model, named, query or {})

    def add_named(self, model: str, images: list[tuple[str, bytes]], query: dict[str, str]) -> FakeJob:
        job = FakeJob(f"job{len(self.jobs)}", model, images, query, step=self.step)
        self.jobs[job.job_id] = job
        return job

    def fault_of(self, route: str) -> Fault | None:
        for fault in self.faults:
            if fault.route == route:
                self.faults.remove(fault)
                return fault
        return None

    def paths(self, method: str) -> list[str]:
        return [path for seen, path, _ in self.seen if seen == method]


class _Listening(http.server.ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.connections: list[socket.socket] = []

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.append(request)
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: clients that go away are what tests are about."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    api: JobApi

    def do_GET(self) -> None:
        self._seen()
        path, query = self._target()
        match path:
            case ["models"]:
                self._json(200, {"models": [{"name": "m", "default": {"model": "m", "version": 3}}]})
            case ["models", name]:
                self._json(200, {"name": name}) if name == "m" else self._problem(404, f"there is no model '{name}'")
            case ["jobs"]:
                jobs = list(reversed(self.api.jobs.values()))[: int(query["limit"])]
                self._json(200, {"jobs": [job.document for job in jobs]})
            case ["jobs", "dead"]:
                self._json(200, {"dead": self.api.dead[: int(query["limit"])]})
            case ["jobs", job_id]:
                self._of(job_id, lambda job: self._answer("GET job", lambda: self._json(200, job.look())))
            case ["jobs", job_id, "events"]:
                self._of(job_id, self._events)
            case ["jobs", job_id, "results"]:
                self._of(job_id, lambda job: self._results(job, query))
            case _:
                self._problem(404, "there is nothing here")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"] or 0))
        self._seen()
        path, query = self._target()
        match path:
            case ["models", model, "jobs"]:
                self._answer("POST jobs", lambda: self._create(model, query, body))
            case ["jobs", "dead", dead_id, "requeue"]:
                self._requeue(dead_id)

    def do_DELETE(self) -> None:
        self._seen()
        path, query = self._target()
        job = self.api.jobs.get(path[-1])
        if job is None:
            self._problem(404, f"there is no job '{path[-1]}'")
        elif query.get("purge") == "true":
            del self.api.jobs[path[-1]]
            self.send_response(204)
            self.end_headers()
        else:
            job.state = job.state if job.is_ended else "cancelled"
            self._json(200, job.document)

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _create(self, model: str, query: dict[str, str], body: bytes) -> None:
        api, key = self.api, self.headers["idempotency-key"]
        job = api.jobs.get(api.keys.get(key, ""))
        if job is not None:
            self._json(202, job.document, {"idempotency-replayed": "true"})
            return
        images = self._images(body)
        large = next((name for name, content in images if len(content) > api.max_image_bytes), None)
        if len(images) > api.max_images or large is not None:
            self._problem(413, f"{large} is too large" if large else f"more than {api.max_images} images")
            return
        job = api.add_named(model, images, query)
        api.keys[key] = job.job_id
        self._json(202, job.document, {"location": f"/v1/jobs/{job.job_id}"})

    def _images(self, body: bytes) -> list[tuple[str, bytes]]:
        content_type = self.headers["content-type"]
        if content_type == "application/zip":
            with zipfile.ZipFile(io.BytesIO(body)) as archive:
                return [(name, archive.read(name)) for name in archive.namelist()]
        return asyncio.run(images_in(body, content_type))

    def _events(self, job: FakeJob) -> None:
        def messages() -> Iterator[bytes]:
            yield b": heartbeat\n\n"
            while not job.is_ended:
                document = orjson.dumps(job.look())
                yield b"id: 1\r\nevent: progress\r\ndata: " + document + b"\r\n\r\n"
            yield b"event: end\ndata: " + orjson.dumps(job.document) + b"\n\n"

        is_held_back = self.api.events_type != "text/event-stream"
        shown = iter([b"<html>wait</html>\n\n"]) if is_held_back else messages()
        self._streamed("GET events", self.api.events_type, shown)

    def _results(self, job: FakeJob, query: dict[str, str]) -> None:
        def lines() -> Iterator[bytes]:
            index = int(query.get("from", 0))
            while index < job.done or (query.get("follow") == "true" and not job.is_ended):
                if index < job.done:
                    yield job.line(index)
                    index += 1
                else:
                    job.look()

        self._streamed("GET results", "application/x-ndjson", lines())

    def _requeue(self, dead_id: str) -> None:
        letter = next((letter for letter in self.api.dead if letter["dead_id"] == dead_id), None)
        if letter is None:
            self._problem(404, f"there is no dead letter '{dead_id}'")
            return
        self.api.dead.remove(letter)
        self._json(200, self.api.jobs[letter["job_id"]].document)

    def _of(self, job_id: str, answer: Callable[[FakeJob], None]) -> None:
        job = self.api.jobs.get(job_id)
        if job is None:
            self._problem(404, f"there is no job '{job_id}'")
        else:
            answer(job)

    def _answer(self, route: str, answer: Callable[[], None]) -> None:
        fault = self.api.fault_of(route)
        if fault is None:
            answer()
        elif fault.status == HANG_UP:
            kept, self.wfile = self.wfile, io.BytesIO()
            answer()
            self.wfile = kept
            self._hang_up()
        else:
            self._problem(fault.status, fault.detail, fault.headers)

    def _streamed(self, route: str, content_type: str, messages: Iterator[bytes]) -> None:
        fault = self.api.fault_of(route)
        if fault is not None and fault.status > 0:
            self._problem(fault.status, fault.detail, fault.headers)
            return
        self.send_response(200)
        self.send_header("content-type", content_type)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for count, message in enumerate(messages):
            if fault is not None and count == fault.after:
                if fault.status == END_EARLY:
                    break
                if fault.status == SILENT:
                    self.api.stopping.wait(BOUND_S)
                half = message[: len(message) // 2]
                self.wfile.write(b"%x\r\n%b\r\n" % (len(half), half))
                self._hang_up()
                return
            self.wfile.write(b"%x\r\n%b\r\n" % (len(message), message))
        self.wfile.write(b"0\r\n\r\n")

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _json(self, status: int, document: Any, headers: dict[str, str] | None = None) -> None:
        body = orjson.dumps(document)
        self.send_response(status)
        for name, value in {"content-length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _problem(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        self._json(status, {"status": status, "detail": detail}, headers)

    def _seen(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.api.seen.append((self.command, self.path, headers))

    def _target(self) -> tuple[list[str], dict[str, str]]:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        return [unquote(part) for part in re.split("/", parts.path)[2:]], query


@contextlib.contextmanager
def running_job_api() -> Iterator[JobApi]:
    api = JobApi()
    api.start()
    try:
        yield api
    finally:
        api.stop()
