"""The API of releases as commands see it, on a real socket: a release moves on each time that anybody asks for its
state, so that no test depends on time."""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

Document = dict[str, Any]
BEGAN = "2026-01-02T03:04:05.000Z"
ENDS = ("promoted", "rolled_back", "aborted")


def release_state(phase: str = "progressing", **fields: object) -> Document:
    """A canary of `a[b]`, whose name would be markup to a terminal."""
    weight = fields.get("weight", 5.0)
    return {
        "release": "a-20260102-5f3a9c",
        "model": "a[b]",
        "strategy": "canary",
        "phase": phase,
        "step": 0,
        "steps": 2,
        "weight": weight,
        "shadow": 0.0,
        "arms": [
            {"arm": "stable", "ref": "digits/1", "weight": 100.0 - weight},  # type: ignore[operator]
            {"arm": "candidate", "ref": "digits_int8/1", "weight": weight},
        ],
        "reason": f"it is {phase} <now>",
        "failed": False,
        "winner": None,
        "is_over": phase in ENDS,
        "default_before": "digits/1",
        "created_at": BEGAN,
        "since": BEGAN,
        "revision": 3,
        "plan": {},
        **fields,
    }


def event(before: str | None, after: str, weight: float = 0.0, **fields: object) -> Document:
    return {
        "at": "2026-01-02T03:04:15.000Z",
        "release": "a-20260102-5f3a9c",
        "by": "controller",
        "from": before,
        "to": after,
        "step": 0,
        "weight": weight,
        "why": f"because of [{after}]",
        **fields,
    }


def point(seconds: int, weight: float, requests: int = 100, errors: int = 0, p95_ms: float | None = 4.0) -> Document:
    """Of a timeline, so many seconds after the release began."""
    stable = {"requests": 1000, "errors": 1, "p50_ms": 1.0, "p95_ms": 3.0, "p99_ms": 5.0}
    candidate = {"requests": requests, "errors": errors, "p50_ms": p95_ms, "p95_ms": p95_ms, "p99_ms": p95_ms}
    return {
        "at": f"2026-01-02T03:{4 + (5 + seconds) // 60:02d}:{(5 + seconds) % 60:02d}.000Z",
        "step": 0,
        "phase": "progressing",
        "weights": {"stable": 100 - weight, "candidate": weight},
        "arms": {"stable": stable, "candidate": candidate},
    }


REPORT: Document = {
    "model": "a[b]",
    "release": "a-20260102-5f3a9c",
    "verdict": {"outcome": "inconclusive", "reason": "the candidate was asked 210 times of 500"},
    "arms": [
        {
            "arm": "stable",
            "ref": "digits/1",
            "requests": 4000,
            "errors": 20,
            "error_rate": 0.005,
            "latency_ms": {"p50": 1.25, "p95": 3.5, "p99": 1234.0},
        },
        {
            "arm": "candidate",
            "ref": "digits_int8/1",
            "requests": 210,
            "errors": 12,
            "error_rate": 12 / 210,
            "latency_ms": {"p50": 1.0, "p95": 3.0, "p99": None},
        },
    ],
    "guardrails": [
        {
            "arm": "candidate",
            "metric": "error_rate",
            "limit": "at most 0.5 points above stable",
            "outcome": "fail",
            "sentence": "error_rate, at most 0.5 points above stable, is broken [5.71 % of 210]",
            "candidate": 12 / 210,
            "stable": 0.005,
            "count_candidate": 210,
            "count_stable": 4000,
            "estimate": 0.052,
            "interval": [0.01, 0.094],
            "e_value": 123.4,
            "threshold": 80.0,
            "guaranteed": True,
        },
        {
            "arm": "candidate",
            "metric": "latency_p95",
            "limit": "at most 1.2 times stable's",
            "outcome": "pass",
            "sentence": "latency_p95 holds",
            "candidate": 0.003,
            "stable": 0.0035,
            "count_candidate": 198,
            "count_stable": 3980,
            "estimate": 0.857,
            "interval": [None, None],
            "e_value": 0.2,
            "threshold": 80.0,
            "guaranteed": True,
        },
    ],
    "ratio_evidence": 0.31,
    "ab": {"candidate": {"accuracy": {"lift": 0.0123456}}},
    "shadow": {
        "compared": 800,
        "differing": 9,
        "by_class": [{"class": 7, "compared": 80, "differing": 6}, {"class": 1, "compared": 90, "differing": 3}],
        "largest_difference": 0.4321,
    },
}


class ReleaseApi:
    """`states` are told one after the other, the last one again and again; None is a 404.

    `refusals`, as (status, Retry-After or None, detail), are answered instead, after `refuse_after` requests. What was
    asked is in `seen`: method, path with query, headers, body.
    """

    def __init__(self) -> None:
        self.url = ""
        self.states: list[Document | None] = [release_state()]
        self.report: Document | None = REPORT
        self.points: list[Document] = [point(2, 5.0), point(4, 5.0, errors=7)]
        self.log: list[Document] = [event(None, "pending"), event("pending", "progressing", 5.0)]
        self.refusals: list[tuple[int, int | None, str]] = []
        self.refuse_after = 0  # requests
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []

    def next_state(self) -> Document | None:
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    api: ReleaseApi

    def do_GET(self) -> None:
        self._answer(b"")

    def do_DELETE(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["content-length"] or 0)))

    def do_PUT(self) -> None:
        self.do_POST()

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _answer(self, body: bytes) -> None:
        api = self.api
        api.seen.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        if api.refusals and len(api.seen) > api.refuse_after:
            status, after, detail = api.refusals.pop(0)
            self._send(status, {"detail": detail}, {} if after is None else {"retry-after": str(after)})
            return
        target = urlsplit(self.path)
        asked, query = target.path.rpartition("/")[2], parse_qs(target.query)
        match asked:
            case "releases":
                self._send(200, {"releases": [state for state in api.states if state], "unreadable": []})
            case "report":
                self._found(api.report)
            case "timeline":
                self._send(200, {"points": api.points})
            case "events":
                start, limit = (int(query[name][0]) for name in ("start", "limit"))
                self._send(200, {"events": api.log[start : start + limit], "next": 0})
            case _:
                self._found(api.next_state(), 201 if self.command == "PUT" else 200)

    def _found(self, document: Document | None, status: int = 200) -> None:
        if document is None:
            self._send(404, {"detail": "there is no release of 'a[b]'"})
        else:
            self._send(status, document)

    def _send(self, status: int, document: Document, headers: dict[str, str] | None = None) -> None:
        body = orjson.dumps(document)
        self.send_response(status)
        for name, value in {"content-length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@contextlib.contextmanager
def running_release_api() -> Iterator[ReleaseApi]:
    api = ReleaseApi()
    handler = type("Handler", (_Handler,), {"api": api})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    api.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.005,))
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
