"""CPU instructions of one tiny prediction, and what of it metrics, log line, routing and tracing cost: counted by
callgrind.

`python -m loadtests.instructions` (needs valgrind; five minutes). Counts do not drift as times do. A process of its
own for each variant feeds requests to the API's own connections, without sockets, counting only after it is warm. With
one client nothing is shared with other requests; with more (`--clients 32`) what a turn of the loop does once is.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
UNTRACED, TRACED = "tracing, none recorded", "tracing, all recorded"
VARIANTS = ("all on", "no log line", "no metrics", "with a release", UNTRACED, TRACED)
USUAL_SHARE = 0.01  # of requests that are recorded
WARM, COUNTED, RUN_SIZE = 320, 640, 16
_BOUNDARY = b"XgrayscaleX"


def request(image: bytes) -> bytes:
    """A multipart upload as curl sends it."""
    part = b'Content-Disposition: form-data; name="image"; filename="a"\r\nContent-Type: application/octet-stream'
    body = b"--%b\r\n%b\r\n\r\n%b\r\n--%b--\r\n" % (_BOUNDARY, part, image, _BOUNDARY)
    head = (
        b"POST /v1/models/digits/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=%b"
    )
    return head % _BOUNDARY + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body


class Wire(asyncio.Transport):
    """A client that sends its next request when it has its answer."""

    def __init__(self, answered: Callable[[bytes], None]) -> None:
        super().__init__()
        self._answered = answered

    def write(self, data: Any) -> None:
        self._answered(data)

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None: ...


async def serve(variant: str, clients: int, image: bytes, data: Path) -> None:
    from services.api.connection import ConnectionServer
    from services.api.connection_bounds import ConnectionBounds
    from services.api.parts import build_parts
    from services.api.quick_protocol import QuickProtocol
    from services.api.settings import api_settings
    from services.shared.engine import batch_plan, batcher

    # What is counted takes 50 times as long: that must not send runs to threads, or change how many share one.
    batcher.INLINE_S = math.inf
    setattr(batch_plan, "paying_size", lambda _: RUN_SIZE)  # noqa: B010 - mypy knows its exact type
    log = "no" if variant == "no log line" else "yes"
    environment = {"GRAYSCALE_MODELS": str(ROOT / "models"), "GRAYSCALE_DATA_DIR": str(data), **_tracing(variant)}
    if variant == "no metrics":
        _count_nothing()
    if variant == "with a release":
        _release(data)
        # Its counters are on record, as beside a server that keeps releases; nobody connects to it here.
        environment |= {"GRAYSCALE_REDIS_URL": f"unix://{data}/none", "GRAYSCALE_METRICS_DIR": str(data)}
    parts = build_parts(api_settings({**environment, "GRAYSCALE_ACCESS_LOG": log}))
    parts.drift.due_s = math.inf  # it looks at a picture every so often by the clock, which would be every other here
    await parts.serving.start()
    while await parts.serving.readiness.reasons():
        await asyncio.sleep(0.05)
    server = ConnectionServer(parts.app, finish_s=1)
    server.config.load()
    loop, sent = asyncio.get_running_loop(), request(image)

    async def run(count: int) -> None:
        left, done, over = count, 0, loop.create_future()

        def connect() -> QuickProtocol:
            def answered(data: bytes) -> None:
                nonlocal left, done
                if not data.startswith(b"HTTP/1.1 200"):
                    over.set_exception(RuntimeError(data[:300].decode("latin-1")))
                done += 1
                if left:
                    left -= 1
                    loop.call_soon(protocol.data_received, sent)
                elif done == count:
                    over.set_result(None)

            bounds, state = ConnectionBounds(), server.server_state
            protocol = QuickProtocol(server.config, state, {}, loop, bounds, lambda: None, parts.quick, parts.refuse)
            protocol.connection_made(Wire(answered))
            return protocol

        for protocol in [connect() for _ in range(clients)]:
            left -= 1
            loop.call_soon(protocol.data_received, sent)
        await over

    await run(WARM)
    _callgrind("on")
    await run(COUNTED)
    _callgrind("off")
    sys.stderr.flush()
    os._exit(0)


def _callgrind(word: str) -> None:
    subprocess.run(["callgrind_control", "-i", word, str(os.getpid())], check=True, stdout=subprocess.DEVNULL)


def _count_nothing() -> None:
    from services.shared.engine.recorder import Recorder
    from services.shared.telemetry.http_requests import HttpRequests

    HttpRequests.observe = lambda *_: None  # type: ignore[method-assign]
    HttpRequests.observe_all = lambda *_: None  # type: ignore[method-assign]
    HttpRequests.decoded = lambda *_: None  # type: ignore[method-assign]
    Recorder.executed = lambda *_: None  # type: ignore[method-assign]


def _tracing(variant: str) -> dict[str, str]:
    if variant not in (UNTRACED, TRACED):
        return {}
    import opentelemetry.exporter.otlp.proto.http.trace_exporter  # noqa: F401 - what a start costs is not counted

    from services.shared.tracing import otlp

    # By the clock a batch would hold what a second brings, and that is little where all takes 50 times as long.
    setattr(otlp, "OtlpSpans", partial(otlp.OtlpSpans, every_s=3600.0))  # noqa: B010 - mypy knows its exact type
    share = "1" if variant == TRACED else "1e-9"
    return {"GRAYSCALE_OTLP_ENDPOINT": os.environ["COLLECTOR"], "GRAYSCALE_TRACE_SAMPLE": share}


class _Taker(BaseHTTPRequestHandler):
    """A collector that takes everything."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None: ...


@contextlib.contextmanager
def collector() -> Iterator[str]:
    """The address of one, outside the process whose instructions count."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Taker)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def _release(data: Path) -> None:
    from services.shared.model_ref import ModelRef
    from services.shared.release.routing import Arm, ReleaseRouting, Sticky
    from services.shared.release_store.last_known import LastKnownRouting

    same = ModelRef("digits", 1)
    arms = (Arm("candidate", same, 25.0),)
    LastKnownRouting(data).write({"digits": ReleaseRouting("r1", "digits", 1, bytes(16), Sticky.KEY, same, arms)})


def counted(variant: str, clients: int, image: Path) -> int:
    """Instructions per request."""
    with tempfile.TemporaryDirectory() as directory, collector() as address:
        valgrind = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={directory}/out"]
        command = [
            *valgrind,
            sys.executable,
            "-m",
            "loadtests.instructions",
            "--variant",
            variant,
            str(clients),
            str(image),
            directory,
        ]
        environment = {**os.environ, "PYTHONHASHSEED": "0", "COLLECTOR": address}
        ended = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False
        )
        found = re.search(r"Collected : (\d+)", ended.stderr)
        if found is None:
            raise SystemExit(f"callgrind counted nothing: {ended.stderr[-2000:]}")
        return int(found[1]) // COUNTED


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--clients", type=int, default=1, help="so many at once")
    parser.add_argument("--variant", nargs=4, metavar=("VARIANT", "CLIENTS", "IMAGE", "DATA"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.variant:
        variant, clients, image, data = options.variant
        asyncio.run(serve(variant, int(clients), Path(image).read_bytes(), Path(data)))
        return 0
    if shutil.which("valgrind") is None:
        print("valgrind is not installed: it counts the instructions", file=sys.stderr)
        return 2
    from services.cli.measure.pictures import PICTURES, SMALL, write_picture

    with tempfile.TemporaryDirectory() as directory:
        image = write_picture(PICTURES[SMALL.name], Path(directory))
        whole = {variant: counted(variant, options.clients, image) for variant in VARIANTS}
    everything = whole["all on"]
    for variant, instructions in whole.items():
        share = (instructions - everything) / everything
        print(f"{variant:22} {instructions:10,} instructions a request   {share:+7.1%}")
    usual = (1 - USUAL_SHARE) * whole[UNTRACED] + USUAL_SHARE * whole[TRACED]
    text = f"tracing, {USUAL_SHARE:.0%} recorded"
    print(f"{text:22} {round(usual):10,} instructions a request   {(usual - everything) / everything:+7.1%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
