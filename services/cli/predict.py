"""`grayscale predict`: pictures to a running server, its answers as bars."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from services.cli.explain import explain_answer
from services.cli.options import AsJson, Key, Url
from services.cli.server_client import ServerClient, reason_of
from services.cli.terminal import Exit, bar, err, fail, out, print_json

NUMBERS_SHOWN = 8  # of an embedding


def predict(
    images: Annotated[list[Path], typer.Argument(help="Pictures to send, in one request each.")],
    model: Annotated[str | None, typer.Option(help="The model's name; not needed when the server has one.")] = None,
    version: Annotated[int | None, typer.Option(help="Pins a version of the model.")] = None,
    top_k: Annotated[int, typer.Option(min=1, max=100, help="How many predictions for each picture.")] = 5,
    explain: Annotated[
        Path | None, typer.Option(metavar="PNG", help="Of one picture: writes it with what made the answer coloured.")
    ] = None,
    url: Url = "http://127.0.0.1:8080",
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Ask a running server what is in some pictures."""
    missing = [str(path) for path in images if not path.is_file()]
    if missing:
        fail(f"no such file: {', '.join(missing)}", Exit.USAGE)
    if explain is not None and len(images) > 1:
        fail("--explain is for one picture: give one", Exit.USAGE)
    answers: list[dict[str, Any]] = []
    refused = False
    with (
        ServerClient(url, key=key) as server,
        Progress(console=err, transient=True, disable=len(images) < 10) as progress,
    ):
        name = model or only_model(server)
        query = {"top_k": top_k} | ({} if version is None else {"version": version})
        for path in progress.track(images, description="predicting"):
            response = server.send(
                "POST",
                f"/v1/models/{name}/predict",
                params=query,
                content=path.read_bytes(),
                headers={"content-type": "application/octet-stream"},
            )
            refused |= response.is_error
            answers.append(
                {"file": str(path)} | ({"error": reason_of(response)} if response.is_error else response.json())
            )
    if as_json:
        print_json(answers)
    else:
        for answer in answers:
            show_answer(answer)
    if refused:
        raise typer.Exit(Exit.REFUSED)
    if explain is not None:
        with ServerClient(url, key=key) as server:
            explain_answer(server, images[0], answers[0], explain)


def only_model(server: ServerClient) -> str:
    """The name of the one model that a server has; ends the command when it has none or several."""
    names = [m["name"] for m in server.request("GET", "/v1/models")["models"] if m["default"]]
    if len(names) != 1:
        fail(f"say which model with --model: {', '.join(names) or 'the server has none'}", Exit.USAGE)
    return str(names[0])


def show_answer(answer: dict[str, Any]) -> None:
    """One picture's answer, or the reason why there is none, for a person."""
    if "error" in answer:
        err.print(f"[bold]{escape(answer['file'])}[/]: [red]{escape(answer['error'])}[/]", soft_wrap=True)
        return
    served, image = answer["served_by"], answer["results"][0]["image"]
    out.print(
        f"[bold]{escape(answer['file'])}[/]  {image['width']}×{image['height']} {image['format']}  "
        f"[dim]{served['model']}/{served['version']} {served['arm']}, {answer['timings_ms']['total']:.1f} ms[/]"
    )
    out.print(_summary(answer["results"][0]["predictions"]))


def _summary(predictions: Any) -> Table | str:
    """What a person wants of an answer, whatever the model's task; everything is in `--json`."""
    table = Table(box=None, show_header=False, padding=(0, 1))
    if isinstance(predictions, dict) and "embedding" in predictions:
        numbers = predictions["embedding"]
        more = ", …" if len(numbers) > NUMBERS_SHOWN else ""
        return f"  {len(numbers)} numbers: {', '.join(f'{n:.4f}' for n in numbers[:NUMBERS_SHOWN])}{more}"
    if isinstance(predictions, dict):
        for row in predictions["classes"]:
            _add(table, row["label"], row["share"])
        return table
    for row in predictions:
        _add(table, row["label"], row["score"], *(f"{side:.1f}" for side in row.get("box", ())))
    return table if predictions else "  [dim]nothing found[/]"


def _add(table: Table, label: str, fraction: float, *corners: str) -> None:
    places = [f"[dim]{corner:>7}[/]" for corner in corners]
    table.add_row(f"  {escape(label)}", f"{100 * fraction:5.1f} %", f"[cyan]{bar(fraction)}[/]", *places)
