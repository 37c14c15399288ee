"""The commands of `grayscale release`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Annotated, NoReturn

import orjson
import typer
from rich.live import Live
from rich.markup import escape

from services.cli.jobs.ending import ending
from services.cli.jobs.patience import Patience
from services.cli.jobs.server import Passing
from services.cli.options import AsJson, Key, Url
from services.cli.releases.plan_file import PlanFile, read_plan
from services.cli.releases.plan_words import plan_in_words
from services.cli.releases.report import report_of
from services.cli.releases.server import ENDED, Document, ReleaseServer
from services.cli.releases.shown import events_table, list_of, summary_of, view_of
from services.cli.releases.watch import View, look, watch
from services.cli.server_client import local_admin_key
from services.cli.terminal import Exit, err, fail, out, print_json
from services.shared.release.parse_plan import plan_document

app = typer.Typer(help="Releases of new versions: begin, watch and steer them.", no_args_is_help=True)

LOCAL = "http://127.0.0.1:8080"
_REFUSED_WAIT_S = 5.0  # what the last release left is put away by then

Model = Annotated[str, typer.Argument(help="The public name of the model.")]
File = Annotated[Path, typer.Option("--file", "-f", help="The plan, YAML or JSON; - is standard input.")]
Watch = Annotated[bool, typer.Option("--watch", help="Follow it until it is over: 0 promoted, 1 rolled back or ended.")]


@app.command("apply")
def apply(file: File, watched: Watch = False, url: Url = LOCAL, key: Key = None, as_json: AsJson = False) -> None:
    """Begin the release that a plan describes. Needs an admin key."""
    read = read_plan(file)
    with ending(), _server(url, key) as server:
        state = _begun(server, read)
        if watched:
            _watch(server, read.plan.model, as_json=as_json)
    _print(state, as_json=as_json)


@app.command("check")
def check(file: File, as_json: AsJson = False) -> None:
    """Read a plan and say what it will do, without a server."""
    plan = read_plan(file).plan
    if as_json:
        print_json(plan_document(plan))
    else:
        for line in plan_in_words(plan):
            out.print(escape(line), soft_wrap=True)


@app.command("status")
def status(model: Model, watched: Watch = False, url: Url = LOCAL, key: Key = None, as_json: AsJson = False) -> None:
    """Show where a release is, what each arm does, and what each guardrail says."""
    with ending(), _server(url, key) as server:
        if watched:
            server.state(model)  # one that is not there, or a server that is not, ends the command at once
            _watch(server, model, as_json=as_json)
        if as_json:
            print_json(server.state(model))
        else:
            out.print(view_of(look(server, model)))


@app.command("ls")
def list_releases(url: Url = LOCAL, key: Key = None, as_json: AsJson = False) -> None:
    """List the release of every model that has one."""
    with ending(), ReleaseServer(url, key=key) as server:
        releases = server.releases()
    if as_json:
        print_json(releases)
    else:
        out.print(list_of(releases) if releases else "there is no release")


@app.command("promote")
def promote(
    model: Model,
    arm: Annotated[str, typer.Option(help="Which arm, where the plan has several.")] = "",
    url: Url = LOCAL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Give an arm everything now; the hold of the plan follows. Needs an admin key."""
    _tell(model, "promote", url, key, as_json=as_json, arm=arm)


@app.command("pause")
def pause(model: Model, url: Url = LOCAL, key: Key = None, as_json: AsJson = False) -> None:
    """Keep the weights as they are until `resume`; guardrails are still watched. Needs an admin key."""
    _tell(model, "pause", url, key, as_json=as_json)


@app.command("resume")
def resume(model: Model, url: Url = LOCAL, key: Key = None, as_json: AsJson = False) -> None:
    """Go on with the plan. Needs an admin key."""
    _tell(model, "resume", url, key, as_json=as_json)


@app.command("rollback")
def rollback(model: Model, url: Url = LOCAL, key: Key = None, as_json: AsJson = False) -> None:
    """Take every arm's weight away at once. Needs an admin key."""
    _tell(model, "rollback", url, key, as_json=as_json)


@app.command("delete")
def delete(model: Model, url: Url = LOCAL, key: Key = None, as_json: AsJson = False) -> None:
    """End a release, or put away one that is over. Needs an admin key."""
    with ending(), _server(url, key) as server:
        state = server.end(model)
    _print(state, as_json=as_json)


@app.command("report")
def report(
    model: Model,
    html: Annotated[Path | None, typer.Option(help="Write a page with plots to this file.")] = None,
    url: Url = LOCAL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Show every guardrail with both arms' numbers, the interval and the verdict."""
    with ending(), ReleaseServer(url, key=key) as server:
        view = look(server, model)
        points = server.timeline(model) if html else []
    if html is not None:
        _write_page(html, view, points)
    if as_json:
        if view.report is None:
            fail(f"the controller has not looked at the release {view.state['release']} yet", Exit.FAILED)
        print_json(view.report)
    elif html is None:
        out.print(report_of(view))


@app.command("events")
def events(model: Model, url: Url = LOCAL, key: Key = None, as_json: AsJson = False) -> None:
    """List what became of a model's releases: by whom (an admin key sees which administrator), when and why."""
    with ending(), _server(url, key) as server:
        log = server.events(model)
    if as_json:
        print_json(log)
    else:
        out.print(events_table(log))


def _server(url: str, key: str | None) -> ReleaseServer:
    """For what needs an administrator's key, or tells one more."""
    return ReleaseServer(url, key=key or local_admin_key(url))


def _tell(model: str, command: str, url: str, key: str | None, *, as_json: bool, arm: str = "") -> None:
    with ending(), _server(url, key) as server:
        state = server.tell(model, command, arm)
    _print(state, as_json=as_json)


def _print(state: Document, *, as_json: bool) -> None:
    if as_json:
        print_json(state)
    else:
        out.print(summary_of(state), soft_wrap=True)


def _begun(server: ReleaseServer, read: PlanFile) -> Document:
    """Waits for what the server says will pass; what it may have done is not asked twice."""
    patience = Patience()
    while True:
        try:
            return server.begin(read.plan.model, read.text)
        except Passing as failure:
            if failure.code is not Exit.REFUSED:
                raise
            patience.wait(failure, max_wait_s=_REFUSED_WAIT_S)


def _watch(server: ReleaseServer, model: str, *, as_json: bool) -> NoReturn:
    """Ends the command by how the release ended."""
    views = watch(server, model, Patience())
    if as_json:
        phase = _each_change(views, _as_json, typer.echo)
    elif out.is_terminal:
        phase = ""
        with Live(console=out, auto_refresh=False) as live:
            for view in views:
                live.update(view_of(view), refresh=True)
                phase = view.phase
    else:  # into a file or a pipe
        phase = _each_change(views, lambda view: summary_of(view.state), partial(out.print, soft_wrap=True))
    raise typer.Exit(ENDED[phase])


def _each_change(views: Iterable[View], words: Callable[[View], str], say: Callable[[str], object]) -> str:
    """Says a line whenever it is another one; the last view's phase."""
    phase = last = ""
    for view in views:
        line, phase = words(view), view.phase
        if line != last:
            say(line)
        last = line
    return phase


def _as_json(view: View) -> str:
    return orjson.dumps({"state": view.state, "report": view.report}).decode()


def _write_page(path: Path, view: View, points: list[Document]) -> None:
    from services.cli.releases.page import page_of

    try:
        path.write_text(page_of(view, points), encoding="utf-8")
    except OSError as error:
        fail(f"{path} cannot be written: {error.strerror}", Exit.FAILED)
    err.print(f"{escape(str(path))} is written", soft_wrap=True)
