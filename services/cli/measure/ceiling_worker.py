"""One process of the ceiling: `python -m services.cli.measure.ceiling_worker MODELS NAME VERSION THREADS`.

Reads orders from standard input, a line of JSON each (`picture`, a path, and `seconds`), decodes the picture and runs
the model over and over for that long, one image at a time, and writes a line with what it did. Ends with its input.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from services.shared.backends.base import Backend, LoadedModel, Placement
from services.shared.imaging.base import Preprocessor
from services.shared.model_config import InstanceGroup, ModelConfig
from services.shared.tensors import Array

_TRIAL_RUNS = 7
Run = Callable[[Array], object]  # of one image with its batch dimension


@dataclass(frozen=True, slots=True)
class Turn:
    """What a worker did: how long each image took from bytes to outputs, and the CPU time of all its threads."""

    seconds: float
    cpu_s: float
    took_ms: tuple[float, ...]


def take_turn(preprocess: Preprocessor, run: Run, data: bytes, seconds: float) -> Turn:
    """Decodes and runs for this long, once at least."""
    took: list[float] = []
    cpu_s, begin = time.process_time(), time.perf_counter()
    last = begin
    while last < begin + seconds:
        run(preprocess(data).tensor[None])
        now = time.perf_counter()
        took.append(1000 * (now - last))
        last = now
    return Turn(last - begin, time.process_time() - cpu_s, tuple(took))


def runner(backend: Backend, path: Path, config: ModelConfig, threads: int) -> Run:
    """The quickest way to run one image with so many threads. More than one: a session of that width, or what the
    backend itself does for a run that is alone, or a single thread, where a model is too small to be divided."""
    ways = [_run_of(backend.load(path, _fixed(config, 1), Placement(1)))]
    if threads > 1:
        ways.append(_run_of(backend.load(path, _fixed(config, threads), Placement(threads))))
        ways.append(_run_of(backend.load(path, config, Placement(1, wide_cores=threads)), alone=True))
    picture = _blank(config)
    return min(ways, key=lambda run: _trial_s(run, picture))


def _fixed(config: ModelConfig, threads: int) -> ModelConfig:
    """One run at a time with so many threads."""
    kinds = config.instances or (InstanceGroup(),)
    return replace(
        config,
        instances=(replace(kinds[0], count=1),),
        parameters={**config.parameters, "intra_op_thread_count": str(threads)},
    )


def _run_of(model: LoadedModel, *, alone: bool = False) -> Run:
    [spec] = model.inputs
    return lambda image: model.run({spec.name: image}, alone=alone)


def _blank(config: ModelConfig) -> Array:
    import numpy as np

    return np.zeros((1, *config.inputs[0].shape), np.uint8)


def _trial_s(run: Run, image: Array) -> float:
    run(image)
    times = []
    for _ in range(_TRIAL_RUNS):
        begin = time.perf_counter()
        run(image)
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def main(arguments: list[str]) -> int:
    from exporters.parts import backends, open_repository
    from services.shared.imaging.preprocess import ImagePreprocessor
    from services.shared.imaging.settings import parse_image_settings
    from services.shared.model_ref import ModelRef

    models, name, version, threads = arguments
    repository = open_repository(Path(models))
    config = repository.config(name)
    known: Mapping[str, Backend] = backends()
    run = runner(known[config.backend], repository.artifact(ModelRef(name, int(version))).path, config, int(threads))
    preprocess = ImagePreprocessor(parse_image_settings(config))
    sys.stdout.write("{}\n")
    sys.stdout.flush()
    for line in sys.stdin:
        order = json.loads(line)
        turn = take_turn(preprocess, run, Path(order["picture"]).read_bytes(), order["seconds"])
        answer = {"seconds": turn.seconds, "cpu_s": turn.cpu_s, "took_ms": turn.took_ms}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
