"""An ONNX file that answers as a `Reference` does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnxruntime

from exporters.base import Array, ExportFailed

_ERRORS_ONLY = 3


class OnnxRunner:
    """`Reference` over an ONNX file with one input, on the CPU. Raises ExportFailed for a file that does not load."""

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        # Threads that spin while they wait take the cores from the reference and from decoding.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the runtime's exceptions have no common base but this
            raise ExportFailed(f"{path.name} does not load in ONNX Runtime: {error}") from error
        self._input: str = self._session.get_inputs()[0].name
        self._outputs: list[str] = [output.name for output in self._session.get_outputs()]

    def run(self, images: Array) -> Mapping[str, Array]:
        try:
            made = self._session.run(self._outputs, {self._input: images})
        except Exception as error:  # as above
            raise ExportFailed(f"the exported model does not run: {error}") from error
        return dict(zip(self._outputs, made, strict=True))
