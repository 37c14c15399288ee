"""Places by what is expected of the work in front: what the gate reads of a request and learns from its answer."""

from __future__ import annotations

import contextlib
import math

import pytest
from starlette.types import Message, Receive, Scope, Send

from services.api.admission import Admission, AdmissionLimits
from services.api.gates import AdmissionGate
from services.api.work_estimate import COLD_S
from services.shared.asgi import EXCHANGE
from services.shared.clock import ManualClock
from services.shared.errors import InferenceFailed, Overloaded
from services.shared.priority import Priority
from tests.support.asgi_calls import Sent, part, receiving, scope


async def reads_its_body(scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive()).get("more_body"):
        pass


class Exchange:
    """What our own server tells of a request."""

    def __init__(self, *, body_complete: bool = True, disconnected: bool = False) -> None:
        self.body_complete = body_complete
        self.disconnected = disconnected
        self.on_disconnect = None


def full(default_timeout_s: float = math.inf) -> tuple[AdmissionGate, Admission]:
    """A gate behind which 20 requests wait."""
    admission = Admission(AdmissionLimits(), ManualClock())
    for _ in range(20):
        admission.enter("other", 0, Priority.HIGH)
    return AdmissionGate(reads_its_body, admission, max_body_bytes=500, default_timeout_s=default_timeout_s), admission


@pytest.mark.parametrize(
    ("path", "timeout_ms", "default_s", "admitted"),
    [
        ("/v1/models/m/predict", 21_000, math.inf, True),
        ("/v1/models/m/predict", 19_000, math.inf, False),
        ("/v1/models/m/predict", None, math.inf, True),
        ("/v1/models/m/predict", None, 19.0, False),
        ("/v1/models/m/predict", 21_000, 19.0, True),
        ("/v1/models/m/predict", "soon", 21.0, True),
        ("/v1/models/m/predict", "-1", 21.0, True),
        ("/v1/models/m/predict", "9" * 5000, 21.0, True),
        ("/v2/models/m/infer", 19_000, math.inf, False),
        ("/v2/models/m/infer", None, 19.0, True),  # the default is the predict route's
    ],
)
async def test_who_would_be_answered_too_late_is_refused_unread(
    path: str, timeout_ms: int | str | None, default_s: float, admitted: bool
) -> None:
    scale = 20 * COLD_S / 20.0  # the expected wait of 20 cold requests, as if it were 20 s
    entered, admission = full(default_s * scale)
    given = str(round(timeout_ms * scale)) if isinstance(timeout_ms, int) else timeout_ms
    sent = Sent()
    refused = False
    try:
        await entered(
            scope(path, x_timeout_ms=None if given is None else given.encode(), content_length=b"1"),
            receiving([part(b"x")]),
            sent,
        )
    except Overloaded:
        refused = True
    assert (refused or bool(sent)) is not admitted
    assert admission.refused == (0 if admitted else 1)


@pytest.mark.parametrize(
    ("path", "answer", "exchange", "told"),
    [
        ("/v1/models/m/predict", 200, None, True),
        ("/v1/models/m/predict", 200, Exchange(), True),
        ("/v1/models/m/predict", 200, Exchange(body_complete=False), True),
        ("/v1/models/m/predict", 200, Exchange(disconnected=True), False),  # the client left; nobody computed
        ("/v1/models/m/predict", InferenceFailed("broken"), Exchange(), False),
        ("/v2/models/m/infer", 200, Exchange(), True),
        ("/v2/models/m/infer", 400, Exchange(), False),
        ("/v2/models/m/infer", 503, None, False),
    ],
)
async def test_only_what_was_computed_tells_what_a_request_costs(
    path: str, answer: int | Exception, exchange: Exchange | None, told: bool
) -> None:
    clock = ManualClock()
    admission = Admission(AdmissionLimits(), clock)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        clock.advance(COLD_S / 10)
        if isinstance(answer, Exception):
            raise answer
        await send({"type": "http.response.start", "status": answer, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    entered = AdmissionGate(app, admission, max_body_bytes=500)
    for _ in range(50):
        given = scope(path, content_length=b"1")
        if exchange is not None:
            given["extensions"] = {EXCHANGE: exchange}
        with contextlib.suppress(InferenceFailed):
            await entered(given, receiving([part(b"x")]), Sent())
    admission.enter((path, 0), 0, Priority.HIGH)
    assert admission.expected_wait_s == pytest.approx(COLD_S / 10 if told else COLD_S, rel=0.01)


async def test_while_a_body_comes_no_work_is_counted() -> None:
    clock = ManualClock()
    admission = Admission(AdmissionLimits(), clock)
    entered, path = AdmissionGate(reads_its_body, admission, max_body_bytes=500), "/v1/models/m/predict"

    def slowly() -> Receive:
        left = [part(b"x", True)] * 9 + [part(b"x")]

        async def receive() -> Message:
            clock.advance(COLD_S)
            return left.pop(0)

        return receive

    for length in (b"10", None):
        for _ in range(60):
            await entered(scope(path, content_length=length), slowly(), Sent())
    for size in (2, 0):
        before_s = admission.expected_wait_s
        admission.enter((path, size), 0, Priority.HIGH)
        assert admission.expected_wait_s - before_s < COLD_S / 100  # and not the half second of an upload


async def test_requests_of_one_path_and_size_are_alike() -> None:
    clock = ManualClock()
    admission = Admission(AdmissionLimits(), clock)
    seconds = {b"10": 0.001, b"40": 0.004, b"400": 0.016}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        clock.advance(seconds[dict(scope["headers"])[b"content-length"]])

    entered = AdmissionGate(app, admission, max_body_bytes=500)
    for length in [*seconds] * 60:
        await entered(scope(content_length=length), receiving([part(b"x")]), Sent())
    told = []
    for length in seconds:
        before_s = admission.expected_wait_s
        kind = ("/v1/models/m/predict", int(length).bit_length() // 2)
        admission.enter(kind, 0, Priority.HIGH)
        told.append(admission.expected_wait_s - before_s)
    assert told == pytest.approx(list(seconds.values()), rel=0.01)
