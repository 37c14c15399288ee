"""What becomes of a server that is asked for more than it can do: `python -m loadtests.overload`.

Finds what the API can do with 32 clients, then offers shares and multiples of that in an open loop (Poisson arrivals,
the same in every run) and prints, for each, how much of it was answered, how long what was admitted took, and how
quickly the rest was refused; and how long the tail is at 80 % of capacity, beside a queue without any software. With
the sample model (one process per core) and ResNet-50 int8 (exported once, which needs PyTorch). The generator runs on
the same cores; what it takes of them is printed. About 12 minutes. Exit status: 0, also when a target is not met
(unless `--strict`); 1 when an answer was neither 200 nor a refusal.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from loadtests import bench_models
from loadtests.baseline import ROOT
from loadtests.bench import wide_console
from loadtests.overload_plot import svg_of
from loadtests.overload_rows import (
    OVERLOAD,
    TAIL_LOAD,
    Curve,
    bounds_of,
    bounds_table,
    document_of,
    row_of,
    table_of,
    tail_of,
)
from services.cli.measure.ended_by_signal import ended_by_signal
from services.cli.measure.grayscale_server import Serving, api
from services.cli.measure.load import MeasurementFailed, Request, upload
from services.cli.measure.lone_model import LoneModel, lone_model
from services.cli.measure.open_loop import closed_loop, open_loop, poisson
from services.cli.measure.pictures import MEDIUM, SMALL, Picture, write_picture
from services.cli.measure.report import circumstances
from services.cli.progress import Bars
from services.shared.model_ref import ModelRef

TINY, INT8 = "tiny", "resnet50-int8"
OFFERED = (0.25, 0.5, 0.75, 0.9, 1.0, 1.25, 1.5, 2.0, OVERLOAD)
CLIENTS = 32
WARM_S = 2.0
TAIL_ROUNDS = 3
Tell = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Subject:
    """A model under load. The first `settle_s` seconds of a run do not count: queues fill, estimates are learned."""

    title: str
    model: LoneModel
    picture: Picture
    seconds: float
    settle_s: float


def subjects(options: argparse.Namespace, directory: Path) -> list[Subject]:
    """What is measured, as the options have it."""
    found = []
    if TINY in options.model:
        sample = lone_model(ROOT / "models", ModelRef("digits", 1), directory / "models-tiny")
        found.append(Subject(TINY, sample, SMALL, options.seconds / 2, options.seconds / 8))
    if INT8 in options.model:
        models = bench_models.resnet50(options.models or bench_models.default_directory())
        if models is None:
            raise MeasurementFailed("ResNet-50 cannot be exported without PyTorch: pip install 'grayscale[export]'")
        own = lone_model(models, ModelRef(bench_models.INT8, 1), directory / "models-int8")
        found.append(Subject(INT8, own, MEDIUM, options.seconds, options.seconds / 3))
    return found


def curve_of(subject: Subject, serving: Serving, directory: Path, offered: Sequence[float], tell: Tell) -> Curve:
    """Everything of one running server."""
    request = upload(serving.predict_url(subject.model.ref.name), write_picture(subject.picture, directory))
    steps = 1 + len(offered) + TAIL_ROUNDS
    tell(f"{subject.title}: capacity", 0, steps)
    capacity = capacity_of(request, subject)
    rows = []
    for index, share in enumerate(offered):
        tell(f"{subject.title}: {share:g} × capacity", 1 + index, steps)
        load = open_loop(request, poisson(share * capacity, subject.seconds, seed=index))
        rows.append(row_of(load, share, capacity, subject.settle_s, subject.seconds))
        settle(serving)
    tails = []
    for number in range(TAIL_ROUNDS):
        tell(f"{subject.title}: tail", 1 + len(offered) + number, steps)
        load = open_loop(request, poisson(TAIL_LOAD * capacity, 2 * subject.seconds, seed=100 + number))
        tails.append(tail_of(load, capacity, len(os.sched_getaffinity(0))))
        settle(serving)
    tell(f"{subject.title}: done", steps, steps)
    return Curve(subject.title, capacity, tuple(rows), tuple(tails))


def capacity_of(request: Request, subject: Subject) -> float:
    """Answers a second with CLIENTS that ask again at once."""
    closed_loop(request, CLIENTS, WARM_S)
    load = closed_loop(request, CLIENTS, subject.seconds)
    if load.errors or len(load.statuses()) != 1:
        raise MeasurementFailed(f"{CLIENTS} clients were not all answered with 200: {load.statuses()}")
    return load.goodput(subject.seconds / 10, subject.seconds)


def settle(serving: Serving) -> None:
    """Until the last run is over for the server too."""
    for process in serving.processes:
        process.wait_idle()


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", choices=(TINY, INT8), help="only this one; both without it")
    parser.add_argument("--models", type=Path, default=None, help="where ResNet-50 is kept; made when it is not there")
    parser.add_argument("--offered", type=float, nargs="+", default=OFFERED, help="multiples of the capacity")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each load (the sample model: half of it)")
    parser.add_argument("--processes", type=int, default=0, help="of the API; 0: one per core")
    parser.add_argument("--json", type=Path, help="a file for everything")
    parser.add_argument("--plot", type=Path, help="a file for an SVG")
    parser.add_argument("--strict", action="store_true", help="exit status 1 when a target is not met")
    options = parser.parse_args(arguments)
    options.model = options.model or [TINY, INT8]
    if options.seconds <= 0 or min(options.offered) <= 0:
        parser.error("--seconds and --offered are more than 0")
    return options


def measure(options: argparse.Namespace, directory: Path) -> int:
    """Everything, printed and written; the exit status."""
    cores = len(os.sched_getaffinity(0))
    curves = []
    with Bars() as bars:
        for subject in subjects(options, directory):
            at = directory / subject.title
            with api(subject.model.models, at, processes=options.processes or cores) as serving:
                curves.append(curve_of(subject, serving, directory, options.offered, bars.tell))
    out, made = wide_console(), circumstances("an open loop in Python, Poisson arrivals", 1, cores)
    bounds = {curve.model: bounds_of(curve, tiny=curve.model == TINY) for curve in curves}
    for curve in curves:
        out.print(table_of(curve, f"{made.processor}, {cores} cores, the generator on the same"))
    out.print(bounds_table(bounds))
    if options.json:
        document = [document_of(curve, bounds[curve.model]) for curve in curves]
        options.json.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
    if options.plot:
        options.plot.write_text(svg_of(curves, f"{made.processor}, {cores} cores; Poisson arrivals"))
    failed = any(row.errors for curve in curves for row in curve.rows)
    missed = any(bound.is_met is not True for each in bounds.values() for bound in each)
    return int(failed or (options.strict and missed))


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    try:
        with ended_by_signal(), tempfile.TemporaryDirectory(prefix="grayscale-overload-") as directory:
            return measure(options, Path(directory))
    except MeasurementFailed as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
