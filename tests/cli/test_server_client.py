"""Commands and a server that refuses, hangs, is not there, or is something else."""

from __future__ import annotations

import contextlib
import http.server
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import typer

from services.cli.server_client import ServerClient, local_admin_key
from services.cli.terminal import Exit
from services.shared.keys.admin import ADMIN_KEY_FILE
from tests.support.stack import free_ports


@dataclass
class Server:
    """A server that gives one answer; `seen` has the requests that came."""

    url: str = ""
    status: int = 200
    body: bytes = b"{}"
    seen: list[tuple[str, str, bytes, str | None]] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    answer = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            answer.seen.append((self.command, self.path, body, self.headers.get("authorization")))
            self.send_response(answer.status)
            self.send_header("content-length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_POST = do_PUT = _any  # noqa: N815 - names that the library gives

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        answer.url = f"http://127.0.0.1:{listening.server_port}"
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        yield answer
        listening.shutdown()
        thread.join()


def ended(url: str, *, timeout_s: float = 20.0) -> Exit:
    """The exit code with which a command ends that asks this server."""
    with ServerClient(url, timeout_s=timeout_s) as client, pytest.raises(typer.Exit) as end:
        client.request("GET", "/v1/models")
    return Exit(end.value.exit_code)


def test_the_answers_document_is_given(server: Server) -> None:
    server.body = b'{"models": []}'
    with ServerClient(server.url + "/", key="gs_k_s") as client:
        assert client.request("POST", "/v1/x", json={"a": 1}) == {"models": []}
    assert server.seen == [("POST", "/v1/x", b'{"a":1}', "Bearer gs_k_s")]


def test_an_empty_answer_is_none_and_without_a_key_none_is_sent(server: Server) -> None:
    server.status, server.body = 204, b""
    with ServerClient(server.url) as client:
        assert client.request("PUT", "/x") is None
    assert server.seen == [("PUT", "/x", b"", None)]


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (404, b'{"title": "x", "detail": "there is no model \'m\'"}', "there is no model 'm'"),
        (400, b'{"error": "unknown model"}', "unknown model"),
        (503, b'{"detail": "try [/again] later"}', "try [/again] later"),
        (502, b"<html>Bad Gateway</html>", "the server answered 502"),
        (500, b"", "the server answered 500"),
        (500, b"{}", "the server answered 500"),
        (500, b'["a list"]', "the server answered 500"),
        (500, b"null", "the server answered 500"),
        (500, b'{"detail": null}', "the server answered 500"),
    ],
)
def test_a_refusal_ends_with_3_and_the_servers_own_words(
    server: Server, status: int, body: bytes, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    server.status, server.body = status, body
    assert ended(server.url) is Exit.REFUSED
    assert capsys.readouterr().err == f"error: {said}\n"


def test_a_server_that_is_not_ours_is_said_to_be(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.body = b"<html>Welcome</html>"
    assert ended(server.url) is Exit.REFUSED
    assert "is it a Grayscale server?" in capsys.readouterr().err


def test_the_answer_as_it_is_can_be_had_whatever_its_status(server: Server) -> None:
    server.status, server.body = 422, b"{}"
    with ServerClient(server.url) as client:
        assert client.send("GET", "/x").status_code == 422


def test_a_server_that_is_not_there_ends_with_4(capsys: pytest.CaptureFixture[str]) -> None:
    url = f"http://127.0.0.1:{free_ports(1)[0]}"
    assert ended(url) is Exit.UNREACHABLE
    said = capsys.readouterr().err
    assert said.startswith(f"error: {url} cannot be reached (")
    assert said.endswith("): is `grayscale up` running?\n")


@pytest.mark.parametrize("url", ["localhost:8080", "ftp://127.0.0.1", "http://"])
def test_an_address_that_is_none_ends_with_4(url: str) -> None:
    assert ended(url) is Exit.UNREACHABLE


def test_a_server_that_does_not_answer_ends_with_4(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert ended(url, timeout_s=0.1) is Exit.UNREACHABLE
    assert capsys.readouterr().err == f"error: {url} did not answer in time\n"


def test_a_server_that_hangs_up_ends_with_4() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            with contextlib.suppress(OSError):
                listener.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        assert ended(f"http://127.0.0.1:{listener.getsockname()[1]}") is Exit.UNREACHABLE
        thread.join()


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:8080", True),
        ("http://localhost:8080", True),
        ("https://LOCALHOST", True),
        ("http://[::1]:8080", True),
        ("http://127.9.9.9", True),
        ("http://example.org:8080", False),
        ("http://10.0.0.1:8080", False),
        ("http://0.0.0.0:8080", False),
        ("http://localhost.example.org", False),
        ("http://127.0.0.1@example.org", False),  # a user name, for another machine
        ("http://example.org/127.0.0.1", False),
        ("localhost:8080", False),
        ("", False),
    ],
)
def test_the_administrators_key_is_for_a_server_on_this_machine_only(
    url: str, local: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ADMIN_KEY_FILE).write_text("gs_admin\n")
    monkeypatch.setenv("GRAYSCALE_DATA_DIR", str(tmp_path))
    assert local_admin_key(url) == ("gs_admin" if local else None)


def test_without_a_data_directory_there_is_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAYSCALE_DATA_DIR", str(tmp_path / "nowhere"))
    assert local_admin_key("http://localhost:8080") is None
    monkeypatch.setenv("GRAYSCALE_DATA_DIR", "")
    monkeypatch.chdir(tmp_path)
    assert local_admin_key("http://localhost:8080") is None
    (tmp_path / ".grayscale").mkdir()
    (tmp_path / ".grayscale" / ADMIN_KEY_FILE).write_text("gs_here")
    assert local_admin_key("http://localhost:8080") == "gs_here"
