"""The whole run with the sample model, briefly: a real stack with a worker; and how it is asked for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from loadtests import jobs
from tests.support.stack import ROOT

# As the command does it, with less to warm up by.
BRIEF = "import sys; from loadtests import jobs; jobs.WARM_S, jobs.WARM_IMAGES = 1, 128; sys.exit(jobs.main())"


@pytest.mark.e2e
def test_jobs_are_measured_beside_the_synchronous_path(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    arguments = ["--model", "tiny", "--rounds", "1", "--seconds", "1", "--beside", "2000", "--json", str(report)]
    command = [sys.executable, "-c", BRIEF, *arguments]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert made.returncode == 0, made.stderr + made.stdout
    [row] = json.loads(report.read_text())
    assert (row["title"], row["way"], row["errors"]) == ("tiny", "own engine", 0)
    assert min(row["sync_per_s"], row["bulk_per_s"], row["submit_per_s"]) > 0
    assert row["p99_ratio"] > 0
    assert 0 < row["covered"] <= 1
    assert len(row["targets"]) == 2
    assert "a bulk job, of the synchronous path's best" in made.stdout


@pytest.mark.parametrize(
    ("extra", "ways"),
    [
        ([], [jobs.OWN_ENGINE]),
        (["--model-server"], [jobs.SHARED]),
        (["--both"], [jobs.OWN_ENGINE, jobs.SHARED]),
    ],
)
def test_ways_are_chosen(extra: list[str], ways: list[str]) -> None:
    assert jobs.parse(extra).way == ways


@pytest.mark.parametrize(("extra", "expected"), [([], (5, 5)), (["--quick"], (2, 3)), (["--rounds", "7"], (7, 5))])
def test_rounds_and_seconds_are_chosen(extra: list[str], expected: tuple[int, int]) -> None:
    options = jobs.parse(extra)
    assert (options.rounds, options.seconds) == expected


def test_variables_go_to_the_servers() -> None:
    options = jobs.parse(["--set", "GRAYSCALE_WORKER_PROCESSES=1", "--set", "A=b=c"])
    assert options.set == [("GRAYSCALE_WORKER_PROCESSES", "1"), ("A", "b=c")]


@pytest.mark.parametrize(
    "arguments", [["--seconds", "0"], ["--rounds", "0"], ["--model", "huge"], ["--set", "A"], ["--beside", "0"]]
)
def test_options_that_make_no_sense_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        jobs.parse(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err
