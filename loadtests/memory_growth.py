"""Whether a server's memory grows with the requests it answers: `python -m loadtests.memory_growth`.

Asks an API for predictions, 32 at a time, and prints the memory (PSS) of all its processes after every 20,000 of them.
The exit status is 1 when the end is more than 5 % above what it was after the warm-up, or when an answer was not 200.
The first answers fill caches, pools and arenas, so they are not counted as growth.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from services.cli.measure.ended_by_signal import ended_by_signal
from services.cli.measure.grayscale_server import Serving, api
from services.cli.measure.load import Generator, Request, choose_generator, upload
from services.cli.measure.pictures import PICTURES, write_picture
from services.cli.measure.server_process import Memory, memory_of

ROOT = Path(__file__).resolve().parent.parent
CONNECTIONS, SLICE_S = 32, 2
ALLOWED = 0.05


@dataclass(frozen=True, slots=True)
class Sample:
    """The memory of the server's processes after so many requests, of which `errors` had no 200."""

    requests: int
    errors: int
    memory: Memory


def measure(
    serving: Serving, request: Request, generator: Generator, marks: list[int], tell: Callable[[Sample], None]
) -> list[Sample]:
    """One sample at each of the ascending marks (numbers of requests), or as soon after it as a slice of load ends."""
    samples, requests, errors = list[Sample](), 0, 0
    for mark in marks:
        while requests < mark:
            load = generator.run(request, CONNECTIONS, SLICE_S)
            requests, errors = requests + load.requests, errors + load.errors
        samples.append(Sample(requests, errors, memory_of([pid for each in serving.processes for pid in each.pids()])))
        tell(samples[-1])
    return samples


def growth(samples: list[Sample]) -> float:
    """How much more the last sample is than the first: 0.05 for 5 %. What is of files grows and shrinks with who else
    has them open, so only the rest is held against the whole, where the system tells it apart."""
    first, last = samples[0].memory, samples[-1].memory
    if first.anonymous_bytes and last.anonymous_bytes:
        return (last.anonymous_bytes - first.anonymous_bytes) / first.size_bytes
    return last.size_bytes / first.size_bytes - 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=200_000, help="after the warm-up")
    parser.add_argument("--warm-up", type=int, default=20_000)
    parser.add_argument("--every", type=int, default=20_000)
    parser.add_argument("--models", type=Path, default=ROOT / "models")
    parser.add_argument("--model", default="digits")
    parser.add_argument("--picture", choices=PICTURES, default="28px")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    marks = [options.warm_up + step for step in range(0, options.requests + 1, options.every)]
    with ended_by_signal(), tempfile.TemporaryDirectory(prefix="grayscale-memory-") as name:
        directory = Path(name)
        generator = choose_generator(directory)
        print(f"{options.model}, {options.picture}, {options.processes} processes, {generator.name}")
        with api(options.models, directory, processes=options.processes) as serving:
            request = upload(serving.predict_url(options.model), write_picture(PICTURES[options.picture], directory))
            samples = measure(
                serving, request, generator, marks,
                lambda each: print(f"{each.requests:9,} requests {each.memory.size_bytes / 1e6:8.1f} MB", flush=True),
            )  # fmt: skip
    grown, errors = growth(samples), samples[-1].errors
    print(f"growth {100 * grown:+.1f} % (at most {100 * ALLOWED:.0f} %), {errors} errors")
    return 1 if grown > ALLOWED or errors else 0


if __name__ == "__main__":
    sys.exit(main())
