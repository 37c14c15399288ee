"""One table of priorities: the public word, the Open Inference Protocol's level (1 is highest), Celery's level."""

from __future__ import annotations

import enum

from services.shared.errors import InvalidInput


class Priority(enum.IntEnum):
    """The value is the protocol's level; smaller runs first."""

    HIGH = 1
    NORMAL = 2
    LOW = 3


CELERY_PRIORITY = {Priority.HIGH: 0, Priority.NORMAL: 3, Priority.LOW: 6}


def parse_priority(text: str) -> Priority:
    """`high`, `normal` or `low`; raises InvalidInput otherwise."""
    try:
        return Priority[text.upper()]
    except KeyError:
        raise InvalidInput(f"X-Priority is {text[:32]!r}: use high, normal or low", field="X-Priority") from None


def priority_from_level(level: int) -> Priority:
    """A protocol level as one of ours: 0 is the default level, anything below LOW is LOW."""
    return Priority.NORMAL if level == 0 else Priority(min(level, Priority.LOW))
