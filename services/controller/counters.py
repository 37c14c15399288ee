"""What a controller counts, and how `/metrics` shows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from services.shared.release.state import Phase
from services.shared.release.verdict import Outcome
from services.shared.telemetry.histogram import Histogram

_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class ControllerCounters:
    """`phases`: how many releases there are in each, that are not settled. Belongs to one event loop."""

    def __init__(self) -> None:
        self.phases: Mapping[Phase, int] = {}
        self.verdicts: Counter[Outcome] = Counter()
        self.errors = 0
        self.conflicts = 0
        self.rollbacks = 0
        self.promotions = 0
        self.looks = Histogram(_BOUNDS_S)


def render(counters: ControllerCounters, *, leads: bool) -> bytes:
    """Prometheus' text format."""
    return "\n".join([*_gauges(counters, leads), *_totals(counters), *_looks(counters), ""]).encode()


def _gauges(counters: ControllerCounters, leads: bool) -> Iterator[str]:
    yield from _head("grayscale_controller_leading", "gauge", "1 where this controller leads, 0 where it stands by")
    yield f"grayscale_controller_leading {int(leads)}"
    yield from _head("grayscale_controller_releases", "gauge", "Releases that are looked after, by phase")
    for phase in Phase:
        yield f'grayscale_controller_releases{{phase="{phase}"}} {counters.phases.get(phase, 0) if leads else 0}'


def _totals(counters: ControllerCounters) -> Iterator[str]:
    yield from _head("grayscale_controller_verdicts_total", "counter", "Verdicts on new evidence, by outcome")
    for outcome in Outcome:
        yield f'grayscale_controller_verdicts_total{{outcome="{outcome}"}} {counters.verdicts[outcome]}'
    for name, text, value in (
        ("rollbacks", "Releases that began to roll back", counters.rollbacks),
        ("promotions", "Releases that were promoted", counters.promotions),
        ("conflicts", "Writes that came second and were decided anew", counters.conflicts),
        ("errors", "Looks at a release that failed", counters.errors),
    ):
        yield from _head(f"grayscale_controller_{name}_total", "counter", text)
        yield f"grayscale_controller_{name}_total {value}"


def _looks(counters: ControllerCounters) -> Iterator[str]:
    name, looks = "grayscale_controller_look_seconds", counters.looks.snapshot()
    yield from _head(name, "histogram", "One look at all releases, with all that follows from it")
    bounds = [*(repr(bound) for bound in looks.bounds), "+Inf"]
    for bound, count in zip(bounds, looks.cumulative(), strict=True):
        yield f'{name}_bucket{{le="{bound}"}} {count}'
    yield f"{name}_sum {looks.sum!r}"
    yield f"{name}_count {looks.count}"


def _head(name: str, kind: str, text: str) -> tuple[str, str]:
    return f"# HELP {name} {text}", f"# TYPE {name} {kind}"
