"""Whether `grayscale plan` foretells what is then measured: `python -m loadtests.plan_check`.

Measures one process on one core as the command does, then offers it shares of what the simulation says that the core
can do, in an open loop (Poisson arrivals), and prints the simulated and the measured median and 99th percentile side by
side. The generator has the machine's other cores. Exit status: 1 when an answer was not 200, and with `--strict` when a
median or a 99th percentile is out of the bounds that docs/capacity.md gives.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import orjson
from rich.table import Table

from exporters.parts import open_repository
from loadtests.baseline import ROOT
from loadtests.bench import wide_console
from services.cli.measure.load import MeasurementFailed, percentile, upload
from services.cli.measure.lone_model import lone_model
from services.cli.measure.measured_service import MeasuredService, measure_service, one_core_server
from services.cli.measure.open_loop import open_loop, poisson
from services.cli.measure.pictures import MEDIUM, SMALL, Picture, write_picture
from services.cli.measure.simulated_process import simulate
from services.cli.profile import reference_of
from services.cli.progress import Bars
from services.shared.repository.base import ModelRepository

SHARES = (0.3, 0.6, 0.8)
WITHIN = {"p50": 1.5, "p99": 2.0}  # factor, in either direction


@dataclass(frozen=True, slots=True)
class Row:
    """One load: what was foretold and what was measured, of the same arrivals."""

    picture: str
    share: float
    rate_per_s: float
    simulated_p50_ms: float
    measured_p50_ms: float
    simulated_p99_ms: float
    measured_p99_ms: float
    errors: int

    @property
    def is_within(self) -> bool:
        return all(
            1 / WITHIN[word] <= simulated / measured <= WITHIN[word]
            for word, simulated, measured in (
                ("p50", self.simulated_p50_ms, self.measured_p50_ms),
                ("p99", self.simulated_p99_ms, self.measured_p99_ms),
            )
        )


def rows_of(
    repository: ModelRepository, models: Path, name: str, picture: Picture, directory: Path, seconds: float, bars: Bars
) -> list[Row]:
    """All loads of one picture."""
    ref = reference_of(repository, name)
    own = lone_model(models, ref, directory / f"models-{picture.name}")
    path, rows = write_picture(picture, directory), []
    with one_core_server(own.models, directory / picture.name) as serving:
        config = repository.config(ref.name)
        measured = measure_service(serving, ref.name, config, path, seconds=seconds / 2, tell=bars.tell)
        most_per_s = 1 / measured.times.core_s(measured.rules.max_size)
        for index, share in enumerate(SHARES):
            bars.tell(f"{picture.name}: loads", index, len(SHARES))
            rate_per_s = share * most_per_s
            due_s = poisson(rate_per_s, seconds, seed=index)
            load = open_loop(upload(serving.predict_url(ref.name), path), due_s)
            simulated = _ascending_ms(measured, due_s)
            latencies = load.latencies_ms(200)
            rows.append(
                Row(
                    picture.name, share, rate_per_s,
                    percentile(simulated, 0.5), percentile(latencies, 0.5),
                    percentile(simulated, 0.99), percentile(latencies, 0.99),
                    len(due_s) - len(latencies),
                )
            )  # fmt: skip
            for process in serving.processes:
                process.wait_idle()
        bars.tell(f"{picture.name}: loads", len(SHARES), len(SHARES))
    return rows


def _ascending_ms(measured: MeasuredService, due_s: np.ndarray) -> list[float]:
    found: list[float] = np.sort(1000 * simulate(measured.times, measured.rules, due_s).latency_s).tolist()
    return found


def table_of(rows: Sequence[Row]) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    headings = ("picture", "of a core", "requests/s", "p50 foretold", "measured", "p99 foretold", "measured", "errors")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        figures = (row.simulated_p50_ms, row.measured_p50_ms, row.simulated_p99_ms, row.measured_p99_ms)
        table.add_row(
            row.picture, f"{row.share:g}", f"{row.rate_per_s:.3g}", *(f"{figure:.3g} ms" for figure in figures),
            str(row.errors), style=None if row.is_within else "yellow",
        )  # fmt: skip
    return table


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="digits", help="of --models; the sample model without it")
    parser.add_argument("--models", type=Path, default=ROOT / "models", help="the model repository")
    known = {each.name: each for each in (SMALL, MEDIUM)}
    parser.add_argument("--picture", action="append", choices=tuple(known), help="only this one; all without it")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each load")
    parser.add_argument("--json", type=Path, help="a file for everything")
    parser.add_argument("--strict", action="store_true", help="exit status 1 when a figure is out of its bounds")
    options = parser.parse_args(arguments)
    if options.seconds <= 0:
        parser.error("--seconds is more than 0")
    options.pictures = [known[name] for name in options.picture or known]
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    options, rows = parse(arguments), list[Row]()
    try:
        with tempfile.TemporaryDirectory(prefix="grayscale-plan-check-") as made, Bars() as bars:
            repository = open_repository(options.models)
            for picture in options.pictures:
                rows += rows_of(repository, options.models, options.model, picture, Path(made), options.seconds, bars)
    except MeasurementFailed as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    wide_console().print(table_of(rows))
    if options.json:
        options.json.write_bytes(orjson.dumps([asdict(row) | {"within": row.is_within} for row in rows]))
    failed = any(row.errors for row in rows)
    return int(failed or (options.strict and not all(row.is_within for row in rows)))


if __name__ == "__main__":
    sys.exit(main())
