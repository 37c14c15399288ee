"""Builds TensorRT engines from ONNX files: by exporters, and at load where an engine does not fit the machine.

Networks are strongly typed: the precision of an engine is what the types in the ONNX file say.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.shared.backends.cuda_driver import Cuda
from services.shared.backends.tensorrt_module import TENSORRT, TensorRt, import_tensorrt
from services.shared.backends.tensorrt_plan import BatchProfile, EngineInfo, Machine, input_profile
from services.shared.durable_file import replace_file
from services.shared.errors import InferenceFailed

_SHOWN = 3  # errors of the parser in one sentence


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """`optimization_level` is TensorRT's, 0 (fast to build) to 5 (fast to run). `timing_cache` is a file that keeps
    what was measured, so that the next build on the same kind of GPU is quicker; it is made when it is not there."""

    batch: BatchProfile | None
    workspace_bytes: int = 4 << 30
    optimization_level: int = 3
    timing_cache: Path | None = None


def describe_machine(cuda: Cuda, module: str = TENSORRT) -> Machine:
    """What an engine that is built now, here, will need; raises InferenceFailed without TensorRT."""
    return Machine(module, import_tensorrt(module).version, cuda.compute_capability, cuda.name)


def build_engine(onnx: Path, options: BuildOptions, *, module: str = TENSORRT) -> bytes:
    """A serialized engine for the current GPU; blocks for seconds to minutes.

    Raises InferenceFailed with a sentence: no TensorRT, no GPU, an ONNX file that TensorRT cannot read or build.
    """
    library = import_tensorrt(module)
    trt = library.api
    with library.complaints.heard() as complaints:
        try:
            builder = trt.Builder(library.logger)
        except TypeError as error:  # "factory function returned nullptr"
            raise InferenceFailed("TensorRT cannot build here: it needs an NVIDIA GPU with its driver") from error
        network = builder.create_network(0)
        _parse(library, network, onnx)
        settings = _settings(trt, builder, network, options)
        cache = _use_timing_cache(settings, options.timing_cache)
        engine = builder.build_serialized_network(network, settings)
        if engine is None:
            raise InferenceFailed(f"TensorRT cannot build {onnx.name}: {_sentence(complaints)}")
    if cache is not None and options.timing_cache is not None:
        _keep(options.timing_cache, bytes(cache.serialize()))
    return bytes(engine)


def write_engine(path: Path, engine: bytes, info: EngineInfo) -> None:
    """The engine and its record (`model.plan.json`), in a directory that nobody reads yet; raises OSError."""
    info_path(path).write_text(info.to_json(), encoding="utf-8")
    path.write_bytes(engine)


def info_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def read_info(path: Path) -> EngineInfo | None:
    """The record beside an engine, None when there is none; raises InferenceFailed for one that cannot be read."""
    try:
        return EngineInfo.from_json(info_path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise InferenceFailed(f"{info_path(path).name} cannot be read: {error}") from error


def engine_info(machine: Machine, *, precision: str, onnx: Path, batch: BatchProfile | None) -> EngineInfo:
    """The record of an engine that was built on `machine` from `onnx`."""
    return EngineInfo(
        machine.runtime,
        machine.version,
        machine.compute_capability,
        machine.gpu,
        precision,
        sha256_of(onnx),
        batch,
    )


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _parse(library: TensorRt, network: Any, onnx: Path) -> None:
    parser = library.api.OnnxParser(network, library.logger)
    if parser.parse_from_file(str(onnx)):
        return
    errors = [_parser_error(parser.get_error(i)) for i in range(parser.num_errors)]
    raise InferenceFailed(f"TensorRT cannot read {onnx.name}: {_sentence(errors)}")


def _parser_error(parser_error: Any) -> str:
    node = " ".join(word for word in (parser_error.node_operator(), parser_error.node_name()) if word)
    text = parser_error.desc()
    if text in ("", "false"):  # a bare assertion; the code says more
        text = str(parser_error.code()).rpartition(".")[2]
    return f"{node}: {text}" if node else text


def _settings(trt: Any, builder: Any, network: Any, options: BuildOptions) -> Any:
    settings = builder.create_builder_config()
    settings.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_bytes)
    settings.builder_optimization_level = options.optimization_level
    profile = builder.create_optimization_profile()
    for i in range(network.num_inputs):
        tensor = network.get_input(i)
        shapes = input_profile(tensor.name, tuple(tensor.shape), options.batch)
        if shapes is not None:
            profile.set_shape(tensor.name, *shapes)
    if options.batch is not None:
        settings.add_optimization_profile(profile)
    return settings


def _use_timing_cache(settings: Any, path: Path | None) -> Any:
    if path is None:
        return None
    try:
        kept = path.read_bytes()
    except OSError:
        kept = b""
    cache = settings.create_timing_cache(kept)
    if not settings.set_timing_cache(cache, False):  # measured on another GPU, or by another version: begin anew
        cache = settings.create_timing_cache(b"")
        settings.set_timing_cache(cache, False)
    return cache


def _keep(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, data, durable=False)
    except OSError as error:
        raise InferenceFailed(f"the timing cache {path} cannot be written: {error.strerror}") from error


def _sentence(errors: Sequence[str]) -> str:
    """The first errors, each once."""
    distinct = list(dict.fromkeys(errors)) or ["it gives no reason"]
    more = len(distinct) - _SHOWN
    return "; ".join(distinct[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")
