"""A server that speaks as much of S3's protocol as a blob store needs, for one bucket, in a thread.

Signatures are not verified, only that there is one. Request shapes: Amazon S3 API Reference (PutObject, GetObject,
DeleteObjects, ListObjectsV2, CreateMultipartUpload and its relatives).
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import pytest

BUCKET = "images"
ACCESS_KEY, SECRET_KEY = "AKIDTHATMUSTNOTBELOGGED", "secret-that-must-not-be-logged"
_PAGE = 3  # so that a few objects are several pages


@dataclass
class S3State:
    """What it holds and was asked. `refusal`: a status and body for every request from now on."""

    objects: dict[str, tuple[bytes, float]] = field(default_factory=dict)
    uploads: dict[str, dict[int, bytes]] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    unsigned: int = 0
    refusal: tuple[int, bytes] | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: S3State

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        bucket, _, key = unquote(parts.path).removeprefix("/").partition("/")
        with self.state.lock:
            self.state.asked.append((self.command, self.path))
            self.state.unsigned += "authorization" not in self.headers
            if self.state.refusal is not None:
                status, answer = self.state.refusal
            elif bucket != BUCKET:
                status, answer = 404, b"<Error><Code>NoSuchBucket</Code></Error>"
            else:
                status, answer = self._answer(key, query, body)
        self.send_response(status)
        self.send_header("ETag", '"an-etag"')
        self.send_header("Last-Modified", self.date_time_string())
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    def _answer(self, key: str, query: dict[str, str], body: bytes) -> tuple[int, bytes]:
        match self.command, sorted(query):
            case "PUT", ["partNumber", "uploadId"]:
                self.state.uploads[query["uploadId"]][int(query["partNumber"])] = body
            case "PUT", []:
                self.state.objects[key] = (body, time.time())
            case "POST", ["uploads"]:
                upload = f"upload-{len(self.state.asked)}"
                self.state.uploads[upload] = {}
                return 200, f"<R><UploadId>{upload}</UploadId></R>".encode()
            case "POST", ["uploadId"]:
                pieces = self.state.uploads.pop(query["uploadId"])
                self.state.objects[key] = (b"".join(pieces[number] for number in sorted(pieces)), time.time())
                return 200, b'<R><ETag>"whole"</ETag></R>'
            case "DELETE", ["uploadId"]:
                self.state.uploads.pop(query["uploadId"])
                return 204, b""
            case "POST", ["delete"]:
                keys = re.findall(rb"<Key>(.*?)</Key>", body)
                for name in keys:
                    self.state.objects.pop(name.decode(), None)
                return 200, b"<R>%b</R>" % b"".join(b"<Deleted><Key>%b</Key></Deleted>" % name for name in keys)
            case "GET" | "HEAD", []:
                found = self.state.objects.get(key)
                return (200, found[0]) if found else (404, b"<Error><Code>NoSuchKey</Code></Error>")
            case "GET", _ if query.get("list-type") == "2":
                return 200, self._listed(query.get("prefix", ""), query.get("continuation-token", ""))
            case _:
                return 400, b"<Error><Code>NotImplemented</Code></Error>"
        return 200, b""

    def _listed(self, prefix: str, after: str) -> bytes:
        keys = sorted(key for key in self.state.objects if key.startswith(prefix) and key > after)
        page = keys[:_PAGE]
        contents = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(self.state.objects[key][0])}</Size><LastModified>"
            f"{time.strftime('%Y-%m-%dT%H:%M:%S.000Z', time.gmtime(self.state.objects[key][1]))}"
            '</LastModified><ETag>"e"</ETag></Contents>'
            for key in page
        )
        rest = f"<NextContinuationToken>{page[-1]}</NextContinuationToken>" if len(keys) > _PAGE else ""
        truncated = "true" if rest else "false"
        return f"<ListBucketResult><IsTruncated>{truncated}</IsTruncated>{rest}{contents}</ListBucketResult>".encode()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _handle  # noqa: N815 - the names that http.server calls

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextlib.contextmanager
def s3_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3State]:
    """A server with an empty bucket, and the AWS_* variables that lead to it."""
    state = S3State()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"state": state}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    variables = {
        "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{server.server_port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
