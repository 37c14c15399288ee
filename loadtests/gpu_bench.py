"""ONNX Runtime on CUDA, by the way it is called: `python -m loadtests.gpu_bench MODEL.onnx …`.

Needs an NVIDIA GPU, onnxruntime-gpu and NumPy, nothing else. Prints a table in Markdown: images a second and the median
time of a call, for the runtime's own `run`, for bound buffers, and for recorded graphs, with one lane and with two; and
how far each answer is from the first way's. Give the fp32 and the fp16 file of a model to compare them.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from services.shared.backends.cuda_buffer import Binding
from services.shared.backends.cuda_driver import Cuda, open_cuda
from services.shared.backends.onnx_runtime_lane import CudaLane
from services.shared.backends.onnx_runtime_session import open_cuda_session, run_options
from services.shared.backends.turns import Turns
from services.shared.errors import InferenceFailed

Outputs = Mapping[str, np.ndarray[Any, np.dtype[Any]]]
Call = Callable[[int], Outputs]  # the lane's number -> its outputs
_TYPES = {"float": "f4", "float16": "f2", "double": "f8", "uint8": "u1", "int8": "i1", "int32": "i4", "int64": "i8"}


@dataclass(frozen=True, slots=True)
class Tensor:
    """What a lane asks of a tensor's description (`TensorSpec`, without what that needs to be installed)."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(_TYPES[self.datatype])


@dataclass(frozen=True, slots=True)
class Way:
    """How runs are called: `lanes` 0 is the runtime's own `run`."""

    name: str
    lanes: int
    graphs: bool = False


WAYS = (
    Way("`run`", 0),
    Way("bound buffers, 1 lane", 1),
    Way("bound buffers, 2 lanes", 2),
    Way("CUDA graphs, 1 lane", 1, graphs=True),
    Way("CUDA graphs, 2 lanes", 2, graphs=True),
)


def described(nodes: list[Any]) -> list[Tensor]:
    """The model's tensors without their batch; sizes must be fixed."""
    tensors = []
    for node in nodes:
        if any(not isinstance(size, int) for size in node.shape[1:]):
            raise SystemExit(f"{node.name} has the shape {node.shape}: only the batch may be of any size")
        tensors.append(Tensor(node.name, node.type.removeprefix("tensor(").removesuffix(")"), tuple(node.shape[1:])))
    return tensors


@contextmanager
def opened(way: Way, path: Path, cuda: Cuda, device: int, batch: int) -> Iterator[Call]:
    """Calls of the model at that batch, with random inputs."""
    session = open_cuda_session(path, path.stem, device, None, graphs=False)
    inputs, outputs = described(session.get_inputs()), described(session.get_outputs())
    random = np.random.default_rng(0)
    feed = {each.name: random.integers(0, 256, (batch, *each.shape)).astype(each.dtype) for each in inputs}
    if not way.lanes:
        names = [each.name for each in outputs]
        yield lambda lane: dict(zip(names, session.run(names, feed), strict=True))
        return
    bindings = [
        Binding(cast(Any, each), is_input, (batch, *each.shape))
        for tensors, is_input in ((inputs, True), (outputs, False))
        for each in tensors
    ]
    turns, sizes = Turns(), frozenset({batch} if way.graphs else ())
    lanes: list[CudaLane] = []
    try:
        for _ in range(way.lanes):
            lanes.append(  # noqa: PERF401 # what is open so far must be closed when the next one fails
                CudaLane(
                    cuda,
                    device,
                    lambda stream: open_cuda_session(path, path.stem, device, stream, graphs=way.graphs),
                    run_options,
                    bindings,
                    graph_sizes=sizes,
                    turns=turns,
                )
            )
        yield lambda lane: lanes[lane].run(feed, batch)
    finally:
        for lane in lanes:
            lane.close()


def measure(call: Call, lanes: int, seconds: float) -> tuple[float, float]:
    """Calls a second of all lanes together, and the median seconds of one."""

    def keep_calling(lane: int) -> list[float]:
        times, end = [], time.perf_counter() + seconds
        while (begin := time.perf_counter()) < end:
            call(lane)
            times.append(time.perf_counter() - begin)
        return times

    with ThreadPoolExecutor(lanes) as threads:
        times = [each for lane in threads.map(keep_calling, range(lanes)) for each in lane]
    return len(times) / seconds, statistics.median(times)


def distance(made: Outputs, wanted: Outputs) -> float:
    return max(float(np.abs(made[name].astype("f8") - wanted[name].astype("f8")).max()) for name in wanted)


def main() -> None:
    parser = argparse.ArgumentParser(description="ONNX Runtime on CUDA, by the way it is called.")
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL.onnx")
    parser.add_argument("--batch", type=int, action="append", help="may be given several times; 1, 8 and 32")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each figure")
    parser.add_argument("--gpu", type=int, default=0)
    options = parser.parse_args()
    try:
        cuda = open_cuda(options.gpu)
    except InferenceFailed as error:
        raise SystemExit(error.detail) from error
    print(f"{cuda.name}, compute capability {cuda.compute_capability}\n")
    print("| model | batch | way | images/s | ms a call | distance |\n|---|---|---|---|---|---|")
    for path in options.models:
        for batch in options.batch or (1, 8, 32):
            wanted: Outputs | None = None
            for way in WAYS:
                with opened(way, path, cuda, options.gpu, batch) as call:
                    lanes = max(way.lanes, 1)
                    for lane in range(lanes):
                        made = call(lane)
                    wanted = wanted or made
                    calls_per_s, median_s = measure(call, lanes, options.seconds)
                    figures = f"{calls_per_s * batch:.0f} | {1000 * median_s:.2f} | {distance(made, wanted):.1g}"
                print(f"| {path.parent.parent.name}/{path.name} | {batch} | {way.name} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
