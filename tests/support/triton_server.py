"""NVIDIA Triton itself, without its image: `make triton` puts the wheel `nvidia-pytriton` into `.cache/triton`, which
has the server and its backend for Python; ONNX models are run by `triton_onnx_backend/model.py`."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import sysconfig
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.stack import ROOT, free_ports

DIRECTORY = "GRAYSCALE_TRITON_DIR"
START_S = 90.0  # its Python imports ONNX Runtime once for each instance of each model
STOP_S = 40.0
_VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


def require_triton() -> Path:
    """Where it is installed. Skips the test without it, or fails it where everything must be there
    (GRAYSCALE_REQUIRE)."""
    directory = Path(os.environ.get(DIRECTORY) or ROOT / ".cache" / "triton")
    reason = _why_not(directory)
    if reason is None:
        return directory
    if os.environ.get("GRAYSCALE_REQUIRE"):
        pytest.fail(reason)
    pytest.skip(reason)


def _why_not(directory: Path) -> str | None:
    """Why Triton cannot run from there; None when it can."""
    files = directory / "pytriton" / "tritonserver"
    stub = files / "python_backend_stubs" / _VERSION / "triton_python_backend_stub"
    if not (files / "bin" / "tritonserver").is_file():
        return f"needs NVIDIA Triton: run `make triton`, or name its directory in {DIRECTORY}"
    if not stub.is_file():
        return f"this Triton has no backend for Python {_VERSION}"
    environment = {**os.environ, **_libraries(directory)}
    linked = subprocess.run(["ldd", stub], capture_output=True, text=True, env=environment, check=False, timeout=10)
    missing = [line.split()[0] for line in linked.stdout.splitlines() if "not found" in line]
    return f"Triton's backend for Python needs {', '.join(missing)}" if missing else None


def _libraries(directory: Path) -> dict[str, str]:
    places = (str(directory / "nvidia_pytriton.libs"), sysconfig.get_config_var("LIBDIR"))
    return {"LD_LIBRARY_PATH": os.pathsep.join(place for place in places if place)}


@dataclass(slots=True)
class TritonServer:
    """A server on ports that stay its own over restarts. `grpc` is what GRAYSCALE_MODEL_SERVER_URL takes."""

    installed: Path
    models: Path
    directory: Path
    options: tuple[str, ...] = ("--model-control-mode=explicit", "--load-model=*")
    ports: list[int] = field(default_factory=lambda: free_ports(3))
    process: subprocess.Popen[bytes] | None = None

    @property
    def grpc(self) -> str:
        return f"127.0.0.1:{self.ports[1]}"

    @property
    def log(self) -> Path:
        return self.directory / "triton.log"

    def start(self) -> None:
        """Returns at once; `wait_ready` when it answers."""
        http, grpc, metrics = map(str, self.ports)
        command = [
            str(self.installed / "pytriton" / "tritonserver" / "bin" / "tritonserver"),
            *(f"--model-repository={self.models}", f"--backend-directory={self._backends()}", *self.options),
            *("--exit-on-error=false", "--strict-readiness=false", "--allow-gpu-metrics=false"),
            *("--http-address=127.0.0.1", "--grpc-address=127.0.0.1", "--metrics-address=127.0.0.1"),
            *("--http-port", http, "--grpc-port", grpc, "--metrics-port", metrics),
        ]
        packages = (str(self.installed), sysconfig.get_path("purelib"))
        environment = {
            **os.environ,
            **_libraries(self.installed),
            "GRAYSCALE_TRITON_PATH": os.pathsep.join(packages),
            "CUDA_VISIBLE_DEVICES": "",
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def wait_ready(self) -> None:
        """Returns when its models are loaded."""
        end = time.monotonic() + START_S
        while time.monotonic() < end and self.process is not None and self.process.poll() is None:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{self.ports[0]}/v2/health/ready", timeout=5).close()
                return
            time.sleep(0.05)
        raise AssertionError(f"Triton did not get ready: {self.log.read_text()[-4000:]}")

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(STOP_S)

    def _backends(self) -> Path:
        """Its backends as one directory; no links, which it refuses."""
        backends, files = self.directory / "backends", self.installed / "pytriton" / "tritonserver"
        if not backends.is_dir():
            shutil.copytree(files / "backends" / "python", backends / "python")
            shutil.copy2(files / "python_backend_stubs" / _VERSION / "triton_python_backend_stub", backends / "python")
            shutil.copytree(Path(__file__).with_name("triton_onnx_backend"), backends / "onnxruntime")
        return backends


@contextlib.contextmanager
def running_triton(models: Path, directory: Path) -> Iterator[TritonServer]:
    """A server of every model beneath `models`, not yet ready."""
    server = TritonServer(require_triton(), models, directory)
    server.start()
    try:
        yield server
    finally:
        server.kill()
