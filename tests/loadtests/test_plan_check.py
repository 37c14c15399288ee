"""The whole check with the sample model, briefly: a server on one core, measured, simulated and loaded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from loadtests import plan_check
from tests.support.stack import ROOT


@pytest.mark.e2e
def test_every_load_has_what_was_foretold_and_what_was_measured(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    arguments = ["--picture", "28px", "--seconds", "0.6", "--times", "1", "--json", str(report)]
    command = [sys.executable, "-m", "loadtests.plan_check", *arguments]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert made.returncode == 0, made.stderr + made.stdout
    rows = json.loads(report.read_text())
    assert [row["share"] for row in rows] == list(plan_check.SHARES)
    for row in rows:
        (take,) = row["takes"]
        assert take["errors"] == 0
        for kind in ("simulated", "measured"):
            assert 0 < take[f"{kind}_p50_ms"] <= take[f"{kind}_p99_ms"]


def take(simulated: tuple[float, float], measured: tuple[float, float]) -> plan_check.Take:
    return plan_check.Take(10.0, simulated[0], measured[0], simulated[1], measured[1], 0.1, 0)


@pytest.mark.parametrize(
    ("takes", "within"),
    [([take((1.0, 4.0), (1.0, 4.0))], True),
     ([take((1.0, 4.0), (1.4, 7.9))], True),
     ([take((1.0, 4.0), (1.6, 4.0))], False),
     ([take((1.0, 9.0), (1.0, 4.0))], False),
     ([take((1.0, 4.0), (9.0, 99.0)), take((1.0, 4.0), (1.0, 4.0)), take((1.0, 4.0), (1.0, 4.0))], True),
     ([take((1.0, 4.0), (9.0, 99.0)), take((1.0, 4.0), (9.0, 99.0)), take((1.0, 4.0), (1.0, 4.0))], False)],
)  # fmt: skip
def test_a_row_says_whether_the_middle_of_it_is_within_the_bounds(takes: list[plan_check.Take], within: bool) -> None:
    assert plan_check.Row("p", 0.5, tuple(takes)).is_within is within


@pytest.mark.parametrize("arguments", [["--seconds", "0"], ["--times", "0"], ["--picture", "huge"]])
def test_options_that_make_no_sense_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        plan_check.parse(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err
