from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from services.shared.backends.turns import Turns


def test_many_share_and_one_is_alone() -> None:
    turns, lock = Turns(), threading.Lock()
    inside = {"shared": 0, "exclusive": 0}
    wrong: list[dict[str, int]] = []

    def enter(kind: str) -> None:
        with turns.shared() if kind == "shared" else turns.exclusive():
            with lock:
                inside[kind] += 1
                if inside["exclusive"] > 1 or (inside["exclusive"] and inside["shared"]):
                    wrong.append(dict(inside))
            with lock:
                inside[kind] -= 1

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(enter, ["shared", "shared", "exclusive", "shared"] * 500))
    assert wrong == []


def test_those_who_share_are_inside_together() -> None:
    turns, both = Turns(), threading.Barrier(2)

    def enter(_: int) -> int:
        with turns.shared():
            return both.wait(20)

    with ThreadPoolExecutor(2) as threads:
        assert sorted(threads.map(enter, range(2))) == [0, 1]


def test_a_stream_of_sharers_does_not_keep_the_one_out() -> None:
    turns, done = Turns(), threading.Event()

    def keep_sharing(_: int) -> None:
        while not done.is_set():
            with turns.shared():
                pass

    def be_alone() -> None:
        with turns.exclusive():
            done.set()

    with ThreadPoolExecutor(5) as threads:
        sharers = [threads.submit(keep_sharing, i) for i in range(4)]
        try:
            threads.submit(be_alone).result(20)
        finally:
            done.set()
        for sharer in sharers:
            sharer.result(20)


def test_place_is_given_up_when_the_work_fails() -> None:
    turns = Turns()
    for enter in (turns.exclusive, turns.shared, turns.exclusive):
        try:
            with enter():
                raise ValueError
        except ValueError:
            pass
    with turns.exclusive():
        pass
