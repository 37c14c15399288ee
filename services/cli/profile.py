"""`grayscale profile`: how fast published models are on this machine."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from services.cli.options import AsJson, Models
from services.cli.progress import Bars
from services.cli.terminal import Exit, fail, out, print_json
from services.shared.clock import SystemClock
from services.shared.errors import ServingError
from services.shared.model_ref import ModelRef, parse_version
from services.shared.repository.base import ModelRepository

if TYPE_CHECKING:
    from exporters.base import Timing
    from exporters.profile import Subject

BATCHES, SECONDS = (1, 8, 32), 1.0


def profile(
    names: Annotated[list[str], typer.Argument(help="Published models: NAME (its newest version) or NAME/VERSION.")],
    models: Models = Path("models"),
    batch: Annotated[list[int] | None, typer.Option(min=1, max=4096, help="A batch size; repeat it.")] = None,
    threads: Annotated[
        list[int] | None, typer.Option(min=1, max=1024, help="Threads of a run; repeat it. Default: 1 and every core.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.01, max=600, help="For each batch size and thread count.")] = SECONDS,
    as_json: AsJson = False,
) -> None:
    """Measure latency and throughput; several models take turns, so that the machine's moods hit all alike."""
    from exporters.base import ExportFailed
    from exporters.parts import backends, cores, open_repository
    from exporters.profile import Plan, measure

    plan = Plan(tuple(batch or BATCHES), tuple(sorted(set(threads or (1, cores())))), seconds)
    try:
        repository = open_repository(models)
        subjects = [subject_of(repository, name) for name in dict.fromkeys(names)]
        with Bars() as bars:
            timings = measure(subjects, backends(), plan, clock=SystemClock(), tell=bars.tell)
    except ExportFailed as error:
        fail(str(error), Exit.FAILED)
    except ServingError as error:
        fail(error.detail, Exit.FAILED)
    if as_json:
        print_json({title: [asdict(timing) for timing in rows] for title, rows in timings.items()})
    else:
        out.print(table_of(timings))


def subject_of(repository: ModelRepository, text: str) -> Subject:
    """`name` or `name/version` as a subject; raises NotFound or InvalidInput."""
    from exporters.profile import Subject

    ref = reference_of(repository, text)
    return Subject(str(ref), repository.artifact(ref).path, repository.config(ref.name))


def reference_of(repository: ModelRepository, text: str) -> ModelRef:
    """`name` means its newest version."""
    name, _, version = text.partition("/")
    if version:
        return ModelRef(name, parse_version(version))
    versions = repository.versions(name)
    if not versions:
        fail(f"model {name} has no version yet: `grayscale export {name}` makes one", Exit.FAILED)
    return ModelRef(name, versions[-1])


def table_of(timings: dict[str, tuple[Timing, ...]]) -> Table:
    """Times in milliseconds; the factor is against the first model with the same threads and batch."""
    table = Table(box=None, header_style="bold", padding=(0, 1, 0, 0))
    table.add_column("model", no_wrap=True)
    for heading in ("threads", "batch", "images/s", "", "mean", "± std", "p50", "p95", "p99", "memory"):
        table.add_column(heading, justify="right", no_wrap=True)
    first = {(t.threads, t.batch): t.images_per_s for t in next(iter(timings.values()), ())}
    for title, rows in timings.items():
        for t in rows:
            base = first.get((t.threads, t.batch))
            table.add_row(
                title,
                str(t.threads),
                str(t.batch),
                f"[bold]{t.images_per_s:,.1f}[/]",
                f"{t.images_per_s / base:.2f}×" if base else "–",
                *(f"{value:.3g}" for value in (t.mean_ms, t.std_ms, t.p50_ms, t.p95_ms, t.p99_ms)),
                f"{t.resident_bytes / 1e6:.0f} MB",
            )
    return table
