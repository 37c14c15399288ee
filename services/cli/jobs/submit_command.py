"""`grayscale jobs submit`: images to a running server, and with --wait to the end of their jobs."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote

import typer
from rich.markup import escape

from services.cli.jobs.ending import ending
from services.cli.jobs.patience import Patience
from services.cli.jobs.results import check_destination, save_results
from services.cli.jobs.server import Document, Failure, Final, JobServer
from services.cli.jobs.shown import JobBars, UploadBar, summary_of
from services.cli.jobs.sources import BadSource, Sources, find_sources
from services.cli.jobs.submit import IDEMPOTENCY_KEY, Accepted, Order, TooLarge, parcels_of, send_all
from services.cli.jobs.watch import watch, went_well
from services.cli.options import AsJson, Key, Url
from services.cli.predict import only_model
from services.cli.server_client import ServerClient, reason_of
from services.cli.terminal import Exit, err, fail, out, print_json

_NOT_FOUND = 404
_INTERRUPTED = 130  # as shells have it for SIGINT


def submit(
    sources: Annotated[list[str], typer.Argument(help="Directories, patterns, zip archives and pictures.")],
    model: Annotated[str | None, typer.Option(help="The model's name; not needed when the server has one.")] = None,
    version: Annotated[int | None, typer.Option(min=1, help="Pins a version of the model.")] = None,
    top_k: Annotated[int, typer.Option(min=1, max=100, help="How many predictions for each picture.")] = 5,
    priority: Annotated[Literal["high", "normal", "low"], typer.Option(help="Which jobs go first.")] = "normal",
    timeout: Annotated[float | None, typer.Option(min=0.001, help="Seconds after which a job is given up.")] = None,
    callback_url: Annotated[str | None, typer.Option(help="Where the server posts the job when it has ended.")] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(help="The same key and the same pictures are the same job, however often sent.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow it to its end; 1 when a picture failed.")] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--out", help="Wait, and write the results here: .jsonl or .csv.")
    ] = None,
    url: Url = "http://127.0.0.1:8080",
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Send many pictures as a job, or as several where they are too many for one."""
    if idempotency_key is not None and not IDEMPOTENCY_KEY.fullmatch(idempotency_key):
        fail("an idempotency key is 1 to 200 visible ASCII characters", Exit.USAGE)
    with ending():
        if output is not None:
            check_destination(output)
        found = _found(sources)
        name = _model(url, key, model)
        options = {
            "version": version,
            "top_k": top_k,
            "priority": priority,
            "timeout_ms": None if timeout is None else max(1, round(timeout * 1000)),
            "callback_url": callback_url,
        }
        order = Order(name, {option: str(value) for option, value in options.items() if value is not None})
        with JobServer(url, key=key) as server:
            sent = _send(server, order, found, idempotency_key, as_json=as_json)
            is_waited_for = (wait or output is not None) and sent.failure is None
            if is_waited_for:
                sent = _wait(server, sent, output, as_json=as_json)
    _end(sent, is_waited_for=is_waited_for, as_json=as_json)


@dataclass(frozen=True, slots=True)
class _Sent:
    """The jobs that the server accepted, as they were last seen; `failure` ended the sending or the waiting, if
    anything did."""

    jobs: list[Document]
    too_large: list[TooLarge]
    failure: Failure | None


def _found(arguments: list[str]) -> Sources:
    try:
        with err.status("looking for images …"):
            found = find_sources(arguments)
    except BadSource as error:
        fail(str(error), Exit.USAGE)
    if found.left_out:
        files = "file that is" if found.left_out == 1 else "files that are"
        err.print(f"{found.left_out} {files} no image or hidden: left out")
    return found


def _model(url: str, key: str | None, name: str | None) -> str:
    """Also whether the server is there and has it, which is told before anything is sent."""
    with ServerClient(url, key=key) as server:
        if name is None:
            return only_model(server)
        response = server.send("GET", f"/v1/models/{quote(name, safe='')}")
        if response.status_code == _NOT_FOUND:
            fail(reason_of(response), Exit.REFUSED)
        return name


def _send(server: JobServer, order: Order, found: Sources, key: str | None, *, as_json: bool) -> _Sent:
    parcels = parcels_of(found, key)
    jobs: list[Document] = []
    too_large: list[TooLarge] = []
    failure: Failure | None = None
    with UploadBar(found.size_bytes) as sending:
        try:
            for told in send_all(server, order, parcels, Patience(), sending):
                if isinstance(told, TooLarge):
                    too_large.append(told)
                    err.print(f"not sent: [red]{escape(told.reason)}[/]", soft_wrap=True)
                    continue
                jobs.append(told.job)
                if not as_json:
                    sending.say(_accepted_line(told))
        except Failure as end:
            failure = end
    return _Sent(jobs, too_large, failure)


def _accepted_line(accepted: Accepted) -> str:
    before = "  [dim](it was there already)[/]" if accepted.is_replay else ""
    return f"job {escape(accepted.job['job_id'])}  {accepted.job.get('total')} images{before}"


def _wait(server: JobServer, sent: _Sent, output: Path | None, *, as_json: bool) -> _Sent:
    """The jobs when all of them have ended, or when they could not be followed any longer."""
    jobs, patience = list(sent.jobs), Patience()
    at = 0
    try:
        for at, accepted in enumerate(sent.jobs):
            with nullcontext() if as_json else JobBars() as bars:
                for jobs[at] in watch(server, accepted["job_id"], patience, is_known=True):
                    if bars is not None:
                        bars.tell(jobs[at])
            where = f"grayscale jobs results {accepted['job_id']}"
            if output is not None:
                path = output if len(jobs) == 1 else output.with_stem(f"{output.stem}-{at + 1}")
                where = str(save_results(server, accepted["job_id"], path, patience).path)
            if not as_json:
                out.print(f"{summary_of(jobs[at])}; results: {escape(where)}", soft_wrap=True)
    except KeyboardInterrupt:
        err.print(f"without this command the jobs go on: {_ids(jobs[at:])}", soft_wrap=True)
        raise typer.Exit(_INTERRUPTED) from None
    except Final as end:
        return replace(
            sent, jobs=jobs, failure=Final(f"{end.detail}; not followed to its end: {_ids(jobs[at:])}", end.code)
        )
    return replace(sent, jobs=jobs)


def _ids(jobs: list[Document]) -> str:
    return ", ".join(job["job_id"] for job in jobs)


def _end(sent: _Sent, *, is_waited_for: bool, as_json: bool) -> None:
    jobs = sent.jobs
    if as_json:
        print_json(jobs)
    if sent.failure is not None:
        fail(sent.failure.detail, sent.failure.code)
    if sent.too_large:
        raise typer.Exit(Exit.REFUSED)
    if is_waited_for and not all(went_well(job) for job in jobs):
        failed = sum(job.get("failed") or 0 for job in jobs)
        total = sum(job.get("total") or 0 for job in jobs)
        err.print(f"{failed} of {total} images failed" if failed else "not every job came to its end")
        raise typer.Exit(Exit.FAILED)
