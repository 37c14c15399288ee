"""NVIDIA TensorRT: engines, each made for one kind of GPU and one version of TensorRT.

Where TensorRT or a GPU is missing, or the engine was made for another, the ONNX file that lies beside the engine
answers instead: rebuilt, or run by the fallback backend. The model's warnings then say so.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from services.shared.backends.base import Backend, LoadedModel, Placement
from services.shared.backends.cuda_driver import Cuda, open_cuda
from services.shared.backends.laned_model import LanedModel
from services.shared.backends.tensorrt_build import BuildOptions, build_engine, describe_machine, read_info, sha256_of
from services.shared.backends.tensorrt_model import EngineUnfit, open_model
from services.shared.backends.tensorrt_module import TENSORRT, TensorRt, import_tensorrt
from services.shared.backends.tensorrt_plan import (
    Machine,
    batch_profile,
    choose_gpu,
    engine_key,
    mismatch,
    next_step,
    onnx_flaw,
)
from services.shared.durable_file import locked, replace_file
from services.shared.errors import InferenceFailed
from services.shared.model_config import ModelConfig

ONNX = "model.onnx"


class TensorRtBackend:
    """`fallback` runs the ONNX file where TensorRT cannot. Engines that are rebuilt at load, and what their builds
    measured, are kept in `cache_dir`; without one they are built at every load. `module` is TensorRT's Python module;
    `find_gpu` opens the GPU of that number, or raises InferenceFailed with the reason."""

    name = "tensorrt"

    def __init__(
        self,
        fallback: Backend | None = None,
        *,
        cache_dir: Path | None = None,
        module: str = TENSORRT,
        find_gpu: Callable[[int], Cuda] = open_cuda,
    ) -> None:
        self._fallback, self._cache_dir, self._module, self._find_gpu = fallback, cache_dir, module, find_gpu

    def load(self, path: Path, config: ModelConfig, placement: Placement) -> LoadedModel:
        info, onnx = read_info(path), path.with_name(ONNX)
        flaw = onnx_flaw(info, sha256_of(onnx) if onnx.is_file() else None)
        try:
            here = self._look_around(config)
        except InferenceFailed as error:
            return self._without_engine(path, config, placement, error.detail, flaw)
        try:
            return here.open(path.read_bytes(), config, misfit=mismatch(info, here.machine, config.max_batch_size))
        except EngineUnfit as error:
            misfit = error.detail
        if next_step(None, misfit, flaw, has_fallback=self._fallback is not None) == "refuse":
            raise InferenceFailed(_refusal(path, config, misfit, flaw))
        try:
            model = here.open(self._rebuilt(here, onnx, config), config)
        except InferenceFailed as error:
            return self._without_engine(path, config, placement, f"{misfit}; {error.detail}", flaw)
        model.warnings = (*model.warnings, f"{path.name} ({misfit}: it was rebuilt from {onnx.name})")
        return model

    def _look_around(self, config: ModelConfig) -> _Here:
        if config.instances and {group.kind for group in config.instances} == {"CPU"}:
            raise InferenceFailed("instance_group asks for KIND_CPU, where TensorRT does not run")
        index, warnings = choose_gpu(config)
        # The GPU first: without a driver TensorRT crashes the process instead of saying so.
        cuda = self._find_gpu(index)
        return _Here(cuda, import_tensorrt(self._module), describe_machine(cuda, self._module), warnings)

    def _without_engine(
        self, path: Path, config: ModelConfig, placement: Placement, obstacle: str, flaw: str | None
    ) -> LoadedModel:
        fallback = self._fallback
        step = next_step(obstacle, None, flaw, has_fallback=fallback is not None)
        if step == "refuse" or fallback is None:
            raise InferenceFailed(_refusal(path, config, obstacle, flaw))
        # Where there is CUDA, it is taken; where there is none, asking for it would leave the model unserved.
        instances = tuple(dataclasses.replace(group, kind="AUTO") for group in config.instances)
        model = fallback.load(path.with_name(ONNX), dataclasses.replace(config, instances=instances), placement)
        model.warnings = (*model.warnings, f"{path.name} ({obstacle}: {fallback.name} runs {ONNX} instead)")
        return model

    def _rebuilt(self, here: _Here, onnx: Path, config: ModelConfig) -> bytes:
        """The engine for this machine; built by one process while the others that share `cache_dir` wait for it."""
        preferred = config.batching.preferred_batch_sizes if config.batching else ()
        batch = batch_profile(config.max_batch_size, preferred)
        here.cuda.bind()
        if self._cache_dir is None:
            return build_engine(onnx, BuildOptions(batch), module=self._module)
        kept = self._cache_dir / engine_key(here.machine, sha256_of(onnx), batch)
        options = BuildOptions(batch, timing_cache=self._cache_dir / "timing.cache")
        try:
            self._cache_dir.mkdir(parents=True, exist_ok=True)
            with locked(self._cache_dir / ".lock"):
                if not kept.exists():
                    replace_file(kept, build_engine(onnx, options, module=self._module), durable=False)
            return kept.read_bytes()
        except OSError as error:
            raise InferenceFailed(f"engines cannot be kept in {self._cache_dir}: {error.strerror}") from error


@dataclass(frozen=True, slots=True)
class _Here:
    """TensorRT and the GPU of this machine, found."""

    cuda: Cuda
    library: TensorRt
    machine: Machine
    warnings: tuple[str, ...]

    def open(self, data: bytes, config: ModelConfig, *, misfit: str | None = None) -> LanedModel:
        if misfit is not None:
            raise EngineUnfit(misfit)
        model = open_model(self.library, self.cuda, data, config)
        accelerators = tuple(f"optimization.execution_accelerators {a.name} ({a.device})" for a in config.accelerators)
        model.warnings = (*accelerators, *self.warnings)
        return model


def _refusal(path: Path, config: ModelConfig, reason: str, flaw: str | None) -> str:
    return f"{path.name} of {config.name} cannot run here: {reason}" + (f"; {flaw}" if flaw else "")
