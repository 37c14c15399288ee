"""Random bytes that nobody else gets, in this process or in its children."""

from __future__ import annotations

import os

import pytest

from services.shared.random_bytes import random_bytes


@pytest.mark.parametrize("count", [1, 8, 16, 63, 64])
def test_as_many_bytes_as_were_asked_for(count: int) -> None:
    assert {len(random_bytes(count)) for _ in range(2000)} == {count}


def test_they_never_repeat() -> None:
    assert len({random_bytes(16) for _ in range(20_000)}) == 20_000


def test_the_system_is_asked_once_for_many(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, urandom = [], os.urandom

    def noted(count: int) -> bytes:
        asked.append(count)
        return urandom(count)

    monkeypatch.setattr(os, "urandom", noted)
    for _ in range(2560):
        random_bytes(16)
    assert len(asked) in (10, 11)


def test_a_fork_gets_others() -> None:
    random_bytes(16)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, b"".join(random_bytes(16) for _ in range(64)))
        os._exit(0)
    os.close(write)
    theirs = b""
    while part := os.read(read, 4096):
        theirs += part
    os.close(read)
    assert os.waitpid(child, 0)[1] == 0
    ours = {random_bytes(16) for _ in range(64)}
    assert len(theirs) == 64 * 16
    assert ours.isdisjoint(theirs[at : at + 16] for at in range(0, len(theirs), 16))
