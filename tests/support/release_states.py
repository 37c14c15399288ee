"""Releases in every phase, and what may be seen of them."""

from __future__ import annotations

import math
from dataclasses import replace

from services.shared.release.actions import Seen
from services.shared.release.plan import Plan
from services.shared.release.state import Phase, ReleaseState
from services.shared.release.verdict import Outcome, Verdict
from tests.support.release_plans import CANDIDATE, OTHER, STABLE, ab, blue_green, canary, pending, shadow

REFS = frozenset({STABLE, CANDIDATE, OTHER})
CALM = Seen(desired=REFS, warm=REFS, default=STABLE, followed=True)
COLD = replace(CALM, warm=frozenset({STABLE}))
PASS = replace(CALM, verdict=Verdict(Outcome.PASS, "good"))
FAIL = replace(CALM, verdict=Verdict(Outcome.FAIL, "too many errors"))
MISMATCH = replace(CALM, verdict=Verdict(Outcome.INCONCLUSIVE, "5 % planned, 9 % seen", mismatch=True))
IDLE = replace(CALM, idle_s=math.inf)
BROKEN = replace(COLD, load_failed="digits_int8/1: no such operator")
CANARY, SHADOW, BLUE_GREEN, AB = canary(), shadow(), blue_green(), ab()


def state_in(plan: Plan, phase: Phase, step: int, weights: tuple[float, ...], **fields: object) -> ReleaseState:
    return replace(pending(plan), phase=phase, step=step, weights=weights, **fields)  # type: ignore[arg-type]


PENDING = pending(CANARY)
SHADOWING = state_in(CANARY, Phase.SHADOWING, 0, (0.0,), shadow=50.0)
AT_5 = state_in(CANARY, Phase.PROGRESSING, 1, (5.0,))
AT_25 = state_in(CANARY, Phase.PROGRESSING, 2, (25.0,))
WAITING = state_in(CANARY, Phase.PAUSED, 3, (25.0,))
AT_50 = state_in(CANARY, Phase.PROGRESSING, 4, (50.0,))
CHOSEN = state_in(CANARY, Phase.PROMOTING, 4, (50.0,), winner="candidate")
HOLDING = state_in(CANARY, Phase.PROMOTING, 5, (100.0,), winner="candidate")
MIRRORED = state_in(SHADOW, Phase.SHADOWING, 0, (0.0,), shadow=50.0)
COMPARING = state_in(AB, Phase.PROGRESSING, 0, (30.0, 70.0))
ROLLING = state_in(CANARY, Phase.ROLLING_BACK, 5, (0.0,), winner="candidate")
PAUSES = canary(on_fail="pause")
NO_TRAFFIC = canary(on_no_traffic={"after": "5s", "do": "rollback"})
QUIET = canary(on_no_traffic={"after": "5s", "do": "pause"})
FAILED = replace(AT_5, phase=Phase.PAUSED, failed=True)
STOPPED = replace(AT_5, phase=Phase.PAUSED)
ENDED = state_in(CANARY, Phase.ABORTED, 1, (0.0,))
GONE_BACK = state_in(CANARY, Phase.ROLLED_BACK, 1, (0.0,))
DONE = state_in(CANARY, Phase.PROMOTED, 5, (100.0,), winner="candidate")
