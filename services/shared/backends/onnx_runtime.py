"""ONNX Runtime, on the CPU or on CUDA."""

from __future__ import annotations

from pathlib import Path

from services.shared.backends.base import Placement
from services.shared.backends.kept_graphs import KeptGraphs
from services.shared.backends.onnx_runtime_cpu import open_cpu_model
from services.shared.backends.onnx_runtime_model import OnnxRuntimeModel
from services.shared.backends.onnx_runtime_session import cuda_is_built_in
from services.shared.backends.onnx_runtime_threads import choose_threads
from services.shared.clock import Clock, SystemClock
from services.shared.errors import InferenceFailed
from services.shared.model_config import ModelConfig


class OnnxRuntimeBackend:
    """KIND_GPU without CUDA is refused; KIND_AUTO takes CUDA where it is, else the CPU.

    On the CPU a model is one session, called from as many threads as there are runs at once, and a second one for runs
    that are alone where that was measured to pay. With a `cache_dir`, which must be this user's alone, large models are
    kept there as the runtime optimises them, and every session and process that runs them shares their weights.
    """

    name = "onnxruntime"

    def __init__(self, cache_dir: Path | None = None, *, clock: Clock | None = None) -> None:
        self._kept = None if cache_dir is None else KeptGraphs(cache_dir)
        self._clock = clock or SystemClock()

    def load(self, path: Path, config: ModelConfig, placement: Placement) -> OnnxRuntimeModel:
        kinds = {group.kind for group in config.instances}
        if "GPU" in kinds and not cuda_is_built_in():
            raise InferenceFailed(
                f"config.pbtxt of {config.name}: instance_group asks for KIND_GPU, "
                "but ONNX Runtime has no CUDA on this machine"
            )
        threads = choose_threads(config, placement)
        return open_cpu_model(path, config, threads, kept=self._kept, clock=self._clock)
