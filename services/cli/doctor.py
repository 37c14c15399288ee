"""`grayscale doctor`: what this machine has, and what to do about what is missing."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from services.cli.options import AsJson
from services.cli.terminal import Exit, out, print_json

_LOW_DISK_BYTES = 2 * 10**9
_LOW_MEMORY_BYTES = 2 * 10**9
_CLOCK_FLOOR = parsedate_to_datetime("Sun, 01 Nov 2026 00:00:00 GMT").timestamp()  # no earlier than this release
_PORTS = {8080: "API", 8000: "model server HTTP", 8001: "model server gRPC", 8002: "model server metrics"}


@dataclass(frozen=True, slots=True)
class Finding:
    """`level` is ok, warn or fail; `advice` says what to do when it is not ok."""

    what: str
    level: str
    found: str
    advice: str = ""


def doctor(
    models: Annotated[Path, typer.Option(envvar="GRAYSCALE_MODELS", help="The model repository.")] = Path("models"),
    data_dir: Annotated[Path, typer.Option(envvar="GRAYSCALE_DATA_DIR", help="Where state is kept.")] = Path(
        ".grayscale"
    ),
    as_json: AsJson = False,
) -> None:
    """Check this machine: Python, cores, memory, GPU, runtimes, models, ports, disk, clock."""
    findings = list(examine(models, data_dir))
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        marks = {"ok": "[green]ok[/]", "warn": "[yellow]warn[/]", "fail": "[red]fail[/]"}
        table = Table(box=None, show_header=False, padding=(0, 1))
        for finding in findings:
            table.add_row(
                marks[finding.level], f"[bold]{finding.what}[/]", escape(finding.found), f"[dim]{finding.advice}[/]"
            )
        out.print(table)
    if any(finding.level == "fail" for finding in findings):
        raise typer.Exit(Exit.FAILED)


def examine(models: Path, data_dir: Path) -> Iterator[Finding]:
    """Every finding, in the order of the table."""
    yield _python()
    yield from _machine()
    yield from _runtimes()
    yield _models(models)
    for port, purpose in _PORTS.items():
        yield _port(port, purpose)
    yield _disk(data_dir)
    yield _clock()


def _python() -> Finding:
    good = sys.version_info >= (3, 11)
    return Finding(
        "Python", "ok" if good else "fail", platform.python_version(), "" if good else "use Python 3.11 or newer"
    )


def _machine() -> Iterator[Finding]:
    cores = len(os.sched_getaffinity(0))
    yield Finding("CPU cores", "ok", f"{cores} usable of {os.cpu_count()}")
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    vnni = "avx512_vnni" in flags or "avx_vnni" in flags or platform.machine() == "aarch64"
    yield Finding(
        "int8 instructions", "ok" if vnni else "warn", "VNNI" if vnni else "none found",
        "" if vnni else "int8 models may be no faster than fp32 here: measure before you use them",
    )  # fmt: skip
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    low = memory < _LOW_MEMORY_BYTES
    yield Finding(
        "memory", "warn" if low else "ok", f"{memory / 1e9:.1f} GB", "large models will not fit" if low else ""
    )
    yield _gpu()


def _gpu() -> Finding:
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return Finding("GPU", "ok", "none: no NVIDIA driver", "models run on the CPU")
    version = ctypes.c_int()
    if cuda.cuInit(0) != 0 or cuda.cuDriverGetVersion(ctypes.byref(version)) != 0:
        return Finding(
            "GPU", "warn", "a driver that does not start", "check that the container or user may use the GPU"
        )
    return Finding("GPU", "ok", f"driver for CUDA {version.value // 1000}.{version.value % 1000 // 10}")


def _runtimes() -> Iterator[Finding]:
    try:
        import onnxruntime
    except ImportError as error:
        yield Finding(
            "ONNX Runtime", "fail", f"cannot be imported: {error}", "run `make up` to install what serving needs"
        )
    else:
        providers = ", ".join(p.removesuffix("ExecutionProvider") for p in onnxruntime.get_available_providers())
        yield Finding("ONNX Runtime", "ok", f"{onnxruntime.__version__}: {providers}")


def _models(models: Path) -> Finding:
    found = sorted(p.parent.name for p in models.glob("*/config.pbtxt"))
    if not found:
        return Finding("models", "fail", f"none in {models}", "name a model repository with --models")
    return Finding("models", "ok", ", ".join(found))


def _port(port: int, purpose: str) -> Finding:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return Finding(
                f"port {port}", "warn", f"{error.strerror} ({purpose})", "stop what uses it, or choose another"
            )
    return Finding(f"port {port}", "ok", f"free ({purpose})")


def _disk(data_dir: Path) -> Finding:
    place = next(p for p in (data_dir.resolve(), *data_dir.resolve().parents) if p.exists())
    if not os.access(place, os.W_OK):
        return Finding("disk", "fail", f"{place} cannot be written", "choose another place with --data-dir")
    free = shutil.disk_usage(place).free
    low = free < _LOW_DISK_BYTES
    return Finding(
        "disk", "warn" if low else "ok", f"{free / 1e9:.1f} GB free at {place}", "free some space" if low else ""
    )


def _clock() -> Finding:
    now = time.time()
    good = now > _CLOCK_FLOOR
    shown = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    return Finding(
        "clock", "ok" if good else "fail", shown, "" if good else "set the clock: keys and logs need the time"
    )
