"""What a release's shadow costs live requests: `python -m loadtests.shadow_cost`.

One server has the same model under three names: `free` has no release, `watched` has one that mirrors nothing, and
`mirrored` one that mirrors every request to a fourth copy. Loads of shares of the capacity (Poisson arrivals, the same
for all three) go to one after the other, round after round, so that a machine that slows down slows all of them; the
latencies of all rounds are put together. With the sample model and ResNet-50 int8 (exported once, which needs PyTorch).
The generator runs on the same cores.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
from rich.table import Table

from loadtests import bench_models
from loadtests.baseline import ROOT
from loadtests.bench import wide_console
from services.cli.measure.ended_by_signal import ended_by_signal
from services.cli.measure.grayscale_server import Serving, api
from services.cli.measure.load import MeasurementFailed, Request, percentile, upload
from services.cli.measure.lone_model import lone_model
from services.cli.measure.open_load import OK
from services.cli.measure.open_loop import closed_loop, open_loop, poisson
from services.cli.measure.pictures import MEDIUM, SMALL, Picture, write_picture
from services.shared.model_ref import ModelRef
from services.shared.release.routing import ReleaseRouting, Shadow, Sticky
from services.shared.release_store.last_known import LastKnownRouting
from services.shared.telemetry.sum_over_processes import PUBLISH_S

FREE, WATCHED, MIRRORED, CANDIDATE = "free", "watched", "mirrored", "candidate"
ASKED = (FREE, WATCHED, MIRRORED)
TINY, INT8 = "tiny", "resnet50-int8"
SHARES = (0.25, 0.5, 0.8)
CLIENTS = 8
WARM_S = 2.0
_COUNTED = re.compile(rb'grayscale_release_(compared|shadows_dropped)_total\{[^}]*arm="shadow"[^}]*\} (\d+)')
_NAME = re.compile(r'^name: "[^"]*"\n', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Subject:
    title: str
    models: Path
    ref: ModelRef
    picture: Picture


@dataclass(frozen=True, slots=True)
class Row:
    """Live answers of one name under one load, all rounds together. `share` 0 stands for CLIENTS that ask again at
    once. Latencies are of the answers; `refused` requests got a 503. `compared` and `dropped` are the shadow's."""

    name: str
    share: float
    requests_per_s: float
    refused: int
    p50_ms: float
    p99_ms: float
    compared: int
    dropped: int


def subjects(options: argparse.Namespace) -> Iterator[Subject]:
    if TINY in options.model:
        yield Subject(TINY, ROOT / "models", ModelRef("digits", 1), SMALL)
    if INT8 in options.model:
        models = bench_models.resnet50(options.models or bench_models.default_directory())
        if models is None:
            raise MeasurementFailed("ResNet-50 cannot be exported without PyTorch: pip install 'grayscale[export]'")
        yield Subject(INT8, models, ModelRef(bench_models.INT8, 1), MEDIUM)


def prepare(subject: Subject, directory: Path) -> Path:
    """The model under all names, and what the server is to know of their releases."""
    models = directory / "models"
    for name in (*ASKED, CANDIDATE):
        own = lone_model(subject.models, subject.ref, directory / f"of-{name}").directory
        config = own / "config.pbtxt"
        text = config.read_text()
        config.unlink()  # it is a link to the original
        config.write_text(_NAME.sub("", text))
        models.mkdir(parents=True, exist_ok=True)
        own.rename(models / name)
    shadow = Shadow(ModelRef(CANDIDATE, 1), 100.0)
    LastKnownRouting(directory / "data").write({WATCHED: routing(WATCHED), MIRRORED: routing(MIRRORED, shadow)})
    return models


def routing(model: str, shadow: Shadow | None = None) -> ReleaseRouting:
    stable = ModelRef(model, 1)
    return ReleaseRouting(f"r-{model}", model, 0, os.urandom(16), Sticky.KEY, stable, (), shadow, tuple(range(10)))


def counted(serving: Serving) -> tuple[int, int]:
    """How many copies were compared, and how many dropped."""
    with urllib.request.urlopen(f"{serving.url}/metrics", timeout=10) as answer:
        found = {name: int(count) for name, count in _COUNTED.findall(answer.read())}
    return found.get(b"compared", 0), found.get(b"shadows_dropped", 0)


@dataclass(slots=True)
class _Measured:
    latencies_ms: list[float]
    good: int = 0
    refused: int = 0
    seconds: float = 0.0
    compared: int = 0
    dropped: int = 0


def rows_of(subject: Subject, serving: Serving, directory: Path, options: argparse.Namespace) -> list[Row]:
    picture = write_picture(subject.picture, directory)
    requests = {name: upload(serving.predict_url(name), picture) for name in ASKED}
    for request in requests.values():
        closed_loop(request, CLIENTS, min(WARM_S, 2 * options.seconds))
    load = closed_loop(requests[WATCHED], CLIENTS, options.seconds)
    capacity = load.goodput(options.seconds / 10, options.seconds)
    before = settled(serving)
    measured = {(name, share): _Measured([]) for share in (*SHARES, 0.0) for name in ASKED}
    for number in range(options.rounds):
        for (name, share), found in measured.items():
            measure_one(requests[name], share * capacity, options.seconds, number, found)
            if name == MIRRORED:
                after = settled(serving)
                found.compared += after[0] - before[0]
                found.dropped += after[1] - before[1]
                before = after
    return [row_of(name, share, found) for (name, share), found in measured.items()]


def measure_one(request: Request, rate: float, seconds: float, seed: int, found: _Measured) -> None:
    load = open_loop(request, poisson(rate, seconds, seed)) if rate else closed_loop(request, CLIENTS, seconds)
    if load.errors:
        raise MeasurementFailed(f"neither answered nor refused: {load.statuses()}")
    latencies_ms = load.latencies_ms(OK)
    found.latencies_ms += latencies_ms
    found.good += len(latencies_ms)
    found.refused += len(load.status) - len(latencies_ms)
    found.seconds += seconds


def settled(serving: Serving) -> tuple[int, int]:
    """`counted`, when what was mirrored is done with and every process has told so."""
    for process in serving.processes:
        process.wait_idle()
    time.sleep(2 * PUBLISH_S)
    return counted(serving)


def row_of(name: str, share: float, found: _Measured) -> Row:
    ascending = sorted(found.latencies_ms)
    p50, p99 = percentile(ascending, 0.5), percentile(ascending, 0.99)
    return Row(name, share, found.good / found.seconds, found.refused, p50, p99, found.compared, found.dropped)


def table_of(title: str, rows: Sequence[Row]) -> Table:
    table = Table("load", "model", "answers/s", "refused", "p50 ms", "p99 ms", "compared", "dropped", title=title)
    for row in rows:
        load = f"{row.share:g} × capacity" if row.share else f"{CLIENTS} clients"
        shadows = (f"{row.compared:,}", f"{row.dropped:,}") if row.name == MIRRORED else ("", "")
        live = (f"{row.requests_per_s:,.0f}", f"{row.refused:,}", f"{row.p50_ms:.2f}", f"{row.p99_ms:.2f}")
        table.add_row(load, row.name, *live, *shadows)
    return table


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", choices=(TINY, INT8), help="only this one; both without it")
    parser.add_argument("--models", type=Path, default=None, help="where ResNet-50 is kept; made when it is not there")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each load in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=0, help="of the API; 0: one per core")
    parser.add_argument("--json", type=Path, help="a file for everything")
    options = parser.parse_args(arguments)
    options.model = options.model or [TINY, INT8]
    if options.seconds <= 0 or options.rounds < 1:
        parser.error("--seconds is more than 0, and --rounds 1 or more")
    return options


def measure(options: argparse.Namespace, directory: Path) -> None:
    cores, out, document = len(os.sched_getaffinity(0)), wide_console(), {}
    for subject in subjects(options):
        at = directory / subject.title
        models = prepare(subject, at)
        with api(models, at, processes=options.processes or cores) as serving:
            rows = rows_of(subject, serving, directory, options)
        out.print(table_of(f"{subject.title}, {cores} cores", rows))
        document[subject.title] = rows
    if options.json:
        options.json.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    try:
        with ended_by_signal(), tempfile.TemporaryDirectory(prefix="grayscale-shadow-") as directory:
            measure(options, Path(directory))
    except MeasurementFailed as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
