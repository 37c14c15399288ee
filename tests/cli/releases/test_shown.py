"""Releases in words and numbers."""

from __future__ import annotations

import math
from typing import Any

import pytest

from services.cli.releases.report import estimated, interval, ratio_sentence, seen, shadow_sentence
from services.cli.releases.shown import count, milliseconds, percent, phase_of, step_of
from tests.support.release_server import REPORT, release_state


@pytest.mark.parametrize(
    ("step", "steps", "said"), [(0, 3, "1 of 3"), (2, 3, "3 of 3"), (3, 3, "3 of 3, all done"), (0, 0, "–")]
)
def test_people_count_steps_from_one(step: int, steps: int, said: str) -> None:
    assert step_of(release_state(step=step, steps=steps)) == said


@pytest.mark.parametrize(
    ("value", "counted", "share", "time"),
    [
        (1234.5, "1,234", "123450.00 %", "1,234 ms"),
        (0.00512, "0", "0.51 %", "0.00512 ms"),
        (None, "–", "–", "–"),
        (math.nan, "–", "–", "–"),
        (math.inf, "–", "–", "–"),
        (True, "–", "–", "–"),
    ],
)
def test_what_is_no_number_is_a_dash(value: Any, counted: str, share: str, time: str) -> None:
    assert (count(value), percent(value), milliseconds(value)) == (counted, share, time)


def test_a_phase_is_shown_in_words() -> None:
    assert phase_of({"phase": "rolled_back"}) == "[red]rolled back[/]"
    assert phase_of({"phase": "[odd]"}) == r"[cyan]\[odd][/]"


def test_each_metric_has_its_unit() -> None:
    errors, latency = REPORT["guardrails"]
    assert (seen(errors, "candidate"), seen(errors, "stable")) == ("5.71 % of 210", "0.50 % of 4,000")
    assert (seen(latency, "candidate"), seen(latency, "stable")) == ("3 ms of 198", "3.5 ms of 3,980")
    assert (estimated(errors, 0.052), estimated(latency, 0.857)) == ("5.20 %", "0.857")
    assert seen({"metric": "reward", "candidate": 1.5, "count_candidate": 3}, "candidate") == "1.5 of 3"
    assert seen({"metric": "latency_p50"}, "stable") == "– of –"


def test_an_interval_may_have_one_bound_or_none() -> None:
    errors, latency = REPORT["guardrails"]
    assert (interval(errors), interval(latency), interval({})) == ("1.00 % to 9.40 %", "–", "–")
    assert interval({"metric": "latency_p95", "interval": [0.9, None]}) == "0.9 to –"


def test_what_was_not_mirrored_is_not_told() -> None:
    assert shadow_sentence({}) == shadow_sentence({"shadow": {"compared": 0, "differing": 0}}) == ""
    same = {"shadow": {"compared": 5, "differing": 0, "by_class": [{"class": 1, "compared": 5, "differing": 0}]}}
    assert shadow_sentence(same) == "of 5 mirrored answers 0 (0.00 %) had another best class"
    assert shadow_sentence(REPORT).endswith("1 (3 of 90); the largest difference of a score is 0.4321")
    assert ratio_sentence({}) == ""
    assert ratio_sentence(REPORT).startswith("evidence against the split of keys: 0.31")
