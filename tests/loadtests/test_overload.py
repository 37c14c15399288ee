"""The whole run with the sample model, briefly: a real server under more than it can do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from loadtests import overload
from tests.support.stack import ROOT

# As the command does it, with one look at the tail instead of several.
BRIEF = "import sys; from loadtests import overload as o; o.TAIL_ROUNDS, o.WARM_S = 1, 0.5; sys.exit(o.main())"


@pytest.mark.e2e
def test_an_overloaded_server_answers_or_refuses_and_says_so(tmp_path: Path) -> None:
    report, plot = tmp_path / "report.json", tmp_path / "plot.svg"
    arguments = ["--model", "tiny", "--offered", "0.3", "1.5", "--seconds", "2"]
    command = [sys.executable, "-c", BRIEF, *arguments, "--json", str(report), "--plot", str(plot)]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert made.returncode == 0, made.stderr + made.stdout
    [curve] = json.loads(report.read_text())
    assert curve["capacity"] > 0
    assert [row["offered"] for row in curve["rows"]] == [0.3, 1.5]
    for row in curve["rows"]:
        assert row["errors"] == 0
        assert row["goodput"] > 0
        assert row["p50_ms"] <= row["p99_ms"]
    assert len(curve["tails"]) == 1
    assert plot.read_text().startswith("<svg")


@pytest.mark.parametrize("arguments", [["--seconds", "0"], ["--offered", "1", "0"], ["--model", "huge"]])
def test_options_that_make_no_sense_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        overload.parse(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err
