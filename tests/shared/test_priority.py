"""The one table of priorities, row by row."""

from __future__ import annotations

import pytest

from services.shared.errors import InvalidInput
from services.shared.priority import CELERY_PRIORITY, Priority, parse_priority, priority_from_level


@pytest.mark.parametrize(("word", "level", "celery"), [("high", 1, 0), ("normal", 2, 3), ("low", 3, 6)])
def test_each_word_has_its_level_of_the_protocol_and_of_celery(word: str, level: int, celery: int) -> None:
    priority = parse_priority(word)
    assert priority == level
    assert parse_priority(word.upper()) is priority
    assert CELERY_PRIORITY[priority] == celery


@pytest.mark.parametrize("text", ["", "urgent", "1", " high", "high,low", "x" * 10_000])
def test_another_word_is_refused_and_the_accepted_ones_are_named(text: str) -> None:
    with pytest.raises(InvalidInput, match="use high, normal or low") as refused:
        parse_priority(text)
    assert refused.value.field == "X-Priority"
    assert len(refused.value.detail) < 100


@pytest.mark.parametrize(
    ("level", "priority"),
    [
        (0, Priority.NORMAL),  # the protocol's "default level"
        (1, Priority.HIGH),
        (2, Priority.NORMAL),
        (3, Priority.LOW),
        (4, Priority.LOW),
        (2**64 - 1, Priority.LOW),
    ],
)
def test_every_level_of_the_protocol_is_one_of_ours(level: int, priority: Priority) -> None:
    assert priority_from_level(level) is priority


def test_what_matters_more_sorts_first() -> None:
    assert sorted(Priority) == [Priority.HIGH, Priority.NORMAL, Priority.LOW]
