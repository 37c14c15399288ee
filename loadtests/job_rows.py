"""What bulk jobs did beside the synchronous path, round by round, and whether they met their targets. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from rich.table import Table

from loadtests.overload_rows import Bound
from services.cli.measure.load import Load
from services.cli.measure.report import brief

LEAST_OF_SYNC = 0.95
MOST_OF_P99 = 1.5


@dataclass(frozen=True, slots=True)
class Round:
    """One start of the servers. `sync` is the best of the synchronous path, without a job; `bulk_per_s` counts from a
    job's acceptance to its end, without other load. `alone` and `beside` are of one client that asks again at once,
    without and with a job in work; `covered` is the share of the latter time for which the job was in work."""

    sync: Load
    bulk_images: int
    bulk_per_s: float
    submit_s: float
    alone: Load
    beside: Load
    covered: float = 1.0

    @property
    def errors(self) -> int:
        return self.sync.errors + self.alone.errors + self.beside.errors


@dataclass(frozen=True, slots=True)
class JobRow:
    """Medians over the rounds; a ratio is the median of the rounds' ratios."""

    title: str
    way: str
    sync_per_s: float
    bulk_per_s: float
    of_sync: float
    submit_per_s: float
    p50_alone_ms: float
    p50_ratio: float
    p99_alone_ms: float
    p99_beside_ms: float
    p99_ratio: float
    beside_per_s: float
    covered: float
    errors: int
    rounds: tuple[Round, ...]


def row_of(title: str, way: str, rounds: Sequence[Round]) -> JobRow:
    """Of at least one round."""

    def middle(figure: Callable[[Round], float]) -> float:
        return median(figure(each) for each in rounds)

    return JobRow(
        title=title,
        way=way,
        sync_per_s=middle(lambda each: each.sync.requests_per_s),
        bulk_per_s=middle(lambda each: each.bulk_per_s),
        of_sync=middle(lambda each: each.bulk_per_s / max(each.sync.requests_per_s, 1e-9)),
        submit_per_s=middle(lambda each: each.bulk_images / max(each.submit_s, 1e-9)),
        p50_alone_ms=middle(lambda each: each.alone.p50_ms),
        p50_ratio=middle(lambda each: each.beside.p50_ms / max(each.alone.p50_ms, 1e-9)),
        p99_alone_ms=middle(lambda each: each.alone.p99_ms),
        p99_beside_ms=middle(lambda each: each.beside.p99_ms),
        p99_ratio=middle(lambda each: each.beside.p99_ms / max(each.alone.p99_ms, 1e-9)),
        beside_per_s=middle(lambda each: each.beside.requests_per_s),
        covered=min(each.covered for each in rounds),
        errors=sum(each.errors for each in rounds),
        rounds=tuple(rounds),
    )


def bounds_of(row: JobRow, *, is_shared: bool) -> tuple[Bound, ...]:
    """The targets of a row. Behind a model server that is shared the figures are reported and nothing is asked of
    them; a row with errors has measured nothing."""
    if is_shared:
        return ()
    of_sync, p99_ratio = (None, None) if row.errors else (row.of_sync, row.p99_ratio)
    return (
        Bound("a bulk job, of the synchronous path's best", LEAST_OF_SYNC, True, of_sync),
        Bound("p99 of one client beside a job, of that without", MOST_OF_P99, False, p99_ratio),
    )


def window_s(images: int, images_per_s: float, longest_s: int) -> int:
    """Whole seconds for which a job that was just accepted is surely in work: it is slower beside other load."""
    return max(1, min(longest_s, round(0.9 * images / max(images_per_s, 1e-9))))


def images_for(seconds: float, images_per_s: float, most: int) -> int:
    """How many images keep the worker busy for about so long: whole hundreds, at least one and at most `most`."""
    return max(100, min(most, round(seconds * images_per_s / 100) * 100))


def table_of(rows: Sequence[JobRow], caption: str) -> Table:
    """For people."""
    table = Table(box=None, header_style="bold", padding=(0, 1, 0, 0), caption=caption, caption_justify="left")
    table.add_column("model", no_wrap=True)
    table.add_column("way", no_wrap=True)
    for heading in ("sync/s", "job/s", "ratio", "staged/s", "c1 p50", "× with job", "c1 p99", "with job", "×",
                    "covered", "errors"):  # fmt: skip
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            row.title,
            row.way,
            brief(row.sync_per_s),
            brief(row.bulk_per_s),
            f"{row.of_sync:.2f}",
            brief(row.submit_per_s),
            brief(row.p50_alone_ms),
            f"{row.p50_ratio:.2f}",
            brief(row.p99_alone_ms),
            brief(row.p99_beside_ms),
            f"{row.p99_ratio:.2f}",
            f"{row.covered:.0%}",
            str(row.errors) if row.errors else "",
            style="red" if row.errors else None,
        )
    return table


def document_of(row: JobRow, bounds: Sequence[Bound]) -> dict[str, Any]:
    """For machines, each round too."""
    return {**asdict(row), "targets": [{**asdict(bound), "is_met": bound.is_met} for bound in bounds]}
