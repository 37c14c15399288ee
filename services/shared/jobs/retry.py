"""What to do about a failure: pure decisions, no clock and no randomness of their own."""

from __future__ import annotations

import enum
import random
from dataclasses import dataclass

from services.shared.errors import DeadlineExceeded, InferenceFailed, ServingError, Unavailable


class Remedy(enum.Enum):
    """What may help. `WAIT`: the cause passes by itself, and no item is to blame. `SUSPECT`: another attempt may work,
    and an item may be the cause. `NONE`: the answer would be the same again; it is the item's result."""

    WAIT = "wait"
    SUSPECT = "suspect"
    NONE = "none"


class Fate(enum.Enum):
    """What becomes of a chunk that came back without results."""

    RETRY = "retry"
    SPLIT = "split"
    BURY = "bury"


@dataclass(frozen=True, slots=True)
class Caps:
    """`strikes`: how often a chunk may come back with an item of it as the possible cause (a worker died, the model
    broke) before it is split, or, of one item, buried. `attempts`: how often it is begun whatever the causes were;
    with the backoff below the default is about eight minutes."""

    strikes: int = 3
    attempts: int = 20


@dataclass(frozen=True, slots=True)
class Backoff:
    """`first_s` doubles with every attempt up to `longest_s`; a random half of it is taken off."""

    first_s: float = 1.0
    longest_s: float = 30.0


def remedy_for(error: Exception) -> Remedy:
    """Unavailable (overloaded, not ready) and a call's timeout pass; what is no ServingError is a defect, perhaps one
    that an item sets off."""
    match error:
        case Unavailable() | DeadlineExceeded():
            return Remedy.WAIT
        case InferenceFailed():
            return Remedy.SUSPECT
        case ServingError():
            return Remedy.NONE
        case _:
            return Remedy.SUSPECT


def fate_of(size: int, attempt: int, strikes: int, caps: Caps) -> Fate:
    """Of a chunk of `size` items whose attempt number `attempt` failed; `strikes` counts this one where it was one.

    strikes left, attempts left        RETRY
    no strikes left, size > 1          SPLIT  one item is to blame and is not known: each gets attempts of its own
    no strikes left, size 1            BURY
    strikes left, no attempts left     BURY   all of it: nothing can be found out by splitting
    """
    if strikes >= caps.strikes:
        return Fate.SPLIT if size > 1 else Fate.BURY
    return Fate.BURY if attempt >= caps.attempts else Fate.RETRY


def backoff_s(
    attempt: int, source: random.Random, error: Exception | None = None, rule: Backoff | None = None
) -> float:
    """How long to wait after attempt 1, 2, …: at least what the error itself asks for.

    Half of the time is random, so that what failed together does not come back together.
    """
    rule = rule or Backoff()
    whole = min(rule.longest_s, rule.first_s * 2.0 ** min(attempt - 1, 60))
    asked = error.retry_after_s if isinstance(error, ServingError) and error.retry_after_s else 0.0
    return max(asked, whole * (0.5 + source.random() / 2))
