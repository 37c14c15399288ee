"""A server that answers as a benchmark expects it to, in this process."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest


@dataclass(slots=True)
class AnsweringServer:
    """Answers every POST with `status`; GETs with what `documents` has for the path. Remembers what it was sent."""

    port: int = 0
    status: int = 200
    documents: dict[str, object] = field(default_factory=dict)
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: set[str] = field(default_factory=set)
    close_each: bool = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture
def server() -> Iterator[AnsweringServer]:
    """A running one."""
    told = AnsweringServer()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            told.bodies.append(self.rfile.read(int(self.headers["content-length"])))
            told.headers.append({name.lower(): value for name, value in self.headers.items()})
            told.paths.add(self.path)
            self._answer(told.status, {})

        def do_GET(self) -> None:
            self._answer(200 if self.path in told.documents else 404, told.documents.get(self.path))

        def _answer(self, status: int, document: object) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if told.close_each:
                self.send_header("Connection", "close")
                self.close_connection = True
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        listening.daemon_threads = True
        told.port = listening.server_address[1]
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield told
        listening.shutdown()
        thread.join()
