"""Model repositories on disk, made for tests of the engine."""

from __future__ import annotations

import hashlib
from pathlib import Path

import onnx

from services.shared.repository.disk import DiskRepository
from tests.support import onnx_models
from tests.support.configs import config_text


class ModelDirectory:
    """A repository beneath `root`, to which versions can be added."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        self.repository = DiskRepository(root)

    def add(
        self, name: str, version: int, model: onnx.ModelProto, text: str | None = None, *, checksum: str | None = None
    ) -> None:
        """Writes a version, over what was there; with its checksum, or the given one, beside it."""
        path = onnx_models.write(model, self.root / name / str(version) / "model.onnx")
        sha256 = checksum or hashlib.sha256(path.read_bytes()).hexdigest()
        path.with_name("model.onnx.sha256").write_text(f"{sha256}  model.onnx\n")
        (self.root / name / "config.pbtxt").write_text(config_text() if text is None else text)

    def add_scaled(self, name: str, version: int, factor: float, text: str | None = None) -> None:
        """A version that multiplies by `factor`."""
        self.add(name, version, onnx_models.scaled(factor), text)
