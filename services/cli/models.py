"""`grayscale models`: what a running server has, and loading, unloading and promoting versions."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from services.cli.drift import make_reference, show_drift
from services.cli.options import AsJson, Key, Url
from services.cli.server_client import ServerClient, local_admin_key
from services.cli.terminal import err, out, print_json

app = typer.Typer(help="The models of a running server.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The model's name.")]
Version = Annotated[int | None, typer.Option(help="A version; without it, what the model's version policy says.")]

_COLOURS = {"READY": "green", "LOADING": "yellow", "UNLOADING": "yellow", "UNAVAILABLE": "red"}


@app.command("ls")
def list_models(url: Url = "http://127.0.0.1:8080", key: Key = None, as_json: AsJson = False) -> None:
    """List every model version with its state."""
    with ServerClient(url, key=key) as server:
        document = server.request("GET", "/v1/models")
    if as_json:
        print_json(document["models"])
        return
    table = Table("model", "version", "state", "default", "reason", box=None, header_style="bold")
    for model in document["models"]:
        default = model["default"] or {}
        for row in model["versions"] or [{"version": "", "state": "UNAVAILABLE", "reason": model["reason"]}]:
            is_default = default == {"model": model["name"], "version": row["version"]}
            state = f"[{_COLOURS.get(row['state'], 'white')}]{row['state']}[/]"
            table.add_row(model["name"], str(row["version"]), state, "●" if is_default else "", escape(row["reason"]))
    out.print(table)


@app.command("show")
def show_model(name: Name, url: Url = "http://127.0.0.1:8080", key: Key = None, as_json: AsJson = False) -> None:
    """Show one model: versions, what it takes and gives, how pictures are prepared for it."""
    with ServerClient(url, key=key) as server:
        document = server.request("GET", f"/v1/models/{name}")
    if as_json:
        print_json(document)
        return
    table = Table(box=None, show_header=False, padding=(0, 1))
    for field, value in document.items():
        table.add_row(f"[bold]{field}[/]", escape(_text(value)))
    out.print(table)


@app.command("load")
def load_model(
    name: Name, version: Version = None, url: Url = "http://127.0.0.1:8080", key: Key = None, as_json: AsJson = False
) -> None:
    """Load a version on every serving process, or load it afresh; traffic does not move."""
    _repository(url, key, name, "load", version, as_json)


@app.command("unload")
def unload_model(
    name: Name, version: Version = None, url: Url = "http://127.0.0.1:8080", key: Key = None, as_json: AsJson = False
) -> None:
    """Let a version (without --version: all of them) finish its work, then free it."""
    _repository(url, key, name, "unload", version, as_json)


@app.command("promote")
def promote_model(
    name: Name,
    version: Annotated[int, typer.Option(help="The version that the name shall mean.")],
    candidate: Annotated[str | None, typer.Option(help="The model that has this version, when it is another.")] = None,
    url: Url = "http://127.0.0.1:8080",
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Make a loaded version the one that answers for a name."""
    with ServerClient(url, key=key or local_admin_key(url)) as server:
        body: dict[str, Any] = {"version": version} | ({} if candidate is None else {"candidate": candidate})
        document = server.request("PUT", f"/v1/models/{name}/default", json=body)
    if as_json:
        print_json(document)
    else:
        default = document["default"]
        out.print(f"{name} is now {default['model']}/{default['version']}")


app.command("drift")(show_drift)
app.command("reference")(make_reference)


def _repository(url: str, key: str | None, name: str, verb: str, version: int | None, as_json: bool) -> None:
    body = {} if version is None else {"parameters": {"version": version}}
    with (
        ServerClient(url, key=key or local_admin_key(url)) as server,
        err.status(f"{verb}ing {name} on every serving process …"),
    ):
        server.request("POST", f"/v2/repository/models/{name}/{verb}", json=body)
    if as_json:
        print_json({"model": name, "version": version, "done": f"{verb}ed"})
    else:
        out.print(f"{name}{'' if version is None else f'/{version}'} is {verb}ed")


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items()) or "–"
    if isinstance(value, list):
        return (
            "\n".join(_text(item) for item in value)
            if any(isinstance(v, dict) for v in value)
            else " ".join(map(str, value)) or "–"
        )
    return str(value) if value not in ("", None) else "–"
