"""Bodies within bounds, and work that ends with its client."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable

import pytest

from services.shared.asgi import (
    OFF_LOOP_BYTES,
    Answer,
    BodyLimits,
    ClientGone,
    Message,
    Receive,
    Scope,
    declared_length,
    header,
    off_loop,
    read_body,
    send_answer,
    text_header,
    while_connected,
)
from services.shared.errors import BodyTimeout, TooLarge

LIMITS = BodyLimits(max_bytes=10, timeout_s=30.0, idle_s=30.0)
GONE: Message = {"type": "http.disconnect"}


def scope(*headers: tuple[bytes, bytes]) -> Scope:
    return {"type": "http", "headers": list(headers)}


def part(body: bytes, more: bool = True) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


class Client:
    """Sends these messages, then nothing more; `asked` counts how often it was asked for one."""

    def __init__(self, messages: Iterable[Message] = (), *, pause_s: float = 0.0) -> None:
        self._messages, self._pause_s = iter(messages), pause_s
        self.asked = 0
        self.waited_on = asyncio.Event()

    async def __call__(self) -> Message:
        self.asked += 1
        await asyncio.sleep(self._pause_s)
        for message in self._messages:
            return message
        self.waited_on.set()
        await asyncio.Event().wait()
        raise AssertionError


@pytest.mark.parametrize(
    ("messages", "body"),
    [
        ([part(b"", more=False)], b""),
        ([part(b"abc", more=False)], b"abc"),
        ([part(b"abc"), part(b"de", more=False)], b"abcde"),
        ([part(b"abc"), part(b"", more=False)], b"abc"),
        ([part(b"x" * 5), part(b"y" * 5), part(b"", more=False)], b"xxxxxyyyyy"),
        ([{"type": "http.request"}], b""),  # both keys have defaults in ASGI
    ],
)
async def test_a_body_is_read_to_its_end(messages: list[Message], body: bytes) -> None:
    assert await read_body(scope(), Client(messages), LIMITS) == body


async def test_a_body_that_says_it_is_too_large_is_refused_unread() -> None:
    client = Client([part(b"x", more=False)])
    with pytest.raises(TooLarge, match="larger than 10 bytes"):
        await read_body(scope((b"content-length", b"11")), client, LIMITS)
    assert client.asked == 0


@pytest.mark.parametrize("headers", [(), ((b"content-length", b"3"),), ((b"content-length", b"junk"),)])
async def test_a_body_that_grows_too_large_is_refused_at_once(
    headers: tuple[tuple[bytes, bytes], ...],
) -> None:
    client = Client([part(b"x" * 6)] * 100)
    with pytest.raises(TooLarge):
        await read_body(scope(*headers), client, LIMITS)
    assert client.asked == 2


async def test_a_pause_in_the_body_times_out() -> None:
    client = Client([part(b"x")])
    with pytest.raises(BodyTimeout, match=r"within 30 s, with no pause of 0\.05 s"):
        await read_body(scope(), client, BodyLimits(10, timeout_s=30.0, idle_s=0.05))
    assert client.asked == 2


async def test_a_trickle_without_pause_times_out_in_all() -> None:
    client = Client([part(b"")] * 100_000, pause_s=0.01)
    with pytest.raises(BodyTimeout):
        await read_body(scope(), client, BodyLimits(10, timeout_s=0.2, idle_s=30.0))
    assert client.asked > 1


async def test_a_slow_body_within_both_bounds_is_read() -> None:
    messages = [part(b"x"), part(b"y"), part(b"z", more=False)]
    assert await read_body(scope(), Client(messages, pause_s=0.02), BodyLimits(10, 30.0, 10.0)) == b"xyz"


@pytest.mark.parametrize("messages", [[GONE], [part(b"x"), GONE]])
async def test_a_client_that_leaves_within_its_body_is_gone(messages: list[Message]) -> None:
    with pytest.raises(ClientGone):
        await read_body(scope(), Client(messages), LIMITS)


@pytest.mark.parametrize(
    ("value", "length"),
    [
        (b"0", 0),
        (b"12", 12),
        (b"", None),
        (b"-1", None),
        (b"+1", None),
        (b"1.5", None),
        (b"1_0", None),
        ("٣".encode(), None),
        (b"9" * 20, 10**20 - 1),
        (b"9" * 5000, None),  # not even a number to Python: read as unknown, and bounded while it comes
    ],
)
def test_a_declared_length_is_a_plain_number(value: bytes, length: int | None) -> None:
    assert declared_length(scope((b"content-length", value))) == length


def test_headers_are_found_by_lower_case_name_and_the_first_counts() -> None:
    given = scope((b"x-a", b"1"), (b"x-b", b"caf\xe9"), (b"x-a", b"2"))
    assert header(given, b"x-a") == b"1"
    assert header(given, b"x-c") is None
    assert text_header(given, "x-b") == "café"
    assert text_header(given, "x-c") == ""
    assert declared_length(given) is None


async def test_the_result_of_work_is_given_while_the_client_stays() -> None:
    async def work() -> int:
        await asyncio.sleep(0)
        return 7

    assert await while_connected({}, Client(), work()) == 7


async def test_what_work_raises_is_raised() -> None:
    async def work() -> int:
        raise TooLarge("no")

    with pytest.raises(TooLarge, match="no"):
        await while_connected({}, Client(), work())


class Work:
    """Never ends; `cancelled` is set when it was cancelled and has cleaned up."""

    def __init__(self) -> None:
        self.begun, self.cancelled = asyncio.Event(), asyncio.Event()

    async def __call__(self) -> None:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            self.cancelled.set()


async def test_work_is_cancelled_and_has_ended_when_its_client_leaves() -> None:
    work = Work()

    async def leaves() -> Message:
        await work.begun.wait()
        return GONE

    with pytest.raises(ClientGone):
        await while_connected({}, leaves, work())
    assert work.cancelled.is_set()


async def test_messages_before_the_leaving_do_not_end_the_work() -> None:
    work = Work()
    client = Client([part(b""), part(b"", more=False)])
    task = asyncio.create_task(while_connected({}, client, work()))
    async with asyncio.timeout(10):
        await client.waited_on.wait()
    assert not work.cancelled.is_set()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.cancelled.is_set()


async def test_nothing_watches_the_client_after_the_answer() -> None:
    async def work() -> int:
        await asyncio.sleep(0.01)
        return 1

    before = asyncio.all_tasks()
    await while_connected({}, Client(), work())
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize(("size", "in_thread"), [(0, False), (OFF_LOOP_BYTES, False), (OFF_LOOP_BYTES + 1, True)])
async def test_only_large_work_leaves_the_loop(size: int, in_thread: bool) -> None:
    thread = await off_loop(size, threading.get_ident)
    assert (thread != threading.get_ident()) is in_thread


async def test_an_answer_is_sent_with_its_length() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await send_answer(send, Answer(201, b"hello", {"content-type": "text/plain", "x-name": "é"}))
    assert sent == [
        {
            "type": "http.response.start",
            "status": 201,
            "headers": [(b"content-length", b"5"), (b"content-type", b"text/plain"), (b"x-name", b"\xe9")],
        },
        {"type": "http.response.body", "body": b"hello"},
    ]


async def test_a_receive_that_fails_ends_the_work() -> None:
    work = Work()

    def broken() -> Receive:
        async def receive() -> Message:
            await work.begun.wait()
            raise OSError("the connection is broken")

        return receive

    with pytest.raises(ClientGone):
        await while_connected({}, broken(), work())
    assert work.cancelled.is_set()
