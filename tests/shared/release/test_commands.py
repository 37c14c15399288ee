"""What a person may say, in every phase."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.shared.release.actions import Seen
from services.shared.release.advance import advance
from services.shared.release.commands import Command, CommandKind
from services.shared.release.plan import Plan
from services.shared.release.state import Phase, ReleaseState
from tests.support.release_plans import START
from tests.support.release_states import (
    AB,
    AT_5,
    CALM,
    CANARY,
    COLD,
    COMPARING,
    DONE,
    ENDED,
    FAIL,
    FAILED,
    GONE_BACK,
    HOLDING,
    MIRRORED,
    PASS,
    PAUSES,
    PENDING,
    ROLLING,
    SHADOW,
    SHADOWING,
    STOPPED,
    WAITING,
)

PROMOTE, PAUSE, RESUME, ROLLBACK, ABORT = (Command(kind, "ann") for kind in CommandKind)
FAST = Command(CommandKind.PROMOTE, "ann", "fast")
# (plan, state, what is seen, command, then: phase, step, weights, a word of the refusal, None where it changes)
COMMANDED = [
    (CANARY, PENDING, COLD, PROMOTE, Phase.PROMOTING, 0, (0.0,), None),
    (CANARY, PENDING, COLD, PAUSE, Phase.PENDING, 0, (0.0,), "nobody is let in yet"),
    (CANARY, PENDING, COLD, RESUME, Phase.PENDING, 0, (0.0,), ""),
    (CANARY, PENDING, COLD, ROLLBACK, Phase.ROLLING_BACK, 0, (0.0,), None),
    (CANARY, PENDING, COLD, ABORT, Phase.ABORTED, 0, (0.0,), None),
    (CANARY, AT_5, CALM, PROMOTE, Phase.PROMOTING, 1, (5.0,), None),
    (CANARY, AT_5, FAIL, PROMOTE, Phase.ROLLING_BACK, 1, (0.0,), "is over"),
    (PAUSES, AT_5, FAIL, PROMOTE, Phase.PAUSED, 1, (5.0,), "a guardrail has failed"),
    (CANARY, AT_5, PASS, PAUSE, Phase.PAUSED, 1, (5.0,), None),
    (CANARY, AT_5, PASS, RESUME, Phase.PROGRESSING, 1, (5.0,), ""),
    (CANARY, AT_5, PASS, ROLLBACK, Phase.ROLLING_BACK, 1, (0.0,), None),
    (CANARY, AT_5, PASS, ABORT, Phase.ABORTED, 1, (0.0,), None),
    (CANARY, SHADOWING, PASS, PAUSE, Phase.PAUSED, 0, (0.0,), None),
    (CANARY, STOPPED, CALM, PAUSE, Phase.PAUSED, 1, (5.0,), ""),
    (CANARY, STOPPED, CALM, RESUME, Phase.PROGRESSING, 1, (5.0,), None),
    (CANARY, STOPPED, COLD, RESUME, Phase.PAUSED, 1, (5.0,), "not loaded and warm"),
    (CANARY, STOPPED, COLD, PROMOTE, Phase.PROMOTING, 1, (5.0,), None),
    (CANARY, WAITING, CALM, RESUME, Phase.PROGRESSING, 4, (50.0,), None),
    (CANARY, FAILED, CALM, RESUME, Phase.PAUSED, 1, (5.0,), "a guardrail has failed"),
    (CANARY, FAILED, CALM, PROMOTE, Phase.PAUSED, 1, (5.0,), "a guardrail has failed"),
    (CANARY, FAILED, CALM, ROLLBACK, Phase.ROLLING_BACK, 1, (0.0,), None),
    (
        SHADOW,
        replace(MIRRORED, phase=Phase.PAUSED, step=1),
        CALM,
        RESUME,
        Phase.PAUSED,
        1,
        (0.0,),
        "every step is done",
    ),
    (SHADOW, replace(MIRRORED, phase=Phase.PAUSED, step=1), CALM, PROMOTE, Phase.PROMOTING, 1, (0.0,), None),
    (AB, COMPARING, CALM, PROMOTE, Phase.PROGRESSING, 0, (30.0, 70.0), "name one of fast, big"),
    (AB, COMPARING, CALM, FAST, Phase.PROMOTING, 0, (30.0, 70.0), None),
    (CANARY, AT_5, CALM, FAST, Phase.PROGRESSING, 1, (5.0,), "no arm 'fast' to promote"),
    (CANARY, HOLDING, CALM, PROMOTE, Phase.PROMOTING, 5, (100.0,), ""),
    (CANARY, HOLDING, CALM, FAST, Phase.PROMOTING, 5, (100.0,), "candidate is promoted already"),
    (CANARY, HOLDING, CALM, PAUSE, Phase.PROMOTING, 5, (100.0,), "roll back, or wait"),
    (CANARY, HOLDING, CALM, ROLLBACK, Phase.ROLLING_BACK, 5, (0.0,), None),
    (CANARY, HOLDING, CALM, ABORT, Phase.ABORTED, 5, (0.0,), None),
    (CANARY, DONE, CALM, PROMOTE, Phase.PROMOTED, 5, (100.0,), ""),
    (CANARY, DONE, CALM, ROLLBACK, Phase.PROMOTED, 5, (100.0,), "grayscale models promote"),
    (CANARY, DONE, CALM, ABORT, Phase.PROMOTED, 5, (100.0,), "is over"),
    (CANARY, ROLLING, CALM, ROLLBACK, Phase.ROLLING_BACK, 5, (0.0,), ""),
    (CANARY, ROLLING, CALM, RESUME, Phase.ROLLING_BACK, 5, (0.0,), "is over"),
    (CANARY, ROLLING, CALM, ABORT, Phase.ABORTED, 5, (0.0,), None),
    (CANARY, GONE_BACK, CALM, ROLLBACK, Phase.ROLLED_BACK, 1, (0.0,), ""),
    (CANARY, ENDED, CALM, ABORT, Phase.ABORTED, 1, (0.0,), ""),
    (CANARY, ENDED, CALM, PROMOTE, Phase.ABORTED, 1, (0.0,), "is over"),
]


@pytest.mark.parametrize(
    ("plan", "state", "seen", "command", "phase", "step", "weights", "refused"), COMMANDED, ids=range(len(COMMANDED))
)
def test_what_a_person_says(
    plan: Plan,
    state: ReleaseState,
    seen: Seen,
    command: Command,
    phase: Phase,
    step: int,
    weights: tuple[float, ...],
    refused: str | None,
) -> None:
    done = advance(plan, state, seen, command, START + 50)
    assert (done.state.phase, done.state.step, done.state.weights) == (phase, step, weights)
    assert (refused or "") in done.refused
    assert bool(done.refused) == bool(refused)
    if refused is None:
        assert done.event is not None
        assert done.event.by == "ann"
    elif seen is not FAIL:
        assert done.state is state
        assert done.event is None
