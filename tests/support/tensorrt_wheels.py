"""Wheels of TensorRT that work without a GPU: `tensorrt_rtx` parses and builds, the bindings of `tensorrt` name."""

from __future__ import annotations

import importlib.util
import os

import pytest

RTX = "tensorrt_rtx"  # the same interface and parser as `tensorrt`; engines for other GPUs, so it is a check only
BINDINGS = "tensorrt_bindings"


def need(module: str) -> None:
    """Skips the test where the module is not installed, or fails it where everything must be there."""
    if importlib.util.find_spec(module) is None:
        reason = f"needs the package {module} (extra dev)"
        if os.environ.get("GRAYSCALE_REQUIRE"):
            pytest.fail(reason)
        pytest.skip(reason)
