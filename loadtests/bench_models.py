"""The models of the benchmark: the sample model as it is, and ResNet-50 in fp32 and int8, exported once and kept."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from loadtests.resnet50_int8 import write_model

FP32, INT8 = "resnet50", "resnet50_int8"


def default_directory() -> Path:
    """Where they are kept between runs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "grayscale" / "bench"


def resnet50(directory: Path) -> Path | None:
    """A repository with both variants, made when it is not there (seeded weights: the answers mean nothing, the speed
    is the same). None where that needs PyTorch, and PyTorch is missing."""
    if all((directory / name / "1" / "model.onnx").exists() for name in (FP32, INT8)):
        return directory
    if importlib.util.find_spec("torch") is None:
        return None
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory, prefix=".fresh-") as fresh:
        models = Path(fresh) / "models"
        write_model(models / FP32, None)
        command = [sys.executable, "-m", "services.cli", "export", FP32]
        subprocess.run([*command, "--models", str(models), "--data-dir", fresh], check=True, stdout=sys.stderr)
        for name in (FP32, INT8):  # the first is what is looked for first, so it comes last
            (models / name).rename(directory / name)
    return directory
