"""The results of a job, each one once, over a server's restarts and this command's own."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import orjson

from services.cli.jobs.events import whole_lines
from services.cli.jobs.patience import Patience
from services.cli.jobs.result_rows import write_csv
from services.cli.jobs.server import Document, Final, JobServer, Passing, Silence, job_path
from services.cli.jobs.watch import POLL_S, is_ended, wait_found_again
from services.cli.terminal import Exit

LINES, CSV = (".jsonl", ".ndjson"), ".csv"


@dataclass(frozen=True, slots=True)
class ResultLine:
    """A line as it was served, without its end."""

    index: int
    line: bytes


@dataclass(frozen=True, slots=True)
class Saved:
    """What a file came to hold: `count` lines, of which `resumed` had come before; `job` as it was when it was read."""

    path: Path
    job: Document
    count: int
    resumed: int


def check_destination(path: Path) -> None:
    """Raises Final for a file that results cannot be written to, before any work is done for it."""
    if path.suffix.lower() not in (*LINES, CSV):
        raise Final(f"{path} is no {', '.join(LINES)} or {CSV} file", Exit.USAGE)
    if not path.parent.is_dir():
        raise Final(f"there is no directory {path.parent}", Exit.USAGE)


def follow_results(
    server: JobServer, job_id: str, patience: Patience, *, start: int = 0, follow: bool = False
) -> Iterator[Document | ResultLine]:
    """The results from index `start` on, in input order; before each reading of them the job as it was then.
    With `follow` until the job has ended, else those that are there. Raises Final."""
    next_index = start
    is_known = False
    while True:
        try:
            job = server.job(job_id)
            patience.answered()
            is_known = True
            yield job
            for line in _lines(server, job_id, next_index, follow):
                if line.index >= next_index:
                    next_index = line.index + 1
                    yield line
            # Whatever the stream had was there by then: only a job that had ended before it has no more to come.
            if is_ended(job) or not follow:
                return
            patience.pause(POLL_S)
        except Silence:
            continue
        except Passing as failure:
            patience.wait(failure)
        except Final as failure:
            wait_found_again(failure, patience, is_known=is_known)


def save_results(server: JobServer, job_id: str, path: Path, patience: Patience, *, follow: bool = False) -> Saved:
    """Writes them as lines or as CSV, by the file's name: into a file beside it that takes its place when all is there.

    That file stays when this is interrupted, and the next call goes on behind its last whole line. Raises Final.
    """
    check_destination(path)
    part = path.with_name(f".{path.name}.{job_id}.part")
    try:
        with _opened(part) as file:
            next_index, resumed = _go_on(file)
            job: Document = {}
            count = resumed
            for told in follow_results(server, job_id, patience, start=next_index, follow=follow):
                if isinstance(told, ResultLine):
                    file.write(told.line + b"\n")
                    count += 1
                else:
                    file.flush()
                    job = told
            file.flush()
            if path.suffix.lower() == CSV:
                finished = part.with_suffix(".csv-part")
                write_csv(part, finished)
                finished.replace(path)
                part.unlink()
            else:
                part.replace(path)
    except OSError as error:
        raise Final(f"{error.filename or path}: {error.strerror}", Exit.FAILED) from error
    return Saved(path, job, count, resumed)


def _lines(server: JobServer, job_id: str, start: int, follow: bool) -> Iterator[ResultLine]:
    query: dict[str, str | int] = {"from": start} | ({"follow": "true"} if follow else {})
    with server.stream(job_path(job_id, "results"), **query) as response:
        for line in whole_lines(response.iter_bytes()):
            index = _index(line)
            if index is None:
                raise Final("a line of the results is none: is it a Grayscale server?")
            yield ResultLine(index, line)


def _index(line: bytes) -> int | None:
    try:
        index = orjson.loads(line)["index"]
    except (orjson.JSONDecodeError, TypeError, KeyError):
        return None
    return index if isinstance(index, int) else None


@contextmanager
def _opened(part: Path) -> Iterator[BinaryIO]:
    """For this command alone: two would write their lines among each other's."""
    with part.open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Final("another command is writing these results", Exit.FAILED) from None
        yield file


def _go_on(file: BinaryIO) -> tuple[int, int]:
    """Cuts off a last line that is not whole; the next index and the number of the lines that are left."""
    file.seek(0)
    next_index = count = end = 0
    for line in file:
        index = _index(line) if line.endswith(b"\n") else None
        if index is None:
            break
        next_index, count, end = index + 1, count + 1, end + len(line)
    os.ftruncate(file.fileno(), end)
    return next_index, count
