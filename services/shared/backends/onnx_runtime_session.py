"""Sessions of ONNX Runtime, with the options that were found by measurement (`docs/performance.md`).

The runtime is imported where it is first needed: a process that never loads an ONNX model does not pay for it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.shared.errors import InferenceFailed

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
_FATAL = 4  # the runtime's own log: what it would print at a lower level comes back as the exception's text
_SPIN_US = 20
_EXTERNAL_MIN_BYTES = 1024  # smaller weights stay in the graph's own file


@dataclass(frozen=True, slots=True)
class SessionPlan:
    """How a session runs on the CPU.

    `wide`: for one run at a time that has the cores to itself. `patterns`: the runtime remembers where each tensor of a
    run lay, which makes brief runs 1–4 % faster and costs large models a quarter more memory. `optimized`: the graph is
    one that `save_to` wrote; `save_to` writes the graph as this session optimised it, its weights beside it.
    """

    threads: int = 1
    wide: bool = False
    patterns: bool = True
    optimized: bool = False
    save_to: Path | None = None


def open_session(path: Path, name: str, plan: SessionPlan) -> Any:
    """An `InferenceSession` on the CPU; raises InferenceFailed when the file of the model `name` cannot be loaded."""
    return make_session(path, name, session_options(plan), [CPU])


def open_cuda_session(path: Path, name: str, device: int, stream: int | None, *, graphs: bool) -> Any:
    """An `InferenceSession` on the GPU `device`; raises InferenceFailed when it cannot be loaded or CUDA be started."""
    options = session_options(SessionPlan(patterns=False))
    session = make_session(path, name, options, [(CUDA, provider_options(device, stream, graphs=graphs)), CPU])
    if session.get_providers()[0] != CUDA:
        # The runtime says so in its log only, and goes on with the CPU.
        raise InferenceFailed(f"{path.name} of {name} cannot be loaded: ONNX Runtime's CUDA provider does not start")
    return session


def provider_options(device: int, stream: int | None, *, graphs: bool) -> dict[str, str]:
    """Of the runtime's CUDA provider; everything that it does goes to `stream`, or to one of its own."""
    options = {"device_id": str(device)}
    if stream is not None:
        options["user_compute_stream"] = str(stream)
        if graphs:
            options["enable_cuda_graph"] = "1"
    return options


def make_session(path: Path, name: str, options: Any, providers: Sequence[Any]) -> Any:
    """An `InferenceSession` as it stands; raises InferenceFailed."""
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(os.fspath(path), options, providers=list(providers))
    except Exception as error:  # the runtime's exceptions have no common base but this
        raise InferenceFailed(f"{path.name} of {name} cannot be loaded: {first_line(error)}") from error
    session.disable_fallback()  # a device that fails must be heard of, not replaced by the CPU behind our back
    return session


def session_options(plan: SessionPlan) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    levels = onnxruntime.GraphOptimizationLevel
    options.intra_op_num_threads, options.inter_op_num_threads = plan.threads, 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = levels.ORT_DISABLE_ALL if plan.optimized else levels.ORT_ENABLE_ALL
    options.enable_mem_pattern = plan.patterns
    options.log_severity_level = _FATAL
    entry = options.add_session_config_entry
    # Threads that spin while they wait take the cores from decoding and from the other runs. A wide session's threads
    # spin just long enough to bridge the gap between two operators: longer, and a run takes several times as long when
    # another process has a core.
    entry("session.intra_op.allow_spinning", "1" if plan.wide else "0")
    entry("session.intra_op.spin_duration_us", str(_SPIN_US))
    entry("session.inter_op.allow_spinning", "0")
    if plan.save_to is not None:
        options.optimized_model_filepath = os.fspath(plan.save_to)
        entry("session.optimized_model_external_initializers_file_name", f"{plan.save_to.name}.data")
        entry("session.optimized_model_external_initializers_min_size_in_bytes", str(_EXTERNAL_MIN_BYTES))
        entry("session.save_external_prepacked_constant_initializers", "1")
    return options


def run_options(entries: Mapping[str, str]) -> Any:
    """Options of one run (`onnxruntime_run_options_config_keys.h`)."""
    from onnxruntime import RunOptions

    options = RunOptions()
    for key, value in entries.items():
        options.add_run_config_entry(key, value)
    return options


def cuda_is_built_in() -> bool:
    """Whether this build of the runtime has CUDA; whether the machine has it is another question."""
    from onnxruntime import get_available_providers

    return CUDA in get_available_providers()


def runtime_version() -> str:
    """What the optimised form of a graph depends on beside the graph and the processor."""
    import onnxruntime

    return f"{onnxruntime.__version__} {onnxruntime.get_build_info()}"


def first_line(error: Exception) -> str:
    """What an exception of the runtime says, without its stack."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
