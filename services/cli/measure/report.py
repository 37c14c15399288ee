"""What was measured, as a table for people and a document for machines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from services.cli.measure.rows import CEILING, Measured, Row


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What figures mean nothing without."""

    processor: str
    cores: int
    generator: str
    versions: Mapping[str, str]
    rounds: int

    @property
    def sentence(self) -> str:
        """What stands below the figures."""
        return f"{self.processor}, {self.cores} cores; load by {self.generator}; medians of {self.rounds} rounds"


def circumstances(generator: str, rounds: int, cores: int) -> Circumstances:
    """Of this machine."""
    from importlib.metadata import version

    from services.shared.version import VERSION

    versions = {"grayscale": VERSION, **{name: version(name) for name in ("onnxruntime", "uvicorn")}}
    return Circumstances(_processor(), cores, generator, versions, rounds)


def _processor() -> str:
    from pathlib import Path

    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def table_of(rows: Sequence[Row], made: Circumstances) -> Table:
    """A row of the table for each row; columns that would be empty are left out; a row with errors is red."""
    table = Table(box=None, header_style="bold", padding=(0, 1, 0, 0), caption=made.sentence, caption_justify="left")
    columns = [column for column in _columns(rows) if any(column.cell(row) for row in rows)]
    for column in columns:
        table.add_column(column.heading, justify="right" if column.is_figure else "left")
    for row in rows:
        style = "red" if row.errors else "dim" if row.point.way == CEILING else None
        table.add_row(*(column.cell(row) for column in columns), style=style)
    return table


@dataclass(frozen=True, slots=True)
class _Column:
    heading: str
    cell: Callable[[Row], str]
    is_figure: bool = True


def _columns(rows: Sequence[Row]) -> tuple[_Column, ...]:
    proportional = all(row.memory.proportional for row in rows if row.memory)
    return (
        _Column("model", lambda row: row.point.model, is_figure=False),
        _Column("picture", lambda row: row.point.picture, is_figure=False),
        _Column("way", lambda row: row.point.way, is_figure=False),
        _Column("c", lambda row: str(row.point.concurrency)),
        _Column("req/s", lambda row: brief(row.requests_per_s)),
        _Column("p50 ms", lambda row: brief(row.p50_ms)),
        _Column("p95 ms", lambda row: brief(row.p95_ms)),
        _Column("p99 ms", lambda row: brief(row.p99_ms)),
        _Column("CPU-ms", lambda row: brief(row.cpu_ms)),
        # Resident bytes count what processes share once for each: they are not to be taken for the other.
        _Column("PSS MB" if proportional else "RSS MB (no PSS here)", _megabytes),
        _Column("of ceiling", lambda row: "" if row.of_ceiling is None else f"{row.of_ceiling:.2f}"),
        _Column("× baseline", lambda row: "" if row.of_baseline is None else f"{row.of_baseline:.2f}"),
        _Column("errors", lambda row: str(row.errors) if row.errors else ""),
    )


def _megabytes(row: Row) -> str:
    return f"{row.memory.size_bytes / 1e6:,.0f}" if row.memory else ""


def brief(value: float | None) -> str:
    """Three digits, and thousands whole; empty for nothing."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def document_of(rows: Sequence[Row], measured: Measured, made: Circumstances) -> dict[str, Any]:
    """Everything, each round too."""
    return {
        "circumstances": asdict(made),
        "rows": [
            {
                **{key: value for key, value in asdict(row).items() if key != "point"},
                "name": row.point.name,
                **asdict(row.point),
                "each_round": [asdict(sample) for sample in measured[row.point]],
            }
            for row in rows
        ],
    }
