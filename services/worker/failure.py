"""What to tell the job store about a chunk that has no results. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass

from services.shared.errors import NotFound, ServingError
from services.shared.jobs.base import TOO_LATE
from services.shared.jobs.retry import Remedy, backoff_s, remedy_for

# The name was known when the job was accepted: for so many attempts (about seven seconds) a worker that does not know
# it is taken for one that has not heard of it yet.
_NEWS_ATTEMPTS = 4
DRAINED = "its worker was stopped"


@dataclass(frozen=True, slots=True)
class GivenBack:
    """The words of `JobStore.release`."""

    retry_in_s: float
    reason: str
    strike: bool


class DeadlinePassed(Exception):
    """The job's deadline passed while a chunk of it was in work."""


def given_back(error: Exception, attempt: int, source: random.Random) -> GivenBack:
    """By what was raised, for the first that applies.

    DeadlinePassed               at once, no strike: the store ends the job when it is asked for the next chunk
    Remedy.WAIT, Remedy.NONE     after the backoff, no strike: no item is to blame
    Remedy.SUSPECT               after the backoff, a strike: the store finds the item by splitting
    """
    if isinstance(error, DeadlinePassed):
        return GivenBack(0.0, TOO_LATE, strike=False)
    reason = error.detail if isinstance(error, ServingError) else f"{type(error).__name__}: {error}"
    strike = remedy_for(error) is Remedy.SUSPECT
    return GivenBack(backoff_s(attempt, source, error), reason[:500], strike)


def may_be_news(error: object, attempt: int) -> bool:
    """Whether a model that is not found may be one that this worker has not heard of yet."""
    return isinstance(error, NotFound) and attempt < _NEWS_ATTEMPTS
