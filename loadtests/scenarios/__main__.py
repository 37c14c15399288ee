"""`python -m loadtests.scenarios steady --host http://… --report DIR`: one scenario without a browser, with its report.

Writes DIR/NAME.html, DIR/NAME_*.csv and DIR/NAME.json. Exit status: 0 when every limit was kept, 1 when one was missed.
What is not an option here goes to locust as it is, and to the scenario: `--key`, `--candidate`, `--p99-ms` …
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SCENARIOS = ("steady", "burst", "ramp", "jobs", "canary", "hostile")
_SHAPED = ("burst", "ramp")  # they set their own course of visitors


def command(options: argparse.Namespace, further: Sequence[str]) -> list[str]:
    """Of locust."""
    report = options.report / options.scenario
    told = [*("-f", str(HERE / f"{options.scenario}.py")), "--host", options.host, "--headless", "--only-summary"]
    told += ["--users", str(options.users), "--seconds", str(options.seconds), "--verdict", f"{report}.json"]
    told += ["--html", f"{report}.html", "--csv", str(report)]
    if options.scenario not in _SHAPED:
        told += ["--spawn-rate", str(options.users)]
    return [sys.executable, "-m", "locust", *told, *further]


def main(arguments: Sequence[str]) -> NoReturn:
    """Becomes locust, so that a signal reaches it."""
    parser = argparse.ArgumentParser(description="Run one load scenario against a running server.")
    parser.add_argument("scenario", choices=SCENARIOS)
    parser.add_argument("--host", default="http://127.0.0.1:8080", help="the server's address")
    parser.add_argument("--report", type=Path, default=Path("load-report"), help="a directory for the report")
    parser.add_argument("--users", type=int, default=20, help="visitors, at most, at once")
    parser.add_argument("--seconds", type=int, default=60, help="how long it takes")
    options, further = parser.parse_known_args(arguments)
    options.report.mkdir(parents=True, exist_ok=True)
    # The server's own paths; a proxy in between would be what is measured.
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "no_proxy": "*"}
    os.execve(sys.executable, command(options, further), environment)


if __name__ == "__main__":
    main(sys.argv[1:])
