"""Places for inferences, small bodies for everything else: plain ASGI, called without a server."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from starlette.types import Message, Receive, Scope, Send

from services.api.admission import Admission, AdmissionLimits
from services.api.gates import SMALL_BODY_BYTES, AdmissionGate, SmallBodies
from services.shared.clock import ManualClock
from services.shared.errors import InferenceFailed, Overloaded, TooLarge
from services.shared.priority import Priority
from tests.support.asgi_calls import Sent, part, receiving, scope


class App:
    """What is behind a gate: reads the whole body, remembers what was held meanwhile, and raises `error` if any."""

    def __init__(self, admission: Admission, error: Exception | None = None) -> None:
        self._admission, self._error = admission, error
        self.calls = 0
        self.bodies: list[bytes] = []
        self.held: list[tuple[int, int]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.calls += 1
        self.held.append((self._admission.requests, self._admission.bytes))
        body, more = b"", scope["type"] == "http"
        while more:
            message = await receive()
            if message["type"] != "http.request":
                break
            body, more = body + message.get("body", b""), message.get("more_body", False)
        self.bodies.append(body)
        self.held.append((self._admission.requests, self._admission.bytes))
        if self._error is not None:
            raise self._error


def gate(
    max_requests: int = 10, max_bytes: int = 1000, error: Exception | None = None
) -> tuple[AdmissionGate, App, Admission]:
    admission = Admission(AdmissionLimits(max_requests, max_bytes), ManualClock())
    app = App(admission, error)
    return AdmissionGate(app, admission, max_body_bytes=500), app, admission


@pytest.mark.parametrize(
    ("path", "method", "kind", "placed"),
    [
        ("/v1/models/m/predict", "POST", "http", True),
        ("/v2/models/m/infer", "POST", "http", True),
        ("/v2/models/m/versions/1/infer", "POST", "http", True),
        ("/v2/models/m/infer/", "POST", "http", True),
        ("/v1/models/m/predict", "GET", "http", False),
        ("/v1/models", "POST", "http", False),
        ("/v2/repository/models/m/load", "POST", "http", False),
        ("/healthz/ready", "GET", "http", False),
        ("/v1/models/m/predict", "POST", "lifespan", False),
    ],
)
async def test_an_inference_holds_a_place_and_nothing_else_does(
    path: str, method: str, kind: str, placed: bool
) -> None:
    entered, app, admission = gate()
    await entered(scope(path, method, kind, content_length=b"7"), receiving([part(b"abc")]), Sent())
    assert app.held[0] == ((1, 7) if placed else (0, 0))
    assert (admission.requests, admission.bytes) == (0, 0)


@pytest.mark.parametrize(("length", "counted"), [(b"0", 0), (b"7", 7), (b"500", 500), (b"501", 500), (b"9" * 15, 500)])
async def test_a_body_counts_as_long_as_it_says_and_no_longer_than_is_allowed(length: bytes, counted: int) -> None:
    entered, app, _ = gate()
    await entered(scope(content_length=length), receiving([part(b"x")]), Sent())
    assert app.held == [(1, counted)] * 2


async def test_a_body_that_does_not_say_how_long_it_is_counts_as_it_comes() -> None:
    entered, app, admission = gate()
    await entered(scope(), receiving([part(b"x" * 100, True), part(b"y" * 50)]), Sent())
    assert app.held == [(1, 0), (1, 150)]
    assert (admission.requests, admission.bytes) == (0, 0)


async def test_a_place_is_left_whatever_happens() -> None:
    entered, _, admission = gate(error=InferenceFailed("broken"))
    with pytest.raises(InferenceFailed):
        await entered(scope(content_length=b"7"), receiving([part(b"x")]), Sent())
    assert (admission.requests, admission.bytes) == (0, 0)


async def test_without_a_place_a_prediction_is_refused_unread() -> None:
    entered, app, admission = gate(max_requests=1)
    admission.enter("other", 0, Priority.HIGH)
    with pytest.raises(Overloaded):
        await entered(scope(), receiving([]), Sent())
    assert app.calls == 0


async def test_without_a_place_a_call_of_the_protocol_is_refused_in_its_own_form() -> None:
    entered, app, admission = gate(max_requests=1)
    admission.enter("other", 0, Priority.HIGH)
    sent = Sent()
    await entered(scope("/v2/models/m/infer"), receiving([]), sent)
    assert sent.status == 503
    assert sent.headers[b"retry-after"] == b"1"
    assert "error" in orjson.loads(sent[1]["body"])
    assert app.calls == 0


async def test_a_body_that_outgrows_the_room_while_it_comes_is_refused() -> None:
    for path in ("/v1/models/m/predict", "/v2/models/m/infer"):
        entered, app, admission = gate(max_bytes=100)
        admission.enter("other", 50, Priority.HIGH)
        sent, parts = Sent(), [part(b"x" * 30, True)] * 10
        try:
            await entered(scope(path), receiving(parts), sent)
        except Overloaded:
            assert path.startswith("/v1")
        else:
            assert sent.status == 503
        assert not app.bodies
        assert (admission.requests, admission.bytes) == (1, 50)


@pytest.mark.parametrize(
    ("priority", "admitted"),
    [(b"high", 10), (b"normal", 9), (None, 9), (b"low", 5), (b"LOW", 5), (b"urgent", 9), (b"\xff", 9)],
)
async def test_the_priority_of_a_request_decides_its_share(priority: bytes | None, admitted: int) -> None:
    entered, _, admission = gate(max_requests=10)
    for _ in range(admitted - 1):
        admission.enter("other", 0, Priority.HIGH)
    given = scope(x_priority=priority, content_length=b"1")
    await entered(given, receiving([part(b"x")]), Sent())
    admission.enter("other", 0, Priority.HIGH)
    with pytest.raises(Overloaded):
        await entered(given, receiving([part(b"x")]), Sent())


class Body:
    """Behind SmallBodies: what it was given."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.called = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.called = True
        if scope["type"] == "http":
            while not self.messages or self.messages[-1].get("more_body"):
                self.messages.append(await receive())

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages)


@pytest.mark.parametrize("parts", [[b"x" * SMALL_BODY_BYTES], [b"x" * (SMALL_BODY_BYTES // 4)] * 4, [b""]])
async def test_a_small_body_passes_whole(parts: list[bytes]) -> None:
    app = Body()
    messages = [part(each, index < len(parts) - 1) for index, each in enumerate(parts)]
    await SmallBodies(app)(scope("/v1/models", transfer_encoding=b"chunked"), receiving(messages), Sent())
    assert app.body == b"".join(parts)


@pytest.mark.parametrize(
    ("headers", "parts"),
    [
        ({"content_length": str(SMALL_BODY_BYTES + 1).encode()}, [b"x"]),
        ({"transfer_encoding": b"chunked"}, [b"x" * (SMALL_BODY_BYTES + 1)]),
        ({"transfer_encoding": b"chunked"}, [b"x" * SMALL_BODY_BYTES, b"x"]),
        ({"content_length": b"1"}, [b"x" * SMALL_BODY_BYTES, b"x"]),
    ],
)
async def test_a_larger_one_is_refused_whatever_it_says(headers: dict[str, Any], parts: list[bytes]) -> None:
    app = Body()
    messages = [part(each, True) for each in parts]
    with pytest.raises(TooLarge, match=f"larger than {SMALL_BODY_BYTES} bytes"):
        await SmallBodies(app)(scope("/v1/models", **headers), receiving(messages), Sent())


async def test_what_is_no_request_passes() -> None:
    app = Body()
    await SmallBodies(app)({"type": "lifespan"}, receiving([]), Sent())
    assert app.called
