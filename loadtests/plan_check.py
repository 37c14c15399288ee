"""Whether `grayscale plan` foretells what is then measured: `python -m loadtests.plan_check`.

Measures one process on one core as the command does, then offers it shares of what it was measured to do, in an open
loop (Poisson arrivals), and simulates the same arrivals, as they really left. All of this several times over, one
picture after the other; of the factors between simulation and measurement the median is judged, so that a moment in
which the machine did something else decides nothing. The generator has the machine's other cores. Exit status: 1 when
an answer was not 200, and with `--strict` when a median or a 99th percentile is out of the bounds that
docs/capacity.md gives.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import orjson
from rich.table import Table

from exporters.parts import open_repository
from loadtests.baseline import ROOT
from loadtests.bench import wide_console
from services.cli.measure.ended_by_signal import ended_by_signal
from services.cli.measure.grayscale_server import Serving
from services.cli.measure.load import MeasurementFailed, percentile, upload
from services.cli.measure.lone_model import lone_model
from services.cli.measure.measured_service import measure_service
from services.cli.measure.open_loop import open_loop, poisson
from services.cli.measure.own_core import one_core_server
from services.cli.measure.pictures import MEDIUM, SMALL, write_picture
from services.cli.measure.service_times import MOST_ASKED
from services.cli.measure.simulated_process import simulate
from services.cli.profile import reference_of
from services.cli.progress import Bars
from services.shared.model_config import ModelConfig

SHARES = (0.3, 0.5, MOST_ASKED)
WITHIN = {"p50": 1.5, "p99": 2.0}  # factor, in either direction
CONNECTIONS = 128
_FILLING = 0.1  # of a load: queues fill


@dataclass(frozen=True, slots=True)
class Take:
    """One load, once: what was foretold and what was measured of the same arrivals, and how late the generator was."""

    rate_per_s: float
    simulated_p50_ms: float
    measured_p50_ms: float
    simulated_p99_ms: float
    measured_p99_ms: float
    late_p99_ms: float
    errors: int


@dataclass(frozen=True, slots=True)
class Row:
    """One picture at one share of what the core can do."""

    picture: str
    share: float
    takes: tuple[Take, ...]

    def middle(self, name: str) -> float:
        """The median of one of the figures."""
        return statistics.median(float(getattr(take, name)) for take in self.takes)

    def factor(self, word: str) -> float:
        """The median of foretold / measured."""
        pairs = [(getattr(take, f"simulated_{word}_ms"), getattr(take, f"measured_{word}_ms")) for take in self.takes]
        return statistics.median(float(foretold / (measured or 1e-9)) for foretold, measured in pairs)

    @property
    def errors(self) -> int:
        return sum(take.errors for take in self.takes)

    @property
    def is_within(self) -> bool:
        return all(1 / most <= self.factor(word) <= most for word, most in WITHIN.items())


@dataclass(frozen=True, slots=True)
class Subject:
    """A started server and what it is asked."""

    picture: str
    serving: Serving
    model: str
    config: ModelConfig
    path: Path

    def takes(self, shares: Sequence[float], seconds: float, seed: int, bars: Bars) -> list[Take]:
        """One of each share, by one measurement of the server."""
        measured = measure_service(
            self.serving, self.model, self.config, self.path, seconds=seconds / 2, tell=bars.tell
        )
        times, found = measured.times, list[Take]()
        for index, share in enumerate(shares):
            bars.tell(f"{self.picture}: loads", index, len(shares))
            rate_per_s = share / times.busy_s
            due_s = poisson(rate_per_s, seconds, seed=seed + index)
            load = open_loop(upload(self.serving.predict_url(self.model), self.path), due_s, open_ahead=CONNECTIONS)
            sent = np.argsort(load.sent_s)[int(_FILLING * len(due_s)) :]
            foretold_s = simulate(times, measured.rules, np.sort(load.sent_s), seed=seed).latency_s[-len(sent) :]
            foretold, latencies = (
                np.sort(1000 * each).tolist() for each in (foretold_s, (load.done_s - load.sent_s)[sent])
            )
            found.append(
                Take(
                    rate_per_s, percentile(foretold, 0.5), percentile(latencies, 0.5), percentile(foretold, 0.99),
                    percentile(latencies, 0.99), load.late_p99_ms, int((load.status != 200).sum()),
                )
            )  # fmt: skip
            for process in self.serving.processes:
                process.wait_idle()
        bars.tell(f"{self.picture}: loads", len(shares), len(shares))
        return found


def rows_of(options: argparse.Namespace, directory: Path, bars: Bars) -> list[Row]:
    """All loads of all pictures, each so many times, taken in turns."""
    repository = open_repository(options.models)
    ref = reference_of(repository, options.model)
    config = repository.config(ref.name)
    with ExitStack() as stack:
        subjects = []
        for picture in options.pictures:
            own = lone_model(options.models, ref, directory / f"models-{picture.name}")
            serving = stack.enter_context(one_core_server(own.models, directory / picture.name))
            subjects.append(Subject(picture.name, serving, ref.name, config, write_picture(picture, directory)))
        rounds = [
            [each.takes(options.shares, options.seconds, 100 * number, bars) for each in subjects]
            for number in range(options.times)
        ]
    return [
        Row(subject.picture, share, tuple(round_[i][j] for round_ in rounds))
        for i, subject in enumerate(subjects)
        for j, share in enumerate(options.shares)
    ]


def table_of(rows: Sequence[Row]) -> Table:
    """Medians; a row out of its bounds is yellow."""
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    headings = ("picture", "of a core", "requests/s", "p50 foretold", "measured", "p99 foretold", "measured")
    for heading in (*headings, "p50 factor", "p99 factor", "generator late", "errors"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        names = ("simulated_p50_ms", "measured_p50_ms", "simulated_p99_ms", "measured_p99_ms")
        table.add_row(
            row.picture, f"{row.share:g}", f"{row.middle('rate_per_s'):.3g}",
            *(f"{row.middle(name):.3g} ms" for name in names), f"{row.factor('p50'):.2f}", f"{row.factor('p99'):.2f}",
            f"{row.middle('late_p99_ms'):.2g} ms", str(row.errors), style=None if row.is_within else "yellow",
        )  # fmt: skip
    return table


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="digits", help="of --models; the sample model without it")
    parser.add_argument("--models", type=Path, default=ROOT / "models", help="the model repository")
    known = {each.name: each for each in (SMALL, MEDIUM)}
    parser.add_argument("--picture", action="append", choices=tuple(known), help="only this one; all without it")
    parser.add_argument("--shares", type=float, nargs="+", default=SHARES, help="of what the core can do")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each load")
    parser.add_argument("--times", type=int, default=5, help="how often everything is measured")
    parser.add_argument("--json", type=Path, help="a file for everything")
    parser.add_argument("--strict", action="store_true", help="exit status 1 when a figure is out of its bounds")
    options = parser.parse_args(arguments)
    if options.seconds <= 0 or options.times < 1 or min(options.shares) <= 0:
        parser.error("--seconds, --times and --shares are more than 0")
    options.pictures = [known[name] for name in options.picture or known]
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    try:
        with (
            ended_by_signal(),
            tempfile.TemporaryDirectory(prefix="grayscale-plan-check-") as made,
            Bars() as bars,
        ):
            rows = rows_of(options, Path(made), bars)
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
