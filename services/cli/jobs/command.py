"""`grayscale jobs`: the commands but for `submit`, which has a module of its own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import orjson
import typer
from rich.markup import escape

from services.cli.jobs.ending import ending
from services.cli.jobs.patience import Patience
from services.cli.jobs.results import ResultLine, follow_results, save_results
from services.cli.jobs.server import Document, JobServer, job_path
from services.cli.jobs.shown import JobBars, dead_table, details_of, summary_of, table_of
from services.cli.jobs.submit_command import submit
from services.cli.jobs.watch import is_ended, watch, went_well
from services.cli.options import AsJson, Key, Url
from services.cli.server_client import ServerClient, local_admin_key, reason_of
from services.cli.terminal import Exit, err, fail, out, print_json

app = typer.Typer(help="Many images at once, in the background of a running server.", no_args_is_help=True)
app.command()(submit)

JobId = Annotated[str, typer.Argument(help="The job's id, as `jobs submit` and `jobs ls` show it.")]
_PAGE = 1000
_STDOUT = Path("-")


@app.command("status")
def status(
    job_id: JobId,
    is_watched: Annotated[bool, typer.Option("--watch", help="Follow it to its end; 1 when an image failed.")] = False,
    url: Url = "http://127.0.0.1:8080",
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Show how far a job is; with --watch and --json, each change is a line."""
    if is_watched:
        _watch(job_id, url, key, as_json=as_json)
        return
    with ServerClient(url, key=key) as server:
        job = server.request("GET", job_path(job_id))
    if as_json:
        print_json(job)
    else:
        out.print(details_of(job))


@app.command("results")
def results(
    job_id: JobId,
    output: Annotated[
        Path, typer.Option("-o", "--out", help="A .jsonl or .csv file, or - for lines on standard output.")
    ] = _STDOUT,
    follow: Annotated[bool, typer.Option(help="Wait for the results that are still to come.")] = False,
    url: Url = "http://127.0.0.1:8080",
    key: Key = None,
) -> None:
    """Get a job's results in the order of its images. What was interrupted goes on where it was."""
    with ending(), JobServer(url, key=key) as server:
        server.job(job_id)  # one that is not there, or a server that is not, ends the command at once
        if output == _STDOUT:
            _print_results(server, job_id, follow)
            return
        with err.status("reading results …"):
            saved = save_results(server, job_id, output, Patience(), follow=follow)
    err.print(f"{saved.count} results in {escape(str(saved.path))}", soft_wrap=True)
    if not is_ended(saved.job):
        err.print(f"{summary_of(saved.job)}: with --follow, this waits for the rest", soft_wrap=True)


@app.command("cancel")
def cancel(
    job_id: JobId,
    purge: Annotated[bool, typer.Option(help="Remove its images and results at once, too.")] = False,
    url: Url = "http://127.0.0.1:8080",
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Cancel a job. The results that it has can still be read, unless they are purged."""
    with ServerClient(url, key=key) as server:
        job = server.request("DELETE", job_path(job_id), params={"purge": "true"} if purge else {})
    if as_json:
        print_json({"job_id": job_id, "purged": True} if purge else job)
    else:
        out.print(f"{escape(job_id)} is purged" if purge else summary_of(job))


@app.command("ls")
def list_jobs(
    limit: Annotated[int, typer.Option(min=1, max=_PAGE, help="How many, the newest first.")] = 20,
    url: Url = "http://127.0.0.1:8080",
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """List the newest jobs that your key may see."""
    with ServerClient(url, key=key) as server:
        jobs = server.request("GET", "/v1/jobs", params={"limit": limit})["jobs"]
    if as_json:
        print_json(jobs)
    else:
        out.print(table_of(jobs))


@app.command("dead")
def dead(
    limit: Annotated[int, typer.Option(min=1, max=_PAGE, help="How many.")] = 100,
    url: Url = "http://127.0.0.1:8080",
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """List the images that were given up after several attempts, with the reason. Needs an admin key."""
    with ServerClient(url, key=key or local_admin_key(url)) as server:
        letters = _dead(server, limit)
    if as_json:
        print_json(letters)
    else:
        out.print(dead_table(letters) if letters else "no image was given up")


@app.command("requeue")
def requeue(
    dead_ids: Annotated[list[str] | None, typer.Argument(help="Dead letters, as `jobs dead` shows them.")] = None,
    is_all: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    url: Url = "http://127.0.0.1:8080",
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Try images again that were given up. Needs an admin key."""
    if bool(dead_ids) is is_all:
        fail("say which dead letters, or --all", Exit.USAGE)
    with ServerClient(url, key=key or local_admin_key(url)) as server:
        answers = [_requeued(server, dead_id) for dead_id in dead_ids or _all_dead(server)]
    if as_json:
        print_json([answer for answer in answers if answer is not None])
    elif not answers:
        out.print("no image was given up")
    if None in answers:
        raise typer.Exit(Exit.REFUSED)


def _watch(job_id: str, url: str, key: str | None, *, as_json: bool) -> None:
    job: Document = {}
    with ending(), JobServer(url, key=key) as server:
        server.job(job_id)  # one that is not there, or a server that is not, ends the command at once
        if as_json:
            for job in watch(server, job_id, Patience()):
                typer.echo(orjson.dumps(job).decode())
        else:
            with JobBars() as bars:
                for job in watch(server, job_id, Patience()):
                    bars.tell(job)
            out.print(summary_of(job), soft_wrap=True)
    if not went_well(job):
        raise typer.Exit(Exit.FAILED)


def _print_results(server: JobServer, job_id: str, follow: bool) -> None:
    for told in follow_results(server, job_id, Patience(), follow=follow):
        if isinstance(told, ResultLine):
            sys.stdout.buffer.write(told.line + b"\n")
        sys.stdout.flush()


def _dead(server: ServerClient, limit: int) -> list[Document]:
    letters: list[Document] = server.request("GET", "/v1/jobs/dead", params={"limit": limit})["dead"]
    return letters


def _all_dead(server: ServerClient) -> Iterator[str]:
    """Each one once: what is given up again meanwhile is not tried again and again."""
    seen: set[str] = set()
    while new := [letter["dead_id"] for letter in _dead(server, _PAGE) if letter["dead_id"] not in seen]:
        seen.update(new)
        yield from new


def _requeued(server: ServerClient, dead_id: str) -> Document | None:
    """The job, which is active again; None, said on standard error, for one that the server refuses."""
    response = server.send("POST", f"/v1/jobs/dead/{quote(dead_id, safe='')}/requeue")
    if response.is_error:
        err.print(f"{escape(dead_id)}: [red]{escape(reason_of(response))}[/]", soft_wrap=True)
        return None
    job: Document = response.json()
    err.print(f"{escape(dead_id)} is tried again: {summary_of(job)}", soft_wrap=True)
    return job
