"""How near the served path comes to what the machine can do: `python -m loadtests.bench`.

Measures, in one run and interleaved rounds: the ceiling (decoding and running in this machine's cores, nothing around
it), Grayscale with the engine in the API's processes, alone and with a release in progress, and behind a model server
by gRPC, and a plain FastAPI service with ONNX Runtime; with the sample model and ResNet-50 (fp32, int8; exported once,
which needs PyTorch), small and large pictures, 1, 8 and 32 clients. Everything that is on by default stays on. Takes
about 45 minutes; `--rows 'tiny/*'` a few, `--quick` less. Exit status: 0, also when a target is not met (unless
`--strict`); 1 when a row had errors.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import orjson
from rich.console import Console

from loadtests import bench_models
from loadtests.baseline import ROOT, plain_service
from loadtests.bench_targets import FP32, INT8, LONE, RELEASED, TINY, outcome_document, outcome_table, outcomes
from loadtests.release_stack import with_release
from services.cli.measure.ended_by_signal import ended_by_signal
from services.cli.measure.load import Generator, MeasurementFailed, choose_generator
from services.cli.measure.lone_model import lone_model
from services.cli.measure.pictures import HEAVY, LARGE, MEDIUM, PICTURES, SMALL, write_picture
from services.cli.measure.plot import svg_of
from services.cli.measure.report import circumstances, document_of, table_of
from services.cli.measure.rounds import Plan, Workload, run_rounds
from services.cli.measure.rows import BASELINE, CEILING, GRPC, IN_PROCESS, rows_of
from services.cli.measure.ways import behind_grpc, in_process, machine_ceiling
from services.cli.progress import Bars
from services.shared.model_ref import ModelRef

CLIENTS = (1, 8, 32)
BATCH_WINDOWS = 3  # a batch of ResNet-50 in fp32 takes up to a second of two cores
HEAVY_ASKED = {MEDIUM.name: CLIENTS, LARGE.name: CLIENTS, HEAVY.name: (8,)}


def workloads(directory: Path, models: Path | None, seconds: int) -> tuple[Workload, ...]:
    """What is measured; without `models` (a repository with ResNet-50) the sample model only."""
    sample = lone_model(ROOT / "models", ModelRef("digits", 1), directory / "models-tiny")
    found = [Workload(TINY, sample.ref.name, {SMALL.name: CLIENTS}, seconds, sample)]
    if models is None:
        return tuple(found)
    for title, name in ((FP32, bench_models.FP32), (INT8, bench_models.INT8)):
        own = lone_model(models, ModelRef(name, 1), directory / f"models-{title}")
        found.append(Workload(title, name, HEAVY_ASKED, seconds, own, BATCH_WINDOWS))
    return tuple(found)


def plan_of(options: argparse.Namespace, directory: Path, generator: Generator, models: Path | None) -> Plan:
    """The whole comparison, as the options have it."""
    cores = len(os.sched_getaffinity(0))
    made = workloads(directory, models, options.seconds)
    ways = {
        CEILING: machine_ceiling(cores),
        IN_PROCESS: in_process(generator, options.processes or cores),
        RELEASED: with_release(generator, options.processes or cores),
        GRPC: behind_grpc(generator),
        BASELINE: plain_service(generator),
    }
    wanted = {name for workload in made for name in workload.asked}
    pictures = {name: write_picture(PICTURES[name], directory) for name in wanted}
    return Plan(made, ways, pictures, options.rounds, cores, tuple(options.rows))


def lone_plan(plan: Plan, generator: Generator, processes: int) -> Plan:
    """Memory, with nothing else running that shares pages with the servers and so takes part of them on itself."""
    asked = tuple(replace(each, asked={LARGE.name: (8,)}) for each in plan.workloads if LARGE.name in each.asked)
    return replace(plan, workloads=asked, ways={LONE: in_process(generator, processes)}, rounds=1)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5, help="for each row in each round")
    parser.add_argument(
        "--rows", action="append", default=[], help="only these, as 'resnet50-int8/12MP/*/c8'; repeat it"
    )
    parser.add_argument("--models", type=Path, default=None, help="where ResNet-50 is kept; made when it is not there")
    parser.add_argument("--processes", type=int, default=0, help="of the API with the engine inside; 0: one per core")
    parser.add_argument("--quick", action="store_true", help="2 rounds of 2 seconds: an idea, no measurement")
    parser.add_argument("--json", type=Path, help="a file for everything, each round too")
    parser.add_argument("--plot", type=Path, help="a file for an SVG")
    parser.add_argument("--strict", action="store_true", help="exit status 1 when a target is not met")
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds, options.seconds = 2, 2
    if options.rounds < 1 or options.seconds < 1:
        parser.error("--rounds and --seconds begin with 1")
    return options


def measure(options: argparse.Namespace, directory: Path, out: Console) -> int:
    """Everything, printed and written; the exit status."""
    generator = choose_generator(directory)
    only_tiny = bool(options.rows) and all(pattern.startswith(f"{TINY}/") for pattern in options.rows)
    models = None if only_tiny else bench_models.resnet50(options.models or bench_models.default_directory())
    if models is None and not only_tiny:
        out.print("ResNet-50 is left out: exporting it needs PyTorch (pip install 'grayscale[export]')")
    plan = plan_of(options, directory, generator, models)
    with Bars() as bars:
        measured = run_rounds(plan, directory, bars.tell)
        measured |= run_rounds(lone_plan(plan, generator, options.processes or plan.cores), directory, bars.tell)
    if not measured:
        raise MeasurementFailed(f"no row is called {' or '.join(options.rows)}")
    rows, made = rows_of(measured, plan.cores), circumstances(generator.name, plan.rounds, plan.cores)
    results = [each for each in outcomes(rows, measured) if each.target.point.matches(options.rows)]
    out.print(table_of(rows, made))
    out.print(outcome_table(results))
    if options.json:
        document = document_of(rows, measured, made) | {"targets": outcome_document(results)}
        options.json.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
    if options.plot:
        options.plot.write_text(svg_of(rows, made.sentence))
    failed = any(row.errors for row in rows)
    return int(failed or (options.strict and any(result.is_met is not True for result in results)))


def wide_console() -> Console:
    """The terminal, or as wide as the tables are where there is none."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=140)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    try:
        with ended_by_signal(), tempfile.TemporaryDirectory(prefix="grayscale-bench-") as directory:
            return measure(options, Path(directory), wide_console())
    except MeasurementFailed as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
