"""Where a checkpoint comes from: the model's directory, https:// with a checksum, s3://."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from exporters.base import ExportFailed
from exporters.source_file import DownloadLimits, local_file, path_within, sha256_of

DATA = bytes(range(256)) * 4096  # 1 MiB
DIGEST = hashlib.sha256(DATA).hexdigest()


class Files(BaseHTTPRequestHandler):
    """`/weights.bin` and the ways in which a server may fail to give it."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.asked.append(path)
        match path:
            case "/moved":
                self._head(302, location="/weights.bin")
            case "/moved-out":
                self._head(302, location="http://192.0.2.1/weights.bin")
            case "/moved-forever":
                self._head(302, location="/moved-forever")
            case "/short":
                self._head(200, length=len(DATA))
                self.wfile.write(DATA[:1000])
            case "/claims-much":
                self._head(200, length=1 << 40)
            case "/endless":
                self._head(200)
                self.wfile.write(DATA)
            case "/silent":
                self._head(200, length=len(DATA))
                self.connection.settimeout(10)
                self.rfile.read(1)  # until the client gives up
            case "/weights.bin" | "/bucket/dir/weights.bin":
                self._head(200, length=len(DATA), type="application/octet-stream")
                self.wfile.write(DATA)
            case _:
                self._head(404, length=0)

    def _head(self, status: int, *, location: str = "", length: int | None = None, type: str = "") -> None:
        self.send_response(status)
        headers = {"Location": location, "Content-Length": "" if length is None else str(length), "Content-Type": type}
        if status == 200:
            headers |= {"ETag": '"1"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
        for name, value in headers.items():
            if value:
                self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[str]:
    Files.asked.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Files)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)


@pytest.fixture
def server() -> Iterator[str]:
    with serving() as address:
        yield address


def quiet(what: str, done: int, total: int) -> None:
    pass


def test_a_path_is_the_models_own_or_absolute(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (tmp_path / "outside").write_bytes(DATA)
    (model / "inside").write_bytes(DATA)
    (model / "link").symlink_to(tmp_path / "outside")
    assert path_within(model, "inside") == model / "inside"
    assert path_within(model, str(tmp_path / "outside")) == tmp_path / "outside"
    for text in ("../outside", "link", "inside/../../outside"):
        with pytest.raises(ExportFailed, match=r"leads out of .*: give the absolute path"):
            path_within(model, text)
    for text in ("gone", str(tmp_path / "gone")):
        with pytest.raises(ExportFailed, match="gone is not there"):
            path_within(model, text)


def test_a_local_files_checksum_is_verified_where_the_recipe_has_one(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(DATA)
    assert local_file("w", tmp_path, "", quiet) == tmp_path / "w"
    assert local_file("w", tmp_path, DIGEST.upper(), quiet) == tmp_path / "w"
    with pytest.raises(ExportFailed, match=rf"w has the sha256 {DIGEST}, but the recipe says {'0' * 64}"):
        local_file("w", tmp_path, "0" * 64, quiet)


def test_a_download_is_verified_reported_and_kept(server: str, tmp_path: Path) -> None:
    heard: list[tuple[str, int, int]] = []
    first = local_file(f"{server}/weights.bin?token=secret", tmp_path, DIGEST, lambda *each: heard.append(each))
    assert sha256_of(first) == DIGEST
    assert first.parent == tmp_path / ".cache"
    assert first.name.endswith("-weights.bin")
    assert heard[-1] == ("downloading weights.bin", len(DATA), len(DATA))
    assert local_file(f"{server}/weights.bin", tmp_path, DIGEST, quiet) == first
    assert Files.asked == ["/weights.bin"]
    assert sorted(each.name for each in first.parent.iterdir()) == sorted([".gitignore", first.name])


def test_a_damaged_copy_is_fetched_again(server: str, tmp_path: Path) -> None:
    path = local_file(f"{server}/weights.bin", tmp_path, DIGEST, quiet)
    path.write_bytes(b"damaged")
    assert sha256_of(local_file(f"{server}/weights.bin", tmp_path, DIGEST, quiet)) == DIGEST


def test_a_redirect_is_followed(server: str, tmp_path: Path) -> None:
    assert sha256_of(local_file(f"{server}/moved", tmp_path, DIGEST, quiet)) == DIGEST


@pytest.mark.parametrize(
    ("path", "sha256", "said"),
    [
        ("/weights.bin", "0" * 64, f"/weights.bin has the sha256 {DIGEST}, but the recipe says 000"),
        ("/gone", DIGEST, "/gone cannot be read: the server answered 404"),
        ("/short", DIGEST, "/short cannot be read: peer closed connection"),
        ("/claims-much", DIGEST, "/claims-much is 1099511627776 bytes long, more than the 1048576 that are read"),
        ("/silent", DIGEST, "/silent cannot be read: nothing came for 0.3 s"),
        ("/moved-out", DIGEST, "http://192.0.2.1/weights.bin is not encrypted: use https://"),
        ("/moved-forever", DIGEST, "/moved-forever cannot be read: Exceeded maximum allowed redirects"),
        ("/weights.bin", "", "/weights.bin needs its checksum: add sha256"),
    ],
)
def test_a_download_that_fails_says_why_and_leaves_nothing(
    path: str, sha256: str, said: str, server: str, tmp_path: Path
) -> None:
    limits = DownloadLimits(size_bytes=len(DATA), silence_s=0.3)
    with pytest.raises(ExportFailed, match=re.escape(said)) as error:
        local_file(
            server.replace("//", "//user:password@") + path + "?key=secret", tmp_path, sha256, quiet, limits=limits
        )
    assert "secret" not in str(error.value)
    assert "password" not in str(error.value)
    assert [each.name for each in tmp_path.glob(".cache/*")] in ([], [".gitignore"])


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (DownloadLimits(size_bytes=len(DATA) - 1), "/endless is longer than the 1048575 bytes that are read"),
        (DownloadLimits(seconds=0.0), "/endless was not whole after 0 s: download it, and name the file"),
    ],
)
def test_a_download_of_unknown_length_is_bounded(
    limits: DownloadLimits, said: str, server: str, tmp_path: Path
) -> None:
    with pytest.raises(ExportFailed, match=re.escape(said)):
        local_file(f"{server}/endless", tmp_path, DIGEST, quiet, limits=limits)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("http://example.com/w.pt", "http://example.com/w.pt is not encrypted: use https://"),
        ("http://localhost.example.com/w.pt", "is not encrypted"),
        ("ftp://example.com/w.pt", "ftp://example.com/w.pt cannot be read: use a path, https:// or s3://"),
        ("file:///etc/hostname", "cannot be read: use a path, https:// or s3://"),
        ("https://exa mple.com:port/w.pt", "is not an address"),
    ],
)
def test_addresses_that_are_not_read(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ExportFailed, match=re.escape(said)):
        local_file(text, tmp_path, DIGEST, quiet)


def test_s3_without_its_package_says_which_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(ExportFailed, match=r"s3://bucket/w\.pt needs the package obstore: `pip install obstore`"):
        local_file("s3://bucket/w.pt", tmp_path, "", quiet)


@pytest.mark.skipif(importlib.util.find_spec("obstore") is None, reason="obstore is not installed")
def test_s3_objects_are_read(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_ENDPOINT_URL": server,
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }.items():
        monkeypatch.setenv(name, value)
    assert sha256_of(local_file("s3://bucket/dir/weights.bin", tmp_path, "", quiet)) == DIGEST
    assert sha256_of(local_file("s3://bucket/dir/weights.bin", tmp_path, DIGEST, quiet)) == DIGEST
    with pytest.raises(ExportFailed, match=r"s3://bucket/gone cannot be read"):
        local_file("s3://bucket/gone", tmp_path, "", quiet)
    with pytest.raises(ExportFailed, match="names no object"):
        local_file("s3://bucket", tmp_path, "", quiet)
