"""`grayscale plan`: how many cores and replicas a load needs, from what one core of this machine was measured to do."""

from __future__ import annotations

import math
import re
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from services.cli.measure.service_times import MOST_ASKED
from services.cli.options import AsJson, Models
from services.cli.progress import Bars
from services.cli.terminal import Exit, fail, out, print_json
from services.shared.errors import ServingError

if TYPE_CHECKING:
    from services.cli.measure.capacity import Capacity
    from services.cli.measure.measured_service import MeasuredService

ASSUMPTIONS = (
    "requests come at random, independently of each other (Poisson), one picture each, and spread evenly over the "
    "processes",
    "each process of the API has one core for itself, as quick as this machine's, with the model inside",
    "the picture is a JPEG of that size made here; others of the size may take longer to decode",
    "measured with as many processes busy as there are here: one. More of them share memory and its bandwidth",
    f"no core is asked for more than {100 * MOST_ASKED:.0f} % of what it can do: above that no forecast holds",
    "no jobs, no explanations, no shadow beside it; no replica to spare: add what may fail at once",
)
_SIZE = re.compile(r"([1-9][0-9]{0,4})[xX×]([1-9][0-9]{0,4})")


def plan(
    model: Annotated[str, typer.Option(help="A model of the repository: NAME (its newest version) or NAME/VERSION.")],
    rps: Annotated[float, typer.Option(min=0.01, max=1e7, help="Requests a second.")],
    p99: Annotated[float, typer.Option(min=0.01, help="Milliseconds that 99 of 100 answers may take.")],
    image_size: Annotated[str, typer.Option(metavar="WxH", help="Of the pictures, in pixels.")] = "640x480",
    cores: Annotated[int, typer.Option(min=1, max=1024, help="Cores of one replica.")] = 4,
    models: Models = Path("models"),
    picture: Annotated[Path | None, typer.Option(help="A picture to measure with, whatever --image-size.")] = None,
    seconds: Annotated[float, typer.Option(min=0.2, max=600, help="For each of the measurements.")] = 3.0,
    as_json: AsJson = False,
) -> None:
    """Say how many cores a load needs. Measures one core of this machine, then simulates the queues."""
    size = _SIZE.fullmatch(image_size)
    if size is None:
        fail(f"--image-size is {image_size!r}: use WIDTHxHEIGHT in pixels, as 640x480", Exit.USAGE)
    if picture is not None and not picture.is_file():
        fail(f"no such file: {picture}", Exit.USAGE)
    from services.cli.measure.capacity import OutOfReach, needed
    from services.cli.measure.ended_by_signal import ended_by_signal
    from services.cli.measure.load import MeasurementFailed

    try:
        with ended_by_signal(), tempfile.TemporaryDirectory(prefix="grayscale-plan-") as made, Bars() as bars:
            measured = _measured(models, model, (int(size[1]), int(size[2])), picture, seconds, Path(made), bars)
            bars.tell("simulating", 0, 1)
            capacity = needed(measured.times, measured.rules, rps, p99)
            bars.tell("simulating", 1, 1)
    except (MeasurementFailed, OutOfReach) as error:
        fail(str(error), Exit.FAILED)
    except ServingError as error:
        fail(error.detail, Exit.FAILED)
    if as_json:
        print_json(document_of(measured, capacity, cores))
    else:
        out.print(table_of(measured, capacity, rps, p99, cores))
        for assumption in ASSUMPTIONS:
            out.print(f"[dim]assumed: {assumption}[/]")


def _measured(
    models: Path, name: str, size: tuple[int, int], picture: Path | None, seconds: float, directory: Path, bars: Bars
) -> MeasuredService:
    from exporters.parts import open_repository
    from services.cli.measure.lone_model import lone_model
    from services.cli.measure.measured_service import measure_service
    from services.cli.measure.own_core import one_core_server
    from services.cli.measure.pictures import Picture, write_picture
    from services.cli.profile import reference_of

    repository = open_repository(models)
    ref = reference_of(repository, name)
    own = lone_model(models, ref, directory / "models")
    width, height = size
    sent = picture or write_picture(Picture(f"{width}x{height}", width, height, ".jpg"), directory)
    bars.tell("starting a server", 0, 1)
    with one_core_server(own.models, directory) as serving:
        bars.tell("starting a server", 1, 1)
        return measure_service(serving, ref.name, repository.config(ref.name), sent, seconds=seconds, tell=bars.tell)


def replicas_of(capacity: Capacity, cores: int) -> int:
    """How many replicas of so many cores hold the processes."""
    return math.ceil(capacity.processes / cores)


def document_of(measured: MeasuredService, capacity: Capacity, cores: int) -> dict[str, Any]:
    """Everything, for machines; times in milliseconds."""
    times, rules = measured.times, measured.rules
    return {
        "cores": capacity.processes,
        "replicas": replicas_of(capacity, cores),
        "cores_per_replica": cores,
        "each": asdict(capacity.predicted),
        "most_per_core": capacity.most_per_s,
        "measured_ms": {
            "alone": measured.alone_ms,
            "decode": 1000 * times.mean_decode_s,
            "run": {str(n): 1000 * times.run_s[n] for n in times.run_s if n & (n - 1) == 0},
            "loop": 1000 * times.loop_s,
            "wire": 1000 * times.wire_s,
            "busy": 1000 * times.busy_s,
            "turn": None if times.turns is None else [1000 * times.turns.turn_s, 1000 * times.turns.each_s],
        },
        "measured_per_core": measured.busy_per_s,
        "largest_batch": rules.max_size,
        "assumptions": list(ASSUMPTIONS),
    }


def table_of(measured: MeasuredService, capacity: Capacity, rps: float, p99_ms: float, cores: int) -> Table:
    """For a person: the answer first."""
    each = capacity.predicted
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column()
    count = replicas_of(capacity, cores)
    table.add_row(
        "[bold]needed[/]",
        f"[bold]{capacity.processes} core{_s(capacity.processes)}[/], {count} replica{_s(count)} of {cores}: "
        f"{rps:g} requests a second, 99 of 100 within {p99_ms:g} ms",
    )
    table.add_row(
        "each core",
        f"{each.rate_per_s:.3g}/s, {100 * each.asked:.0f} % of what it can do; p50 {each.p50_ms:.3g} ms, "
        f"p99 {each.p99_ms:.3g} ms; within the target up to {capacity.most_per_s:.3g}/s",
    )
    table.add_row("measured", f"{_parts_of(measured)}; {measured.busy_per_s:.3g}/s when busy")
    return table


def _parts_of(measured: MeasuredService) -> str:
    times = measured.times
    waking = f", {1000 * times.wake_s:.3g} ms more after a pause"
    if times.turns is not None:
        turn, each = 1000 * times.turns.turn_s, 1000 * times.turns.each_s
        return f"a turn of the loop {turn:.3g} ms, and {each:.3g} ms for each request in it{waking}"
    return (
        f"decoding {1000 * times.mean_decode_s:.3g} ms, run {1000 * times.run_s[1]:.3g} ms (batches up to "
        f"{measured.rules.max_size}), everything else {1000 * times.loop_s:.3g} ms of the core and "
        f"{1000 * times.wire_s:.3g} ms beside it{waking}"
    )


def _s(count: int) -> str:
    return "" if count == 1 else "s"
