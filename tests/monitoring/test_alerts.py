"""Every alert fires as it is written, in time and alone, and is silent in its counter case: by promtool."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from services.monitoring.alerts.files import COMPOSE, alerts
from tests.support.alert_cases import CASES, HEALTHY, JUST_WELL, MINUTES, Case
from tests.support.promtool import promtool
from tests.support.stack import ROOT

HOURS_MIN = 70
FIRING = 'count by (alertname, severity, window) (ALERTS{alertstate="firing"})'


def group_of(case: Case) -> dict[str, Any]:
    """A test group in promtool's format, with no samples from after its end."""
    until = f"x{case.at + 1}"
    series = {name: values.replace(f"x{MINUTES - 1}", until) for name, values in {**HEALTHY, **case.changes}.items()}
    fired = [
        f'{{alertname="{case.alert}",severity="{severity}"' + (f',window="{window}"}}' if window else "}")
        for severity, window in sorted(case.fires)
    ]
    return {
        "name": f"{case.alert} {case.what} at {case.at} min",
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items() if values],
        "promql_expr_test": [
            {
                "expr": FIRING,
                "eval_time": f"{minute}m",
                "exp_samples": [{"labels": labels, "value": 1} for labels in expected],
            }
            for minute, expected in ((case.not_yet, []), (case.at, fired))
            if minute is not None
        ],
    }


def merged(cases: Sequence[Case]) -> list[Case]:
    """What is just well enough everywhere at once is one case: starting each takes promtool longer than its rules."""
    well = [case for case in cases if case.what == JUST_WELL]
    changes = [item for case in well for item in case.changes.items()]
    assert len(dict(changes)) == len(changes)
    return [*(c for c in cases if c not in well), Case("all", JUST_WELL, dict(changes), max(case.at for case in well))]


def test_alerts_fire_as_written_and_are_silent_otherwise(tmp_path: Path) -> None:
    """Hours are gone through in larger steps: each step evaluates every rule."""
    files = []
    for step, cases in (
        ("1m", merged([case for case in CASES if case.at <= HOURS_MIN])),
        ("5m", [case for case in CASES if case.at > HOURS_MIN]),
    ):
        files.append(tmp_path / f"every-{step}.json")  # JSON is YAML
        tests = {"rule_files": [str(ROOT / COMPOSE)], "evaluation_interval": step, "tests": [*map(group_of, cases)]}
        files[-1].write_text(json.dumps(tests))
    assert promtool("test", "rules", *files).count("SUCCESS") == len(files)


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    there = {(alert.name, str(alert.severity), alert.labels.get("window", "")) for alert in alerts()}
    assert {(case.alert, *fired) for case in CASES for fired in case.fires} == there
    assert {case.alert for case in CASES if not case.fires} == {name for name, *_ in there}


def test_no_two_alerts_are_the_same() -> None:
    names = [(alert.name, alert.severity, *alert.labels.items()) for alert in alerts()]
    assert len(names) == len(set(names))
