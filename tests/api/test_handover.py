"""Words and connections between the parent and its processes, over a real socket pair."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.api import handover

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = handover.channel()
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def connection() -> Iterator[Pair]:
    """A client's end of a TCP connection, and the accepted one."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        accepted, _ = listener.accept()
    client.settimeout(10)
    with client, accepted:
        yield client, accepted


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_without_a_message_reading_would_wait(pair: Pair) -> None:
    for end in pair:
        with pytest.raises(BlockingIOError):
            handover.receive(end)


@pytest.mark.parametrize("word", [handover.FINISH, handover.SERVING, handover.READY, handover.CLOSED])
def test_words_stay_apart_and_in_order(pair: Pair, word: bytes) -> None:
    ours, theirs = pair
    for each in (word, handover.CLOSED, word):
        theirs.send(each)
    assert [handover.receive(ours) for _ in range(3)] == [(word, None), (handover.CLOSED, None), (word, None)]


def test_the_words_are_all_different() -> None:
    words = {
        handover.START, handover.CONNECTION, handover.FINISH, handover.SERVING, handover.READY, handover.CLOSED
    }  # fmt: skip
    assert len(words) == 6
    assert b"" not in words  # which stands for the end


@pytest.mark.parametrize("directory", [Path("/run/m"), Path("/tmp/sums é \udcff"), Path("/" + "x/" * 2047)])
def test_the_word_to_begin_is_waited_for_and_names_the_directory_of_the_sums(pair: Pair, directory: Path) -> None:
    ours, theirs = pair
    teller = threading.Thread(target=handover.send_start, args=(ours, directory))
    teller.start()
    assert handover.receive_start(theirs) == directory
    teller.join()
    assert not theirs.getblocking()


def test_a_parent_that_goes_before_the_word_to_begin_is_noticed(pair: Pair) -> None:
    ours, theirs = pair
    ours.close()
    assert handover.receive_start(theirs) is None


def test_connections_that_come_with_the_word_to_begin_are_not_lost(pair: Pair, connection: Pair) -> None:
    ours, theirs = pair
    handover.send_start(ours, Path("/run/m"))
    handover.send_connection(ours, connection[1])
    assert handover.receive_start(theirs) == Path("/run/m")
    message, taken = handover.receive(theirs)
    assert message == handover.CONNECTION
    assert taken is not None
    taken.close()


def test_a_connection_is_handed_over_and_lives_on(pair: Pair, connection: Pair) -> None:
    ours, theirs = pair
    client, accepted = connection
    handover.send_connection(ours, accepted)
    accepted.close()
    message, taken = handover.receive(theirs)
    assert message == handover.CONNECTION
    assert taken is not None
    with taken:
        assert not taken.getblocking()
        taken.send(b"hello")
        assert client.recv(10) == b"hello"
        assert taken.getpeername() == client.getsockname()
    assert client.recv(10) == b""


def test_connections_and_words_keep_their_order(pair: Pair, connection: Pair) -> None:
    ours, theirs = pair
    for _ in range(3):
        handover.send_connection(ours, connection[1])
    ours.send(handover.FINISH)
    received = [handover.receive(theirs) for _ in range(4)]
    assert [message for message, _ in received] == [handover.CONNECTION] * 3 + [handover.FINISH]
    for _, taken in received[:3]:
        assert taken is not None
        taken.close()


def test_the_end_of_the_other_side_is_heard_after_its_last_words(pair: Pair) -> None:
    ours, theirs = pair
    theirs.send(handover.READY)
    theirs.close()
    assert handover.receive(ours) == (handover.READY, None)
    for _ in range(2):
        assert handover.receive(ours) == (b"", None)


def test_an_end_that_left_words_unread_is_an_end_too(pair: Pair) -> None:
    ours, theirs = pair
    ours.send(handover.FINISH)  # never read: the kernel then tells of a reset
    theirs.close()
    assert handover.receive(ours) == (b"", None)


def test_a_connection_for_a_process_that_is_gone_stays_with_the_sender(pair: Pair, connection: Pair) -> None:
    ours, theirs = pair
    client, accepted = connection
    theirs.close()
    with pytest.raises(OSError, match="pipe"):
        handover.send_connection(ours, accepted)
    accepted.send(b"still here")
    assert client.recv(20) == b"still here"


def test_a_process_that_does_not_keep_up_is_noticed_and_nothing_is_lost(pair: Pair, connection: Pair) -> None:
    ours, theirs = pair
    before, sent = open_files(), 0
    with contextlib.suppress(BlockingIOError):
        while sent < 100_000:
            handover.send_connection(ours, connection[1])
            sent += 1
    assert 1 < sent < 100_000
    received = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            message, taken = handover.receive(theirs)
            assert message == handover.CONNECTION
            assert taken is not None
            taken.close()
            received += 1
    assert received == sent
    assert open_files() == before
    handover.send_connection(ours, connection[1])
    _, taken = handover.receive(theirs)
    assert taken is not None
    taken.close()


def test_a_process_with_too_many_open_files_gets_the_word_without_the_connection(pair: Pair, connection: Pair) -> None:
    ours, theirs = pair
    handover.send_connection(ours, connection[1])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        received = handover.receive(theirs)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert received == (handover.CONNECTION, None)
