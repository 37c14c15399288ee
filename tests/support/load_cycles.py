"""`python -m tests.support.load_cycles DIR`: resident bytes after 20 and after 220 load/unload cycles, as two numbers.

A program of its own, so that what other tests have imported neither hides growth nor slows the collector down.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from pathlib import Path

import numpy as np

from services.shared.backends.base import Placement
from services.shared.backends.onnx_runtime import OnnxRuntimeBackend
from services.shared.engine.engine import Engine
from services.shared.model_ref import ModelRef
from services.shared.repository.disk import DiskRepository

REF = ModelRef("m", 1)


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def _cycles(engine: Engine, count: int) -> int:
    for _ in range(count):
        await engine.load(REF)
        await engine.infer(REF, {"x": np.ones((1, 4), np.float32)})
        await engine.unload(REF)
    gc.collect()
    return resident_bytes()


async def main(root: Path) -> None:
    engine = Engine(DiskRepository(root), {"onnxruntime": OnnxRuntimeBackend()}, placement=Placement(cores=1))
    print(await _cycles(engine, 20), await _cycles(engine, 200))  # noqa: T201
    await engine.close(1.0)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
