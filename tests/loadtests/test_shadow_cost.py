"""The whole run with the sample model, briefly."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from loadtests import shadow_cost
from tests.support.stack import ROOT

# As the command does it, and at one share of the capacity.
BRIEF = "import sys; from loadtests import shadow_cost; shadow_cost.SHARES = (0.5,); sys.exit(shadow_cost.main())"


@pytest.mark.e2e
def test_every_name_is_measured_and_only_the_mirrored_ones_copies_are_compared(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    arguments = ["--model", "tiny", "--seconds", "0.4", "--rounds", "1", "--processes", "1", "--json", str(report)]
    command = [sys.executable, "-c", BRIEF, *arguments]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert made.returncode == 0, made.stderr + made.stdout
    rows = json.loads(report.read_text())["tiny"]
    assert {row["name"] for row in rows} == set(shadow_cost.ASKED)
    for row in rows:
        assert row["requests_per_s"] > 0
        assert row["p50_ms"] <= row["p99_ms"]
        assert (row["compared"] + row["dropped"] > 0) is (row["name"] == shadow_cost.MIRRORED)


@pytest.mark.parametrize("arguments", [["--seconds", "0"], ["--rounds", "0"], ["--model", "huge"]])
def test_options_that_make_no_sense_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        shadow_cost.parse(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err
