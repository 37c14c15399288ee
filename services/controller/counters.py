"""What a controller counts, and how `/metrics` shows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.shared.release.routing import STABLE
from services.shared.release.state import Phase
from services.shared.release.verdict import Outcome
from services.shared.release_store.base import Release
from services.shared.telemetry.exposition import Told, exposed, told, told_alone, told_histogram
from services.shared.telemetry.family import Label, counter, gauge, histogram
from services.shared.telemetry.histogram import Histogram
from services.shared.telemetry.release_metrics import ARM, RELEASE

_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

_NAME = "grayscale_controller_"
_PHASE, _OUTCOME = Label("phase", tuple(Phase)), Label("outcome", tuple(Outcome))
_LEADING = gauge(f"{_NAME}leading", "1 where this controller leads, 0 where it stands by", "")
_RELEASES = gauge(f"{_NAME}releases", "Releases that are looked after, by phase", "releases", _PHASE)
_VERDICTS = counter(f"{_NAME}verdicts_total", "Verdicts on new evidence, by outcome", "verdicts", _OUTCOME)
_ROLLBACKS = counter(f"{_NAME}rollbacks_total", "Releases that began to roll back", "releases")
_PROMOTIONS = counter(f"{_NAME}promotions_total", "Releases that were promoted", "releases")
_CONFLICTS = counter(f"{_NAME}conflicts_total", "Writes that came second and were decided anew", "writes")
_ERRORS = counter(f"{_NAME}errors_total", "Looks at a release that failed", "looks")
_STORE_ERRORS = counter(f"{_NAME}store_errors_total", "Looks that a store which was away did not let be made", "looks")
_LOOKS = histogram(f"{_NAME}look_seconds", "One look at all releases, with all that follows from it", "seconds")
_LAST_LOOK = gauge(
    f"{_NAME}last_look_timestamp_seconds", "When the last whole look ended, in Unix time; 0 before the first", "seconds"
)
_MODEL = Label("model", "the public names that have a release under way")
_OF_ONE = (RELEASE, _MODEL)
_WEIGHT = gauge(
    "grayscale_release_weight", "Percentage of keys that an arm gets; only the leading controller tells", "percent",
    *_OF_ONE, ARM,
)  # fmt: skip
_STEP = gauge("grayscale_release_step", "Index of a release's step in its plan", "", *_OF_ONE)
_IN_PHASE = gauge("grayscale_release_phase", "1 for the phase that a release is in", "", *_OF_ONE, _PHASE)
_VERDICT = gauge("grayscale_release_verdict", "1 for the last verdict on a release", "", *_OF_ONE, _OUTCOME)
FAMILIES = (
    *(_LEADING, _RELEASES, _VERDICTS, _ROLLBACKS, _PROMOTIONS, _CONFLICTS, _ERRORS, _STORE_ERRORS, _LOOKS, _LAST_LOOK),
    *(_WEIGHT, _STEP, _IN_PHASE, _VERDICT),
)


@dataclass(frozen=True, slots=True)
class LookedAt:
    """A release that is not settled, as the last look left it."""

    release: Release
    outcome: Outcome


class ControllerCounters:
    """Belongs to one event loop."""

    def __init__(self) -> None:
        self.seen: Sequence[LookedAt] = ()
        self.verdicts: Counter[Outcome] = Counter()
        self.errors = 0
        self.store_errors = 0
        self.conflicts = 0
        self.rollbacks = 0
        self.promotions = 0
        self.looks = Histogram(_BOUNDS_S)
        self.last_look_at = 0.0

    def looked(self, seen: Sequence[LookedAt], *, seconds: float, at: float) -> None:
        """A whole look has ended, at `at` in Unix seconds."""
        self.seen, self.last_look_at = seen, at
        self.looks.observe(seconds)


def render(counters: ControllerCounters, *, leads: bool) -> bytes:
    """Prometheus' text format. Whoever stands by looks after no release."""
    seen = counters.seen if leads else ()
    phases = Counter(each.release.state.phase for each in seen)
    return exposed(
        told_alone(_LEADING, int(leads)),
        told(_RELEASES, [((phase,), phases[phase]) for phase in Phase]),
        told(_VERDICTS, [((outcome,), counters.verdicts[outcome]) for outcome in Outcome]),
        told_alone(_ROLLBACKS, counters.rollbacks),
        told_alone(_PROMOTIONS, counters.promotions),
        told_alone(_CONFLICTS, counters.conflicts),
        told_alone(_ERRORS, counters.errors),
        told_alone(_STORE_ERRORS, counters.store_errors),
        told_histogram(_LOOKS, [((), counters.looks.snapshot())]),
        told_alone(_LAST_LOOK, counters.last_look_at),
        _each(seen),
    )


def _each(seen: Sequence[LookedAt]) -> Iterator[Told]:
    named = [((each.release.state.release, each.release.plan.model), each) for each in seen]
    yield from told(
        _WEIGHT,
        [((*name, arm), weight) for name, each in named for arm, weight in _weights(each.release)],
    )
    yield from told(_STEP, [(name, each.release.state.step) for name, each in named])
    yield from told(_IN_PHASE, [((*name, each.release.state.phase), 1) for name, each in named])
    yield from told(_VERDICT, [((*name, each.outcome), 1) for name, each in named])


def _weights(release: Release) -> Iterator[tuple[str, float]]:
    yield STABLE, 100.0 - release.state.weight
    for arm, weight in zip(release.plan.arms, release.state.weights, strict=True):
        yield arm.name, weight
