"""What a person may tell a release, and what comes of it in every phase: a table with a row for each pair. Pure."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass

from services.shared.release.plan import CANDIDATE, Plan, Strategy
from services.shared.release.state import Phase, ReleaseState
from services.shared.release.transitions import abort, enter, pause, promote, roll_back


class CommandKind(enum.StrEnum):
    """PROMOTE skips what is left of the plan; RESUME goes on with it, behind a step that only waits; ABORT ends."""

    PROMOTE = "promote"
    PAUSE = "pause"
    RESUME = "resume"
    ROLLBACK = "rollback"
    ABORT = "abort"


@dataclass(frozen=True, slots=True)
class Command:
    """`by` is who says so, for the log; `arm` is the one to be promoted, needed where the plan has several."""

    kind: CommandKind
    by: str
    arm: str = ""


@dataclass(frozen=True, slots=True)
class Obeyed:
    """`state` is the one that was given where nothing changes; `refused` says why it must not, empty otherwise."""

    state: ReleaseState
    refused: str = ""


def obey(plan: Plan, state: ReleaseState, command: Command, *, warm: bool, now: float) -> Obeyed:
    """Total over every phase and command. `warm` says whether every version may be asked: RESUME into a step waits for
    nothing, so it is refused without."""
    return _ROWS[state.phase, command.kind](_Case(plan, state, command, warm, now))


@dataclass(frozen=True, slots=True)
class _Case:
    plan: Plan
    state: ReleaseState
    command: Command
    warm: bool
    now: float

    def said(self, what: str) -> str:
        """Without a name: everybody may read a release's state. Who it was is in the log."""
        return f"an administrator {what}"


_Row = Callable[[_Case], Obeyed]


def _nothing_new(case: _Case) -> Obeyed:
    return Obeyed(case.state)


def _no(why: str) -> _Row:
    return lambda case: Obeyed(case.state, why)


def _promotes(case: _Case) -> Obeyed:
    if case.state.failed:
        return Obeyed(case.state, _FAILED)
    names = [arm.name for arm in case.plan.arms]
    winner = case.command.arm or (CANDIDATE if case.plan.strategy is not Strategy.AB else "")
    if winner not in names:
        return Obeyed(case.state, f"there is no arm {winner[:64]!r} to promote: name one of {', '.join(names)}")
    return Obeyed(promote(case.state, winner, case.now, case.said(f"promoted {winner}")))


def _promotes_again(case: _Case) -> Obeyed:
    if case.command.arm in ("", case.state.winner):
        return Obeyed(case.state)
    return Obeyed(case.state, f"{case.state.winner} is promoted already: roll back first")


def _pauses(case: _Case) -> Obeyed:
    return Obeyed(pause(case.state, case.said("paused it")))


def _resumes(case: _Case) -> Obeyed:
    """Behind a step that only waits for a person; into any other from its beginning."""
    if case.state.failed:
        return Obeyed(case.state, _FAILED)
    step = case.state.step
    if step >= len(case.plan.steps):
        return Obeyed(case.state, "every step is done: promote an arm, or roll back")
    if not case.warm:
        return Obeyed(case.state, "a version is not loaded and warm in every serving process: try again when it is")
    return Obeyed(enter(case.plan, case.state, step + 1 if case.plan.steps[step].pause else step, case.now))


def _rolls_back(case: _Case) -> Obeyed:
    return Obeyed(roll_back(case.state, case.now, case.said("rolled it back")))


def _ends(case: _Case) -> Obeyed:
    return Obeyed(abort(case.state, case.now, case.said("ended it")))


_FAILED = "a guardrail has failed: roll back, and release again with other limits or another candidate"
_OVER = "the release is over: begin another one"
_NOT_BEGUN = "nobody is let in yet: wait, roll back or end it"
_HOLDING = "the candidate answers everything: roll back, or wait until the hold is over"
_P, _C = Phase, CommandKind
_over = _no(_OVER)

_ROWS: dict[tuple[Phase, CommandKind], _Row] = {
    (_P.PENDING, _C.PROMOTE): _promotes,
    (_P.PENDING, _C.PAUSE): _no(_NOT_BEGUN),
    (_P.PENDING, _C.RESUME): _nothing_new,
    (_P.PENDING, _C.ROLLBACK): _rolls_back,
    (_P.PENDING, _C.ABORT): _ends,
    (_P.SHADOWING, _C.PROMOTE): _promotes,
    (_P.SHADOWING, _C.PAUSE): _pauses,
    (_P.SHADOWING, _C.RESUME): _nothing_new,
    (_P.SHADOWING, _C.ROLLBACK): _rolls_back,
    (_P.SHADOWING, _C.ABORT): _ends,
    (_P.PROGRESSING, _C.PROMOTE): _promotes,
    (_P.PROGRESSING, _C.PAUSE): _pauses,
    (_P.PROGRESSING, _C.RESUME): _nothing_new,
    (_P.PROGRESSING, _C.ROLLBACK): _rolls_back,
    (_P.PROGRESSING, _C.ABORT): _ends,
    (_P.PAUSED, _C.PROMOTE): _promotes,
    (_P.PAUSED, _C.PAUSE): _nothing_new,
    (_P.PAUSED, _C.RESUME): _resumes,
    (_P.PAUSED, _C.ROLLBACK): _rolls_back,
    (_P.PAUSED, _C.ABORT): _ends,
    (_P.PROMOTING, _C.PROMOTE): _promotes_again,
    (_P.PROMOTING, _C.PAUSE): _no(_HOLDING),
    (_P.PROMOTING, _C.RESUME): _nothing_new,
    (_P.PROMOTING, _C.ROLLBACK): _rolls_back,
    (_P.PROMOTING, _C.ABORT): _ends,
    (_P.PROMOTED, _C.PROMOTE): _promotes_again,
    (_P.PROMOTED, _C.PAUSE): _over,
    (_P.PROMOTED, _C.RESUME): _over,
    (_P.PROMOTED, _C.ROLLBACK): _no("it is promoted: `grayscale models promote` makes another version the default"),
    (_P.PROMOTED, _C.ABORT): _over,
    (_P.ROLLING_BACK, _C.PROMOTE): _over,
    (_P.ROLLING_BACK, _C.PAUSE): _over,
    (_P.ROLLING_BACK, _C.RESUME): _over,
    (_P.ROLLING_BACK, _C.ROLLBACK): _nothing_new,
    (_P.ROLLING_BACK, _C.ABORT): _ends,
    (_P.ROLLED_BACK, _C.PROMOTE): _over,
    (_P.ROLLED_BACK, _C.PAUSE): _over,
    (_P.ROLLED_BACK, _C.RESUME): _over,
    (_P.ROLLED_BACK, _C.ROLLBACK): _nothing_new,
    (_P.ROLLED_BACK, _C.ABORT): _over,
    (_P.ABORTED, _C.PROMOTE): _over,
    (_P.ABORTED, _C.PAUSE): _over,
    (_P.ABORTED, _C.RESUME): _over,
    (_P.ABORTED, _C.ROLLBACK): _over,
    (_P.ABORTED, _C.ABORT): _nothing_new,
}
