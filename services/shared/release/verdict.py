"""What one look at the evidence says about a release. Pure."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Outcome(enum.StrEnum):
    """`inconclusive` is neither: no data is never a pass."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Verdict:
    """All guardrails together, with a sentence that says why.

    PASS says that the step's requests are enough and no point estimate is beyond its limit; the step's time is
    `advance`'s to keep. `mismatch`: the arms did not get the shares that they were to have, so nothing can be said,
    and a person has to look; its outcome is INCONCLUSIVE.
    """

    outcome: Outcome = Outcome.INCONCLUSIVE
    reason: str = "nothing is known yet"
    mismatch: bool = False
