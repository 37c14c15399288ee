"""`grayscale bench`: how fast models are served on this machine, against what the machine can do; or how fast a running
server is."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.options import AsJson, Key, Models
from services.cli.progress import Bars
from services.cli.server_client import ServerClient
from services.cli.terminal import Exit, fail, out, print_json
from services.shared.errors import ServingError

if TYPE_CHECKING:
    from services.cli.measure.load import Generator
    from services.cli.measure.plans import Effort
    from services.cli.measure.rounds import Open, Plan

CLIENTS, ROUNDS, SECONDS = (1, 8, 32), 3, 3


def bench(
    names: Annotated[list[str] | None, typer.Argument(help="Models (NAME, or NAME/VERSION); without one, all.")] = None,
    models: Models = Path("models"),
    url: Annotated[
        str | None, typer.Option(help="A running server to measure, instead of one started for it from --models.")
    ] = None,
    key: Key = None,
    picture: Annotated[Path | None, typer.Option(help="What is sent. Default: a picture made for it.")] = None,
    concurrency: Annotated[list[int] | None, typer.Option(min=1, max=4096, help="Clients at once; repeat it.")] = None,
    processes: Annotated[int, typer.Option(min=0, max=256, help="API processes; 0: one per CPU core.")] = 0,
    model_server: Annotated[bool, typer.Option("--model-server", help="Behind a model server as well.")] = False,
    rounds: Annotated[
        int, typer.Option(min=1, max=100, help="Each measures every row once; medians are shown.")
    ] = ROUNDS,
    seconds: Annotated[int, typer.Option(min=1, max=600, help="For each row in each round.")] = SECONDS,
    plot: Annotated[Path | None, typer.Option(help="A file for a picture of the figures (SVG).")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure requests per second, latency, CPU time and memory under closed-loop load, by turns."""
    if picture is not None and not picture.is_file():
        fail(f"no such file: {picture}", Exit.USAGE)
    from services.cli.measure.ended_by_signal import ended_by_signal
    from services.cli.measure.load import MeasurementFailed, choose_generator
    from services.cli.measure.plans import Effort

    effort = Effort(tuple(dict.fromkeys(concurrency or CLIENTS)), rounds, seconds, picture)
    wanted = tuple(dict.fromkeys(names or ()))
    try:
        with ended_by_signal(), tempfile.TemporaryDirectory(prefix="grayscale-bench-") as made:
            directory = Path(made)
            generator = choose_generator(directory)
            if url is None:
                plan = _of_models(models, wanted, _ways(generator, processes, model_server), effort, directory)
            else:
                plan = _of_server(url, key, wanted, generator, effort, directory)
            failed = _measure(plan, generator, directory, plot, as_json)
    except MeasurementFailed as error:
        fail(str(error), Exit.FAILED)
    except ServingError as error:
        fail(error.detail, Exit.FAILED)
    if failed:
        fail("not every answer was a good one: see the column `errors`", Exit.FAILED)


def _ways(generator: Generator, processes: int, model_server: bool) -> dict[str, Open]:
    from services.cli.measure.rows import CEILING, GRPC, IN_PROCESS
    from services.cli.measure.ways import behind_grpc, in_process, machine_ceiling

    ways = {CEILING: machine_ceiling(cores()), IN_PROCESS: in_process(generator, processes or cores())}
    return ways | {GRPC: behind_grpc(generator)} if model_server else ways


def _of_models(models: Path, names: Sequence[str], ways: Mapping[str, Open], effort: Effort, directory: Path) -> Plan:
    """Servers of its own, each with one model, and the ceiling beside them."""
    from exporters.parts import open_repository
    from services.cli.measure.plans import models_plan
    from services.cli.profile import reference_of

    repository = open_repository(models)
    refs = [reference_of(repository, name) for name in names or repository.names()]
    if not refs:
        fail(f"{models} has no models", Exit.FAILED)
    return models_plan(models, repository, refs, ways, effort, directory, cores())


def _of_server(
    url: str, key: str | None, names: Sequence[str], generator: Generator, effort: Effort, directory: Path
) -> Plan:
    """Somebody's server: what its models take is asked of it."""
    from services.cli.measure.pictures import fitting_picture
    from services.cli.measure.plans import server_plan
    from services.cli.measure.ways import running_server

    with ServerClient(url, key=key) as server:
        known = [model["name"] for model in server.request("GET", "/v1/models")["models"] if model["default"]]
        wanted = tuple(names) or tuple(dict.fromkeys(known))
        if not wanted:
            fail(f"{url} has no model that answers", Exit.FAILED)
        shapes = {name: server.request("GET", f"/v2/models/{name}")["inputs"][0]["shape"] for name in wanted}
    ways = {"server": running_server(url, key, generator)}
    return server_plan(
        {name: fitting_picture(*shape[-3:-1]) for name, shape in shapes.items()}, ways, effort, directory, cores()
    )


def _measure(plan: Plan, generator: Generator, directory: Path, plot: Path | None, as_json: bool) -> bool:
    """Prints and writes what it measured; whether there were errors."""
    from services.cli.measure.plot import svg_of
    from services.cli.measure.report import circumstances, document_of, table_of
    from services.cli.measure.rounds import run_rounds
    from services.cli.measure.rows import rows_of

    with Bars() as bars:
        measured = run_rounds(plan, directory, bars.tell)
    rows, made = rows_of(measured, plan.cores), circumstances(generator.name, plan.rounds, plan.cores)
    if as_json:
        print_json(document_of(rows, measured, made))
    else:
        out.print(table_of(rows, made))
    if plot is not None:
        plot.write_text(svg_of(rows, made.sentence))
    return any(row.errors for row in rows)


def cores() -> int:
    """The CPU cores that this process may use."""
    return len(os.sched_getaffinity(0))
