"""Every name of TensorRT that the code uses exists in the wheels: those of `tensorrt` 11, which cannot be imported
without its libraries, and of `tensorrt_rtx`, which can."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.support.stack import ROOT
from tests.support.tensorrt_wheels import BINDINGS, RTX, need

SOURCES = sorted((ROOT / "services/shared/backends").glob("tensorrt*.py"))
# What the code calls an object -> its class; `trt` and `api` are the module itself.
CLASSES = {
    "builder": "Builder",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "parser_error": "ParserError",
    "settings": "IBuilderConfig",
    "profile": "IOptimizationProfile",
    "cache": "ITimingCache",
    "runtime": "Runtime",
    "engine": "ICudaEngine",
    "_engine": "ICudaEngine",
    "context": "IExecutionContext",
    "tensor": "ITensor",
}
# The C entry points that the bindings are linked against (nm -D --undefined-only).
ENTRY_POINTS = (
    "createInferBuilder_INTERNAL",
    "createInferRefitter_INTERNAL",
    "createInferRuntime_INTERNAL",
    "createNvOnnxParserRefitter_INTERNAL",
    "createNvOnnxParser_INTERNAL",
    "getBuilderPluginRegistry",
    "getNvOnnxParserVersion",
    "getPluginRegistry",
    "initLibNvInferPlugins",
)
LOOK_UP = """
import importlib, json, operator, sys
module = importlib.import_module(sys.argv[1])
names = json.loads(sys.argv[2])
def missing(name):
    try:
        operator.attrgetter(name)(module)
    except AttributeError:
        return True
print(json.dumps([name for name in names if missing(name)]))
"""


def used() -> dict[str, str]:
    """Dotted names within the module, with the place where each is used."""
    names: dict[str, str] = {}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and (name := _dotted(node)):
                names[name] = f"{path.name}:{node.lineno}"
    return names


def _dotted(node: ast.Attribute) -> str:
    """`trt.MemoryPoolType.WORKSPACE` as `MemoryPoolType.WORKSPACE`, `engine.get_tensor_name` as
    `ICudaEngine.get_tensor_name`; empty for what is not TensorRT's."""
    owner = _last(node.value)
    if owner in ("trt", "api") and not node.attr.startswith("__"):
        return node.attr
    if owner in CLASSES:
        return f"{CLASSES[owner]}.{node.attr}"
    if isinstance(node.value, ast.Attribute) and (outer := _dotted(node.value)) and outer.split(".")[0][:1].isupper():
        return f"{outer}.{node.attr}"
    return ""


def _last(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def missing(module: str, environment: Mapping[str, str]) -> list[str]:
    """Looked up in a process of its own: TensorRT's libraries stay out of this one."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOOK_UP, module, json.dumps(sorted(used()))],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    names: list[str] = json.loads(done.stdout.splitlines()[-1])
    return names


def test_the_walk_finds_what_the_code_uses() -> None:
    assert {
        "Builder",
        "MemoryPoolType.WORKSPACE",
        "ILogger.Severity.ERROR",
        "TensorIOMode.INPUT",
        "OnnxParser.parse_from_file",
        "IBuilderConfig.set_timing_cache",
        "ICudaEngine.get_tensor_profile_shape",
        "IExecutionContext.execute_async_v3",
        "IExecutionContext.set_tensor_address",
    } <= set(used())


def test_every_name_exists_in_tensorrt_rtx() -> None:
    need(RTX)
    assert {name: used()[name] for name in missing(RTX, {})} == {}


def test_every_name_exists_in_tensorrt_11(tmp_path: Path) -> None:
    need(BINDINGS)
    if compiler := shutil.which("gcc") or shutil.which("cc"):
        for library in ("nvinfer", "nvinfer_plugin", "nvonnxparser"):
            _stub(compiler, tmp_path / f"lib{library}.so.11")
        assert {name: used()[name] for name in missing(BINDINGS, {"LD_LIBRARY_PATH": str(tmp_path)})} == {}
    else:  # less strict: the names are there, whatever they belong to
        spec = importlib.util.find_spec(BINDINGS)
        assert spec is not None
        assert spec.origin is not None
        library_text = Path(spec.origin).with_name("tensorrt.so").read_bytes()
        words = {word for name in used() for word in name.split(".")}
        assert [word for word in sorted(words) if f"{word}\0".encode() not in library_text] == []


def _stub(compiler: str, path: Path) -> None:
    functions = "".join(f"void *{name}(void) {{ return 0; }}\n" for name in ENTRY_POINTS)
    source = path.with_suffix(".c")
    source.write_text(functions)
    command = [compiler, "-shared", "-fPIC", f"-Wl,-soname,{path.name}", "-o", str(path), str(source)]
    subprocess.run(command, check=True, capture_output=True)
