"""Repositories made from the sample model, and what it must answer."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np

from tests.support.stack import ROOT

DIGITS = ROOT / "models" / "digits"


def copy_digits(repository: Path) -> Path:
    """The sample model in a repository of its own; the model's directory."""
    shutil.copytree(DIGITS, repository / "digits")
    return repository / "digits"


def add_rotated_version(model: Path, version: int, shift: int) -> None:
    """Another version that answers `label + shift` (modulo 10) wherever version 1 answers `label`."""
    import onnx
    from onnx import helper, numpy_helper

    graph_model = onnx.load(model / "1" / "model.onnx")
    graph = graph_model.graph
    output = graph.output[0].name
    for node in graph.node:
        node.output[:] = [f"{name}_before" if name == output else name for name in node.output]
    indices = np.array([(i - shift) % 10 for i in range(10)], dtype=np.int64)
    graph.initializer.append(numpy_helper.from_array(indices, "rotation"))
    graph.node.append(helper.make_node("Gather", [f"{output}_before", "rotation"], [output], axis=1))
    target = model / str(version)
    target.mkdir()
    onnx.save(graph_model, target / "model.onnx")
    digest = hashlib.sha256((target / "model.onnx").read_bytes()).hexdigest()
    (target / "model.onnx.sha256").write_text(f"{digest}  model.onnx\n")
