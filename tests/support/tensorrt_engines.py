"""Models published as engines of the twin in `fake_tensorrt`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from services.shared.backends.base import LoadedModel
from services.shared.backends.cuda_driver import Cuda
from services.shared.backends.tensorrt_build import describe_machine, engine_info, write_engine
from services.shared.backends.tensorrt_plan import BatchProfile
from services.shared.config_pbtxt import parse_config
from services.shared.model_config import ModelConfig
from tests.support import fake_tensorrt, onnx_models
from tests.support.configs import config_text
from tests.support.fake_cuda import FakeCudaLibrary

TWIN = fake_tensorrt.__name__
GRAPHS = 'parameters { key: "cuda_graphs" value { string_value: "true" } }'


def plan_config(text: str = "", more: str = "") -> ModelConfig:
    return parse_config((text or config_text(more=more)).replace("onnxruntime_onnx", "tensorrt_plan"), name="m")


def publish(directory: Path, *, largest: int = 8, version: str = "", compute_capability: str = "") -> Path:
    """An engine that triples, the record of where it was built, and the ONNX file that it was built from."""
    onnx = onnx_models.write(onnx_models.scaled(3), directory / "m" / "1" / "model.onnx")
    machine = describe_machine(Cuda(FakeCudaLibrary(), 0), TWIN)
    machine = replace(
        machine,
        version=version or machine.version,
        compute_capability=compute_capability or machine.compute_capability,
    )
    info = engine_info(machine, precision="fp32", onnx=onnx, batch=BatchProfile(1, largest, largest))
    path = onnx.with_name("model.plan")
    write_engine(path, fake_tensorrt.serialized(onnx.read_bytes(), largest), info)
    return path


def tripled(model: LoadedModel, batch: int = 2) -> bool:
    x = np.arange(batch * 4, dtype=np.float32).reshape(batch, 4)
    return bool(np.array_equal(model.run({"x": x})["y"], x * 3))
