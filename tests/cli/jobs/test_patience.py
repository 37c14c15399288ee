"""How long a command tries again."""

from __future__ import annotations

import pytest

from services.cli.jobs.patience import MAX_WAIT_S, Patience, next_wait_s
from services.cli.jobs.server import Final, Passing, Silence
from services.cli.terminal import Exit


@pytest.mark.parametrize(
    ("attempt", "waited_s", "retry_after_s", "pause_s"),
    [
        (0, 0.0, None, 0.5),
        (1, 0.0, None, 1.0),
        (4, 0.0, None, 8.0),
        (5, 0.0, None, 10.0),
        (5000, 0.0, None, 10.0),
        (0, 0.0, 30.0, 30.0),  # the server's word, where it is longer
        (5, 0.0, 1.0, 10.0),
        (0, 0.0, MAX_WAIT_S, MAX_WAIT_S),
        (0, 0.0, MAX_WAIT_S + 1, None),  # a daily quota
        (0, 0.0, 86_400.0, None),
        (9, MAX_WAIT_S - 10, None, 10.0),
        (9, MAX_WAIT_S - 9, None, None),
    ],
)
def test_pauses_grow_up_to_a_bound(
    attempt: int, waited_s: float, retry_after_s: float | None, pause_s: float | None
) -> None:
    assert next_wait_s(attempt, waited_s, retry_after_s) == pause_s


def passing(detail: str = "too much work is waiting", retry_after_s: float | None = None) -> Passing:
    return Passing(detail, Exit.REFUSED, retry_after_s=retry_after_s)


def wait_on(patience: Patience, max_wait_s: float = MAX_WAIT_S) -> None:
    while True:
        patience.wait(passing(), max_wait_s=max_wait_s)


def test_all_pauses_together_have_a_bound_and_the_last_failure_is_the_reason() -> None:
    pauses: list[float] = []
    patience = Patience(pauses.append)
    with pytest.raises(Final, match="too much work") as end:
        wait_on(patience)
    assert end.value.code is Exit.REFUSED
    assert MAX_WAIT_S - 10 < sum(pauses) <= MAX_WAIT_S


def test_an_answer_begins_the_waiting_anew() -> None:
    pauses: list[float] = []
    patience = Patience(pauses.append)
    for _ in range(200):
        patience.wait(passing(retry_after_s=200))
        patience.answered()
    assert pauses == [200.0] * 200


def test_a_shorter_bound_is_kept() -> None:
    pauses: list[float] = []
    patience = Patience(pauses.append)
    with pytest.raises(Final):
        wait_on(patience, max_wait_s=20)
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0]


def test_a_long_wait_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    patience = Patience(lambda seconds: None)
    for _ in range(5):
        patience.wait(passing("the queue is [full]", 20))
    said = capsys.readouterr()
    assert said.err == "waiting: the queue is [full]; trying again in 20 s\n"
    assert said.out == ""


def test_a_short_pause_and_a_silence_are_not_worth_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    patience = Patience(lambda seconds: None)
    patience.wait(passing())
    for _ in range(5):
        patience.wait(Silence("nothing came", Exit.UNREACHABLE))
    assert capsys.readouterr().err == ""
