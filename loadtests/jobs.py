"""What bulk jobs can do, and what they cost people who wait: `python -m loadtests.jobs`.

Starts what `grayscale up` starts, in interleaved rounds, and measures the synchronous path's best (32 clients) against
a job from its acceptance to its end, without other load; then the latency of one client, without and with a job in
work. With the sample model and ResNet-50 int8 (exported once, which needs PyTorch); `--model-server` does the same
where the API and the worker share a model server. About 10 minutes; `--quick` less. Exit status: 0, also when a target
is not met (unless `--strict`); 1 when something was not answered.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import orjson

from loadtests import bench_models
from loadtests.baseline import ROOT
from loadtests.bench import wide_console
from loadtests.job_rows import JobRow, Round, bounds_of, document_of, images_for, row_of, table_of, window_s
from loadtests.job_stack import JobClient, archive_of, stack
from loadtests.overload_rows import bounds_table
from services.cli.measure.ended_by_signal import ended_by_signal
from services.cli.measure.grayscale_server import Serving
from services.cli.measure.load import Generator, MeasurementFailed, Request, choose_generator, upload
from services.cli.measure.lone_model import LoneModel, lone_model
from services.cli.measure.pictures import MEDIUM, SMALL, Picture, write_picture
from services.cli.measure.report import circumstances
from services.cli.progress import Bars
from services.shared.model_ref import ModelRef

TINY, INT8 = "tiny", "resnet50-int8"
OWN_ENGINE, SHARED = "own engine", "model server"
CLIENTS, WARM_CLIENTS, WARM_S, WARM_IMAGES = 32, 8, 2, 256
JOB_IMAGES, MAX_IMAGES = 500, 20_000  # 500 of the sample model are done before anything can be measured
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Subject:
    """A model, and how many images the job has beside which one client is measured."""

    title: str
    model: LoneModel
    picture: Picture
    images_beside: int


def subjects(options: argparse.Namespace, directory: Path) -> list[Subject]:
    """What is measured, as the options have it."""
    found = []
    if TINY in options.model:
        sample = lone_model(ROOT / "models", ModelRef("digits", 1), directory / "models-tiny")
        found.append(Subject(TINY, sample, SMALL, options.beside or MAX_IMAGES))
    if INT8 in options.model:
        models = bench_models.resnet50(options.models or bench_models.default_directory())
        if models is None:
            raise MeasurementFailed("ResNet-50 cannot be exported without PyTorch: pip install 'grayscale[export]'")
        own = lone_model(models, ModelRef(bench_models.INT8, 1), directory / "models-int8")
        found.append(Subject(INT8, own, MEDIUM, options.beside or JOB_IMAGES))
    return found


class RoundMeasure:
    """Measures one start of the servers. `turn` decides what comes first, so that neither gains by its place."""

    def __init__(self, subject: Subject, serving: Serving, generator: Generator, picture: Path, seconds: int) -> None:
        self._subject, self._serving, self._generator = subject, serving, generator
        self._picture, self._seconds = picture, seconds
        self._request: Request = upload(serving.predict_url(subject.model.ref.name), picture)
        self._jobs = JobClient(serving, subject.model.ref.name)

    def run(self, turn: int, tell: Tell) -> Round:
        tell("warming up")
        self._generator.run(self._request, WARM_CLIENTS, WARM_S)
        warm = self._jobs.ended(self._jobs.submit(archive_of(self._picture, WARM_IMAGES)))
        self._settle()
        bulk_first = turn % 2 == 1
        images = images_for(self._seconds, warm.images_per_s, MAX_IMAGES)
        if bulk_first:
            bulk_per_s, submit_s = self._bulk(images, tell)
        tell(f"{CLIENTS} clients")
        sync = self._generator.run(self._request, CLIENTS, self._seconds)
        self._settle()
        if not bulk_first:
            bulk_per_s, submit_s = self._bulk(images, tell)
        window = window_s(self._subject.images_beside, max(bulk_per_s, warm.images_per_s), self._seconds)
        tell("one client")
        alone = self._generator.run(self._request, 1, window)
        self._settle()
        tell("one client beside a job")
        job_id = self._jobs.submit(archive_of(self._picture, self._subject.images_beside))
        accepted_s = time.monotonic()
        beside = self._generator.run(self._request, 1, window)
        measured_s = time.monotonic() - accepted_s
        worked_s = self._jobs.ended(job_id).seconds
        covered = min(1.0, worked_s / measured_s)
        return Round(sync, images, bulk_per_s, submit_s, alone, beside, covered)

    def _bulk(self, images: int, tell: Tell) -> tuple[float, float]:
        """Images a second from the acceptance to the end, and the seconds until the acceptance."""
        archive = archive_of(self._picture, images)
        tell(f"a job of {images:,}: sent")
        begin_s = time.monotonic()
        job_id = self._jobs.submit(archive)
        submit_s = time.monotonic() - begin_s
        tell(f"a job of {images:,}: in work")
        run = self._jobs.ended(job_id)
        self._settle()
        return run.images_per_s, submit_s

    def _settle(self) -> None:
        """Until the last run is over for the servers too."""
        for process in self._serving.processes:
            process.wait_idle()


def measured(options: argparse.Namespace, directory: Path, generator: Generator) -> list[JobRow]:
    """A row for each model and way: `OWN_ENGINE` is the worker's own, `SHARED` the model server's."""
    asked = [(subject, way) for subject in subjects(options, directory) for way in options.way]
    rounds: dict[tuple[str, str], list[Round]] = {(subject.title, way): [] for subject, way in asked}
    steps = [(turn, subject, way) for turn in range(options.rounds) for subject, way in asked]
    with Bars() as bars:
        for step, (turn, subject, way) in enumerate(steps):
            about = f"round {turn + 1}: {subject.title}, {way}"
            tell = partial(_tell, bars, about, step, len(steps))
            rounds[subject.title, way].append(_round(options, subject, way, directory, generator, turn, tell))
        bars.tell("rounds", len(steps), len(steps))
    return [row_of(title, way, each) for (title, way), each in rounds.items()]


def _tell(bars: Bars, about: str, step: int, steps: int, what: str) -> None:
    bars.tell(f"{about}: {what}", step, steps)


def _round(
    options: argparse.Namespace,
    subject: Subject,
    way: str,
    directory: Path,
    generator: Generator,
    turn: int,
    tell: Tell,
) -> Round:
    tell("starting")
    place, picture = directory / "stack", write_picture(subject.picture, directory)
    serving = stack(
        subject.model.models,
        place,
        model_server=way == SHARED,
        variables=dict(options.set),
        max_images=MAX_IMAGES,
    )
    try:
        with serving as started:
            return RoundMeasure(subject, started, generator, picture, options.seconds).run(turn, tell)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", choices=(TINY, INT8), help="only this one; both without it")
    parser.add_argument("--models", type=Path, default=None, help="where ResNet-50 is kept; made when it is not there")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5, help="for each figure in each round, where the job lasts")
    parser.add_argument("--quick", action="store_true", help="2 rounds of 3 seconds: an idea, no measurement")
    parser.add_argument("--model-server", action="store_true", help="behind a shared model server instead")
    parser.add_argument("--both", action="store_true", help="with the worker's own engine and behind a model server")
    parser.add_argument(
        "--set", action="append", type=_variable, default=[], metavar="NAME=VALUE", help="a variable for the servers"
    )
    parser.add_argument("--beside", type=int, help="images of the job beside one client; 500, the sample model 20,000")
    parser.add_argument("--json", type=Path, help="a file for everything, each round too")
    parser.add_argument("--strict", action="store_true", help="exit status 1 when a target is not met")
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds, options.seconds = 2, 3
    if options.rounds < 1 or options.seconds < 1:
        parser.error("--rounds and --seconds begin with 1")
    if options.beside is not None and not 1 <= options.beside <= MAX_IMAGES:
        parser.error(f"--beside is 1 to {MAX_IMAGES}")
    options.model = options.model or [TINY, INT8]
    options.way = [OWN_ENGINE, SHARED] if options.both else [SHARED if options.model_server else OWN_ENGINE]
    return options


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def report(options: argparse.Namespace, directory: Path) -> int:
    """Everything, printed and written; the exit status."""
    generator, cores = choose_generator(directory), len(os.sched_getaffinity(0))
    rows = measured(options, directory, generator)
    bounds = {f"{row.title}, {row.way}": bounds_of(row, is_shared=row.way == SHARED) for row in rows}
    made, out = circumstances(generator.name, options.rounds, cores), wide_console()
    out.print(table_of(rows, made.sentence))
    if any(bounds.values()):
        out.print(bounds_table(bounds))
    if options.json:
        document = [document_of(row, each) for row, each in zip(rows, bounds.values(), strict=True)]
        options.json.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
    missed = any(bound.is_met is not True for each in bounds.values() for bound in each)
    return int(any(row.errors for row in rows) or (options.strict and missed))


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    try:
        with ended_by_signal(), tempfile.TemporaryDirectory(prefix="grayscale-jobs-") as directory:
            return report(options, Path(directory))
    except MeasurementFailed as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
