"""ONNX models for a Triton that has no ONNX Runtime backend: ONNX Runtime in Triton's own backend for Python.

Beneath a backend directory as `onnxruntime/model.py` it is what Triton calls a Python-based backend: models that say
`platform: "onnxruntime_onnx"` come to it as they are. Runs in Triton's own processes, which keep to themselves
(PYTHONPATH has no effect): where the packages are comes in GRAYSCALE_TRITON_PATH.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

# Before anything asks for numpy: the one of Triton's directory must come first, as its backend is made for numpy 1.
sys.path[1:1] = os.environ["GRAYSCALE_TRITON_PATH"].split(os.pathsep)


class TritonPythonModel:
    """One instance of one version. Interface: triton-inference-server/python_backend."""

    def initialize(self, args: dict[str, str]) -> None:
        self._triton: Any = importlib.import_module("triton_python_backend_utils")
        runtime: Any = importlib.import_module("onnxruntime")
        config = json.loads(args["model_config"])
        file = Path(args["model_repository"], args["model_version"], config["default_model_filename"] or "model.onnx")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = runtime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        self._inputs = [each.name for each in self._session.get_inputs()]
        self._outputs = [each.name for each in self._session.get_outputs()]

    def execute(self, requests: list[Any]) -> list[Any]:
        """One answer for each request, which has a batch dimension where the model has one."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        tensor, of = self._triton.Tensor, self._triton.get_input_tensor_by_name
        found = self._session.run(self._outputs, {name: of(request, name).as_numpy() for name in self._inputs})
        outputs = [tensor(name, array) for name, array in zip(self._outputs, found, strict=True)]
        return self._triton.InferenceResponse(outputs)
