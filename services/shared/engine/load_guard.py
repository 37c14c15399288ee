"""When a serving process may load a version itself, and when that is tried elsewhere first."""

from __future__ import annotations

import enum
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from services.shared.model_ref import ModelRef
from services.shared.settings import Variables

REFUSE_AFTER = 3
TRIAL_TIMEOUT_S = 240.0  # below what a caller of a load waits for all processes


def trial_timeout_s(variables: Variables) -> float:
    """How long trying a version may take; 0 where versions are not tried. Raises SettingsError."""
    if not variables.flag("GRAYSCALE_LOAD_TRIALS", True):
        return 0.0
    return variables.seconds("GRAYSCALE_LOAD_TRIAL_TIMEOUT_S", TRIAL_TIMEOUT_S)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Of one load. `at_start`: it is one of the first that this process was to have. `serves`: this process answers
    for some version already. `is_default`: a public name means this version."""

    at_start: bool
    serves: bool
    is_default: bool


class LoadGuard(Protocol):
    """Stands between what is desired and a process that serves."""

    def loading(self, ref: ModelRef, circumstances: Circumstances) -> AbstractAsyncContextManager[None]:
        """To be held while this process loads a version.

        Raises InferenceFailed, before it is held, with the reason why the version must not be loaded here.
        """
        ...


class Decision(enum.Enum):
    """What to do about a load. TRY: load it when a process that may die of it has done so."""

    LOAD = "load"
    TRY = "try"
    REFUSE = "refuse"


def decide(circumstances: Circumstances, *, is_known: bool, deaths: int) -> Decision:
    """`is_known`: this process has answered with exactly these files. `deaths`: how many times, one after the other,
    processes have died while they loaded the version; those that died together count once.

    | when               | deaths | what                                                                          |
    |--------------------|--------|-------------------------------------------------------------------------------|
    | this process serves and the files are new | any | TRY: what serves is worth the time                        |
    | a start            | none   | LOAD: nothing serves yet, and a start shall be quick                          |
    | a start            | 1      | TRY, unless it is a default: most processes that die are killed for other reasons |
    | a start            | 2      | TRY                                                                           |
    | a start            | 3      | REFUSE, unless it is a default: it was tried and kills all the same           |
    """
    if circumstances.at_start and not circumstances.is_default and deaths >= REFUSE_AFTER:
        return Decision.REFUSE
    if deaths >= (2 if circumstances.is_default else 1):
        return Decision.TRY
    is_new = circumstances.serves and not circumstances.at_start and not is_known
    return Decision.TRY if is_new else Decision.LOAD
