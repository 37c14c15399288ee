"""What one look sees of a release: every step's totals of the candidate and of stable. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.shared.release.arm_snapshot import ArmSnapshot
from services.shared.release.mean_evidence import Sample


@dataclass(frozen=True, slots=True)
class ArmTotals:
    """One arm in one step, since the step began. `right` of `labelled` answers were correct by feedback; `reward` is
    what feedback gave instead. They may grow after the step is over: truth comes late."""

    snapshot: ArmSnapshot = field(default_factory=ArmSnapshot)
    labelled: int = 0
    right: int = 0
    reward: Sample = field(default_factory=lambda: Sample(0, 0.0, 0.0))


@dataclass(frozen=True, slots=True)
class StepTotals:
    """One step. `shadow`: the candidate's totals are of mirrored requests, which say what it answers but not how it
    serves. `shares` are all arms' intended shares of keys in a fixed order, stable first, and `keys` the distinct keys
    of each; both empty where keys are not split."""

    step: int
    stable: ArmTotals
    candidate: ArmTotals
    shadow: bool = False
    shares: tuple[float, ...] = ()
    keys: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Observation:
    """`steps` are all until now, the current one last: at least one. `cells` are the classes that predictions are
    counted by, besides all others together. `queries` has for a query's text its values (candidate, stable); one that
    has no answer is not there.
    """

    steps: tuple[StepTotals, ...]
    cells: tuple[int, ...] = ()
    queries: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def current(self) -> StepTotals:
        return self.steps[-1]
