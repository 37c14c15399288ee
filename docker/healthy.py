"""Is the service in this container ready? Exit status 0 when it says so, 1 with its reasons otherwise.

    python -IS healthy.py api|model_server|worker|controller|web

It runs every few seconds in every container, so it imports a socket and no HTTP library: 10 ms instead of 60.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping

# service -> the variable with its port, that port's default, the path to ask, the variable that turns TLS on
PROBES = {
    "api": ("GRAYSCALE_PORT", 8080, "/healthz/ready", "GRAYSCALE_TLS_CERT"),
    "model_server": ("GRAYSCALE_HTTP_PORT", 8000, "/v2/health/ready", "GRAYSCALE_MODEL_SERVER_TLS_CERT"),
    "worker": ("GRAYSCALE_WORKER_PORT", 8003, "/healthz/ready", ""),
    "controller": ("GRAYSCALE_CONTROLLER_PORT", 8004, "/healthz/ready", ""),
    "web": ("GRAYSCALE_WEB_PORT", 8081, "/healthz/ready", "GRAYSCALE_TLS_CERT"),
}
TIMEOUT_S = 4.0
_ENOUGH = 4096  # bytes of an answer: reasons are short


def asked(service: str, environment: Mapping[str, str]) -> tuple[bool, str]:
    """Whether the service is ready, and what it said."""
    variable, default, path, tls = PROBES[service]
    port = int(environment.get(variable) or default)
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode()
    answer = b""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) as plain:
            connection = _with_tls(plain) if environment.get(tls) else plain
            connection.sendall(request)
            while len(answer) < _ENOUGH and (part := connection.recv(_ENOUGH)):
                answer += part
    except OSError as error:
        return False, f"port {port}: {error}"
    head, _, body = answer.partition(b"\r\n\r\n")
    status = head.partition(b"\r\n")[0].decode("latin-1")
    return status.split(" ")[1:2] == ["200"], f"{status} {body.decode('utf-8', 'replace')}".strip()


def _with_tls(plain: socket.socket) -> socket.socket:
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # our own server in our own container: its certificate is for the public's name
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(plain)


if __name__ == "__main__":
    is_ready, said = asked(sys.argv[1], os.environ)
    print(said)  # noqa: T201 - the engine keeps it: `docker inspect` shows why a container is not healthy
    sys.exit(not is_ready)
