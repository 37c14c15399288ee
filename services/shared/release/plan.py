"""What a release is to do: the plan as its author wrote it, checked. Pure.

`parse_plan.py` reads one from YAML or JSON, and holds the rules that a plan keeps.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from services.shared.model_ref import ModelRef
from services.shared.release.routing import Sticky

CANDIDATE = "candidate"  # the arm's name where there is but one
MIN_REQUESTS = 100
HOLD_S = 1800.0
ALPHA = 0.05
EXTENSION = 3  # a step without a verdict lasts up to so many times its time, then waits for a person


class Strategy(enum.StrEnum):
    """`canary`: a few percent at a time. `ab`: arms of fixed weights, a person promotes one. `shadow`: mirrored only, a
    person decides. `blue-green`: all at once, and back at once."""

    CANARY = "canary"
    AB = "ab"
    SHADOW = "shadow"
    BLUE_GREEN = "blue-green"


class OnFail(enum.StrEnum):
    """What follows a failed guardrail, or no traffic: back by itself, or stay and wait for a person."""

    ROLLBACK = "rollback"
    PAUSE = "pause"


@dataclass(frozen=True, slots=True)
class ArmPlan:
    """A version to be let in. `weight` is the percentage of keys that an A/B release gives it from its first moment; 0
    in other strategies, where the steps say it."""

    name: str
    ref: ModelRef
    weight: float = 0.0


@dataclass(frozen=True, slots=True)
class Step:
    """One step: of `shadow` and `weight` (percentages) one is above 0, or `pause` is set and nothing else.

    It passes after `for_s` seconds and `min_requests` answers of the candidate at the earliest.
    """

    weight: float = 0.0
    shadow: float = 0.0
    for_s: float = 0.0
    min_requests: int = MIN_REQUESTS
    pause: bool = False


@dataclass(frozen=True, slots=True)
class Guardrail:
    """How much worse than stable a metric may be: exactly one of the four limits is set.

    `max` is absolute, `max_increase` and `max_decrease` are differences to stable, `max_ratio` is a multiple of it.
    `metric`: see LIMITS_OF. `query` and `looks` (that many in a row beyond the limit) belong to promql alone.
    """

    metric: str
    max: float | None = None
    max_increase: float | None = None
    max_decrease: float | None = None
    max_ratio: float | None = None
    query: str = ""
    looks: int = 1

    @property
    def statistical(self) -> bool:
        """Whether the guarantee of `alpha` covers it."""
        return self.metric != PROMQL


PROMQL = "promql"
DISAGREEMENT = "disagreement"
LIMITS = ("max", "max_increase", "max_decrease", "max_ratio")
LIMITS_OF: dict[str, tuple[str, ...]] = {
    "error_rate": ("max_increase",),
    "latency_p50": ("max_ratio",),
    "latency_p90": ("max_ratio",),
    "latency_p95": ("max_ratio",),
    "latency_p99": ("max_ratio",),
    DISAGREEMENT: ("max",),
    "prediction_shift": ("max",),
    "accuracy": ("max_decrease",),
    "reward": ("max_decrease",),
    PROMQL: LIMITS,
}


@dataclass(frozen=True, slots=True)
class NoTraffic:
    """What follows when the candidate was asked nothing for `after_s` seconds."""

    after_s: float = 1800.0
    do: OnFail = OnFail.PAUSE


@dataclass(frozen=True, slots=True)
class Plan:
    """`model` is the public name; `stable` None means its default ref at the start. `arms` keep their order for the
    release's whole life. `hold_s` is how long stable stays warm at weight 100. `alpha` is the chance, over the whole
    release, that a candidate no worse than every limit is thrown out."""

    model: str
    strategy: Strategy
    arms: tuple[ArmPlan, ...]
    steps: tuple[Step, ...]
    stable: ModelRef | None = None
    sticky: Sticky = Sticky.KEY
    hold_s: float = HOLD_S
    guardrails: tuple[Guardrail, ...] = ()
    alpha: float = ALPHA
    on_fail: OnFail = OnFail.ROLLBACK
    on_no_traffic: NoTraffic = NoTraffic()
