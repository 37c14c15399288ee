"""Prometheus' own programs, where they are installed (Debian: `apt-get install prometheus`)."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def require(program: str) -> str:
    """Its path. Skips the test where it is missing, or fails it where everything must be there (GRAYSCALE_REQUIRE)."""
    found = shutil.which(program)
    if found is not None:
        return found
    reason = f"needs {program}: apt-get install prometheus"
    if os.environ.get("GRAYSCALE_REQUIRE"):
        pytest.fail(reason)
    pytest.skip(reason)


def promtool(*arguments: str | Path) -> str:
    """What it says; the test fails with it when promtool is not content."""
    command = [require("promtool"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
