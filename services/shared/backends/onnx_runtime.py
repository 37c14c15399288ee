"""ONNX Runtime, on the CPU or on CUDA."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from services.shared.backends.base import LoadedModel, Placement
from services.shared.backends.cuda_driver import Cuda, open_cuda
from services.shared.backends.kept_graphs import KeptGraphs
from services.shared.backends.onnx_runtime_cpu import open_cpu_model
from services.shared.backends.onnx_runtime_cuda import open_cuda_model
from services.shared.backends.onnx_runtime_session import cuda_is_built_in
from services.shared.backends.onnx_runtime_threads import choose_threads
from services.shared.backends.tensorrt_plan import choose_gpu
from services.shared.backends.turns import Turns
from services.shared.clock import Clock, SystemClock
from services.shared.errors import InferenceFailed
from services.shared.model_config import ModelConfig


class OnnxRuntimeBackend:
    """KIND_GPU without CUDA is refused; KIND_AUTO takes CUDA where it is, else the CPU. `find_gpu` opens the GPU of
    that number, or raises InferenceFailed with the reason.

    On the CPU a model is one session, called from as many threads as there are runs at once, and a second one for runs
    that are alone where that was measured to pay. With a `cache_dir`, which must be this user's alone, large models are
    kept there as the runtime optimises them, and every session and process that runs them shares their weights.
    """

    name = "onnxruntime"

    def __init__(
        self,
        cache_dir: Path | None = None,
        *,
        clock: Clock | None = None,
        find_gpu: Callable[[int], Cuda] = open_cuda,
    ) -> None:
        self._kept = None if cache_dir is None else KeptGraphs(cache_dir)
        self._clock, self._find_gpu, self._turns = clock or SystemClock(), find_gpu, Turns()

    def load(self, path: Path, config: ModelConfig, placement: Placement) -> LoadedModel:
        index, warnings = choose_gpu(config)
        cuda = self._cuda(config, index)
        model: LoadedModel
        if cuda is not None:
            model = open_cuda_model(path, config, cuda, index, self._turns)
            model.warnings = (*model.warnings, *warnings)
        else:
            threads = choose_threads(config, placement)
            model = open_cpu_model(path, config, threads, kept=self._kept, clock=self._clock)
        return model

    def _cuda(self, config: ModelConfig, index: int) -> Cuda | None:
        """The GPU to use, None for the CPU."""
        kinds = {group.kind for group in config.instances} or {"AUTO"}
        if kinds == {"CPU"}:
            return None
        if cuda_is_built_in():
            try:
                return self._find_gpu(index)
            except InferenceFailed as error:
                reason = error.detail
        else:
            reason = "ONNX Runtime has no CUDA on this machine"
        if "GPU" in kinds:
            raise InferenceFailed(f"config.pbtxt of {config.name}: instance_group asks for KIND_GPU, but {reason}")
        return None
