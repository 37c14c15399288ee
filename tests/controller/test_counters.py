"""The controller's metrics."""

from __future__ import annotations

from dataclasses import replace

from prometheus_client.parser import text_string_to_metric_families

from services.controller.counters import ControllerCounters, LookedAt, render
from services.shared.release.verdict import Outcome
from services.shared.release_store.base import Release
from tests.support.release_states import AB, AT_5, CANARY, COMPARING


def values(counters: ControllerCounters, *, leads: bool) -> dict[tuple[str, ...], float]:
    text = render(counters, leads=leads).decode()
    return {
        (sample.name.removeprefix("grayscale_"), *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def busy() -> ControllerCounters:
    """Two releases under way, and one look."""
    counters = ControllerCounters()
    other = replace(COMPARING, release="r-2")
    seen = [LookedAt(Release(CANARY, AT_5), Outcome.PASS), LookedAt(Release(AB, other), Outcome.INCONCLUSIVE)]
    counters.looked(seen, seconds=0.02, at=1_800_000_000.5)
    return counters


def test_everything_that_is_counted_is_shown() -> None:
    counters = busy()
    counters.verdicts[Outcome.FAIL] += 3
    counters.errors, counters.conflicts, counters.rollbacks, counters.promotions, counters.store_errors = 1, 2, 3, 4, 5
    shown = values(counters, leads=True)
    assert shown["controller_leading",] == 1
    assert shown["controller_releases", "progressing"] == 2
    assert shown["controller_releases", "paused"] == 0
    assert shown["controller_verdicts_total", "fail"] == 3
    names = ("errors", "conflicts", "rollbacks", "promotions", "store_errors")
    assert [shown[f"controller_{name}_total",] for name in names] == [1, 2, 3, 4, 5]
    assert shown["controller_look_seconds_count",] == 1
    assert shown["controller_look_seconds_bucket", "0.01"] == 0
    assert shown["controller_look_seconds_bucket", "0.025"] == 1
    assert shown["controller_last_look_timestamp_seconds",] == 1_800_000_000.5


def test_a_release_tells_its_weights_its_step_its_phase_and_its_verdict() -> None:
    shown = values(busy(), leads=True)
    told = {key[1:]: value for key, value in shown.items() if key[0] == "release_weight"}
    assert told == {
        ("stable", "digits", "r-1"): 95.0,
        ("candidate", "digits", "r-1"): 5.0,
        ("stable", "digits", "r-2"): 0.0,
        ("fast", "digits", "r-2"): 30.0,
        ("big", "digits", "r-2"): 70.0,
    }
    assert (shown["release_step", "digits", "r-1"], shown["release_step", "digits", "r-2"]) == (1, 0)
    assert shown["release_phase", "digits", "progressing", "r-1"] == 1
    assert shown["release_verdict", "digits", "pass", "r-1"] == 1
    assert shown["release_verdict", "digits", "inconclusive", "r-2"] == 1
    assert ("release_verdict", "digits", "fail", "r-1") not in shown


def test_whoever_stands_by_looks_after_no_release() -> None:
    shown = values(busy(), leads=False)
    assert shown["controller_leading",] == 0
    assert shown["controller_releases", "progressing"] == 0
    assert not [key for key in shown if key[0].startswith("release_")]
