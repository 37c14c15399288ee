"""The runtime's own reports to its maker are off in every process of ours, before its library is loaded."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.stack import ROOT

SHOW = "import sys, {package}, os; print(os.environ['ORT_DISABLE_TELEMETRY'], 'onnxruntime' in sys.modules)"


@pytest.mark.parametrize("package", ["services", "exporters"])
def test_they_are_off_from_the_first_import(package: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    command = [sys.executable, "-c", SHOW.format(package=package)]
    shown = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout
    assert shown.split() == ["1", "False"]
