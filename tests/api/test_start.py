"""What a start imports. Each of these packages takes 20 to 400 ms, or 10 MB in each process: whoever imports one again
on the way to the first answer learns it here."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.support.stack import ROOT

# Only what answers later requests needs these.
DEFERRED = {"fastapi", "pydantic", "redis", "limits", "httpcore", "opentelemetry"}
NEVER = {"grpc", "httpx", "typer", "rich", "torch", "onnx", "celery", "tensorrt", "scipy", "sklearn", "IPython"}


def run(*arguments: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_first_prediction_needs_no_framework() -> None:
    first, complete = (set(json.loads(line)) for line in run("-m", "tests.support.first_prediction"))
    assert {"onnxruntime", "numpy", "uvicorn"} <= first
    assert first & (DEFERRED | NEVER) == set()
    # The names are right, and what they stand for is there when the process says that it is ready.
    assert complete >= DEFERRED - {"redis"}
    assert complete & NEVER == set()


@pytest.mark.parametrize(
    ("modules", "absent"),
    [
        ("services.cli.__main__, services.api.child_process", {"asyncio", "dataclasses", "numpy", "subprocess"}),
        (
            "services.cli.serve_api, services.api.parent, services.api.settings, services.cli.parts",
            {"numpy", "PIL", "cv2", "uvicorn", "onnxruntime", "starlette"} | DEFERRED | NEVER,
        ),
        (
            "services.cli.commands, services.cli.up",
            {"numpy", "PIL", "cv2", "uvicorn", "httpx", "onnxruntime"} | DEFERRED | NEVER - {"typer", "rich"},
        ),
    ],
    ids=["until the first process is started", "the parent", "up"],
)
def test_what_starts_other_processes_imports_little(modules: str, absent: set[str]) -> None:
    [line] = run("-c", f"import json, sys, {modules}; print(json.dumps([*sys.modules]))")
    assert {name.partition(".")[0] for name in json.loads(line)} & absent == set()
