"""Who gets the next connection."""

from __future__ import annotations

from typing import Any

import pytest

from services.api.child import Child, Phase, least_busy

STARTING, SERVING, READY, FINISHING = Phase.STARTING, Phase.SERVING, Phase.READY, Phase.FINISHING
NOBODY: Any = None  # the process and the socket play no part in the decision


@pytest.mark.parametrize(
    ("children", "chosen"),
    [
        ([], None),
        ([(STARTING, 0)], None),
        ([(FINISHING, 0)], None),
        ([(STARTING, 0), (FINISHING, 0)], None),
        ([(SERVING, 5)], 0),
        ([(READY, 5)], 0),
        ([(READY, 2), (READY, 1), (READY, 3)], 1),
        ([(READY, 1), (READY, 1), (READY, 1)], 0),  # the first among equals
        ([(READY, 2), (READY, 1), (READY, 1)], 1),
        ([(SERVING, 0), (READY, 90)], 1),  # whose models still load gets nothing while another is ready
        ([(SERVING, 3), (SERVING, 1), (STARTING, 0)], 1),
        ([(FINISHING, 0), (READY, 7), (STARTING, 0)], 1),
        ([(FINISHING, 0), (SERVING, 7)], 1),
    ],
)
def test_the_least_busy_of_those_who_can_answer(children: list[tuple[Phase, int]], chosen: int | None) -> None:
    made = [Child(NOBODY, 0.0, phase, count) for phase, count in children]
    found = least_busy(made)
    assert found is (None if chosen is None else made[chosen])


def test_connections_are_spread_one_by_one() -> None:
    children = [Child(NOBODY, 0.0, READY) for _ in range(3)]
    for _ in range(20):
        found = least_busy(children)
        assert found is not None
        found.open += 1
    assert sorted(child.open for child in children) == [6, 7, 7]
