"""The controller's metrics."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from services.controller.counters import ControllerCounters, render
from services.shared.release.state import Phase
from services.shared.release.verdict import Outcome


def values(counters: ControllerCounters, *, leads: bool) -> dict[tuple[str, str], float]:
    text = render(counters, leads=leads).decode()
    return {
        (sample.name, "".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_everything_that_is_counted_is_shown() -> None:
    counters = ControllerCounters()
    counters.phases = {Phase.PROGRESSING: 2}
    counters.verdicts[Outcome.FAIL] += 3
    counters.errors, counters.conflicts, counters.rollbacks, counters.promotions = 1, 2, 3, 4
    counters.looks.observe(0.02)
    shown = values(counters, leads=True)
    assert shown["grayscale_controller_leading", ""] == 1
    assert shown["grayscale_controller_releases", "progressing"] == 2
    assert shown["grayscale_controller_verdicts_total", "fail"] == 3
    totals = [
        shown[f"grayscale_controller_{name}_total", ""] for name in ("errors", "conflicts", "rollbacks", "promotions")
    ]
    assert totals == [1, 2, 3, 4]
    assert shown["grayscale_controller_look_seconds_count", ""] == 1
    assert shown["grayscale_controller_look_seconds_bucket", "0.01"] == 0
    assert shown["grayscale_controller_look_seconds_bucket", "0.025"] == 1


def test_whoever_stands_by_looks_after_no_release() -> None:
    counters = ControllerCounters()
    counters.phases = {Phase.PROGRESSING: 2}
    shown = values(counters, leads=False)
    assert shown["grayscale_controller_leading", ""] == 0
    assert shown["grayscale_controller_releases", "progressing"] == 0
