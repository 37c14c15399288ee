"""The health check of the images: ready is what the service calls ready, and everything else says why not."""

from __future__ import annotations

import contextlib
import http.server
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certificates import certificate
from tests.support.stack import ROOT

SCRIPT = ROOT / "docker/healthy.py"
PORTS = {"api": "GRAYSCALE_PORT", "model_server": "GRAYSCALE_HTTP_PORT", "worker": "GRAYSCALE_WORKER_PORT",
         "controller": "GRAYSCALE_CONTROLLER_PORT", "web": "GRAYSCALE_WEB_PORT"}  # fmt: skip
PATHS = {"api": "/healthz/ready", "model_server": "/v2/health/ready", "worker": "/healthz/ready",
         "controller": "/healthz/ready", "web": "/healthz/ready"}  # fmt: skip


@contextlib.contextmanager
def answering(status: int, body: bytes, tls: ssl.SSLContext | None = None) -> Iterator[tuple[int, list[str]]]:
    """A server with one answer: its port, and the paths that were asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.005,))
    thread.start()
    try:
        yield server.server_port, asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def checked(service: str, environment: dict[str, str]) -> tuple[int, str]:
    """The exit status and what was printed, run as in the images."""
    command = [sys.executable, "-IS", str(SCRIPT), service]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
    return done.returncode, done.stdout.strip()


@pytest.mark.parametrize("service", PORTS)
def test_a_service_that_says_ready_is_healthy(service: str) -> None:
    with answering(200, b'{"status":"ready"}') as (port, asked):
        assert checked(service, {PORTS[service]: str(port)}) == (0, 'HTTP/1.0 200 OK {"status":"ready"}')
    assert asked == [PATHS[service]]


def test_a_service_that_is_not_ready_is_not_healthy_and_its_reasons_are_told() -> None:
    with answering(503, b'{"reasons":["digits: loading"]}') as (port, _):
        status, said = checked("api", {"GRAYSCALE_PORT": str(port)})
    assert status == 1
    assert said.endswith('{"reasons":["digits: loading"]}')


def test_a_service_that_does_not_listen_is_not_healthy() -> None:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        status, said = checked("worker", {"GRAYSCALE_WORKER_PORT": str(port)})
    assert (status, said.partition(":")[0]) == (1, f"port {port}")


@pytest.mark.parametrize(
    ("service", "tls", "port_variable"),
    [
        ("api", "GRAYSCALE_TLS_CERT", "GRAYSCALE_PORT"),
        ("model_server", "GRAYSCALE_MODEL_SERVER_TLS_CERT", "GRAYSCALE_HTTP_PORT"),
    ],
)
def test_a_service_that_speaks_tls_is_asked_by_tls(tmp_path: Path, service: str, tls: str, port_variable: str) -> None:
    made = certificate(tmp_path, "somewhere.example.org")
    with answering(200, b"", made.server) as (port, asked):
        assert checked(service, {port_variable: str(port), tls: str(made.pem)})[0] == 0
    assert asked == [PATHS[service]]
