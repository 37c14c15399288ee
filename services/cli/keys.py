"""`grayscale keys`: making, listing and revoking keys in a data directory, whether the server runs or not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.markup import escape
from rich.table import Table

from services.cli.options import AsJson
from services.cli.parts import key_store
from services.cli.terminal import Exit, fail, out, print_json
from services.shared.errors import InvalidInput, NotFound, ServingError
from services.shared.keys.base import ApiKey
from services.shared.keys.issue import IssuedKey, NewKey, issue, parse_scopes

app = typer.Typer(help="Keys: who may call, and how much.", no_args_is_help=True)

DataDir = Annotated[
    Path, typer.Option(envvar="GRAYSCALE_DATA_DIR", help="Where the server keeps its state, as `up` was given it.")
]
_DATA_DIR = Path(".grayscale")
T = TypeVar("T")


@app.command("create")
def create_key(
    name: Annotated[str, typer.Option(help="Whose key it is, for people.")],
    scope: Annotated[list[str], typer.Option(help="predict, jobs, tester or admin; may be given several times.")],
    rate: Annotated[float | None, typer.Option(help="Requests a second on average; without it, unlimited.")] = None,
    burst: Annotated[int | None, typer.Option(help="The most within one second; needs --rate.")] = None,
    daily: Annotated[int | None, typer.Option(help="Requests a day (UTC); without it, unlimited.")] = None,
    data_dir: DataDir = _DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Make a key. Its secrets are shown this once; from the first key on, predictions need one."""
    issued = _done(_create(data_dir, name, scope, rate, burst, daily))
    if as_json:
        secrets = {"secret": issued.secret, "webhook_secret": issued.key.webhook_secret}
        print_json(_document(issued.key) | secrets)
        return
    table = Table(box=None, show_header=False, padding=(0, 1))
    table.add_row("[bold]key[/]", issued.key.key_id)
    table.add_row("[bold]secret[/]", f"[green]{issued.secret}[/]")
    table.add_row("[bold]webhook secret[/]", f"[green]{issued.key.webhook_secret}[/]")
    out.print(table, soft_wrap=True)
    out.print("Keep both secrets now: they are not shown again.")


@app.command("ls")
def list_keys(data_dir: DataDir = _DATA_DIR, as_json: AsJson = False) -> None:
    """List every key, revoked ones too."""
    keys = sorted(_done(key_store(data_dir).keys()).by_id.values(), key=lambda key: key.created_at)
    if as_json:
        print_json([_document(key) for key in keys])
        return
    table = Table("key", "name", "scopes", "limits", "made", "revoked", box=None, header_style="bold")
    for key in keys:
        state = "" if key.revoked_at is None else f"[red]{_date(key.revoked_at)}[/]"
        scopes = " ".join(sorted(key.scopes))
        table.add_row(key.key_id, escape(key.name), scopes, _limits(key), _date(key.created_at), state)
    out.print(table)


@app.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(help="The key's id, as `keys ls` shows it.")],
    data_dir: DataDir = _DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Revoke a key: it stops within a second, in every process."""
    key = _done(key_store(data_dir).revoke(key_id, at=time.time()))
    if as_json:
        print_json(_document(key))
    else:
        out.print(f"the key {key.key_id} ({escape(key.name)}) is revoked")


async def _create(
    data_dir: Path, name: str, scopes: list[str], rate: float | None, burst: int | None, daily: int | None
) -> IssuedKey:
    issued = issue(NewKey(name, parse_scopes(scopes), rate, burst, daily), now=time.time())
    await key_store(data_dir).add(issued.key)
    return issued


def _done(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except InvalidInput as error:
        fail(error.detail, Exit.USAGE)
    except NotFound as error:
        fail(f"{error.detail}: see `grayscale keys ls`", Exit.FAILED)
    except ServingError as error:
        fail(error.detail, Exit.FAILED)


def _document(key: ApiKey) -> dict[str, Any]:
    return {
        "key_id": key.key_id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "created_at": key.created_at,
        "revoked_at": key.revoked_at,
        "rate_per_s": key.rate_per_s,
        "burst": key.burst,
        "daily_quota": key.daily_quota,
    }


def _limits(key: ApiKey) -> str:
    rate = "" if key.rate_per_s is None else f"{key.rate_per_s:g}/s, burst {key.burst}"
    daily = "" if key.daily_quota is None else f"{key.daily_quota} a day"
    return "; ".join(part for part in (rate, daily) if part) or "none"


def _date(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at))
